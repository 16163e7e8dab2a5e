package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ferrule/ferrule/task"
)

// A Kind says which work a step belongs to.
type Kind string

// The kinds of step.
const (
	CleanSteps  Kind = "clean"
	DeploySteps Kind = "deploy"
)

// A Step is one named piece of cleaning or deploying, with Ironic's JSON names.
type Step struct {
	Interface string             `json:"interface"` // the role that runs it: power, management, deploy, bios, raid, vendor
	Name      string             `json:"step"`
	Priority  int                `json:"priority"` // higher runs earlier; 0 never runs on its own
	Args      task.Info          `json:"args,omitempty"`
	ArgsInfo  map[string]ArgInfo `json:"argsinfo,omitempty"`
	Abortable bool               `json:"abortable,omitempty"`

	// NeedsRamdisk marks an in-band step.
	NeedsRamdisk bool `json:"requires_ramdisk,omitempty"`
}

// ArgInfo describes one argument of a step.
type ArgInfo struct {
	Description string `json:"description"`
	Required    bool   `json:"required,omitempty"`
}

// String returns "interface.step".
func (s Step) String() string { return s.Interface + "." + s.Name }

// Same reports whether s and o name the same step, whatever their arguments.
func (s Step) Same(o Step) bool { return s.Interface == o.Interface && s.Name == o.Name }

// CheckArgs reports every argument of s that is required and missing, or that
// the step does not have.
func (s Step) CheckArgs() error {
	var errs []error
	for name, info := range s.ArgsInfo {
		if _, ok := s.Args[name]; !ok && info.Required {
			errs = append(errs, fmt.Errorf("step %s: argument %q: %w (%s)", s, name, task.ErrMissingParameter, info.Description))
		}
	}
	for name := range s.Args {
		if _, ok := s.ArgsInfo[name]; !ok {
			errs = append(errs, fmt.Errorf("step %s: argument %q: %w: the step has no such argument", s, name, task.ErrInvalidParameter))
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return task.Join(errs...)
}

// Info returns s as a node keeps it (clean_step, deploy_step).
func (s Step) Info() task.Info {
	info := task.Info{"interface": s.Interface, "step": s.Name, "priority": s.Priority, "abortable": s.Abortable}
	if len(s.Args) > 0 {
		info["args"] = map[string]any(s.Args)
	}
	if s.NeedsRamdisk {
		info["requires_ramdisk"] = true
	}
	return info
}

// StepOf reads what [Step.Info] wrote. The zero Step means that none was there.
func StepOf(info task.Info) (Step, error) {
	var s Step
	if len(info) == 0 {
		return s, nil
	}
	data, err := json.Marshal(info)
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		return Step{}, fmt.Errorf("%w: step %v: %v", task.ErrInvalidParameter, info["step"], err)
	}
	return s, nil
}

// interfaceRank breaks ties between steps of one priority, as Ironic does.
var interfaceRank = map[string]int{"vendor": 7, "power": 6, "management": 5, "firmware": 4, "deploy": 3, "bios": 2, "raid": 1}

// Sort orders steps as they run: by priority, the highest first, then by
// interface (vendor, power, management, firmware, deploy, bios, raid), then as
// they stood.
func Sort(steps []Step) {
	slices.SortStableFunc(steps, func(a, b Step) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(interfaceRank[b.Interface], interfaceRank[a.Interface]))
	})
}

// A Stepper is an implementation of any role that has steps of its own.
type Stepper interface {
	// Steps lists the steps of that kind that it can run on the node now.
	// In-band steps are listed only while the ramdisk can be asked. Shared lock.
	Steps(ctx context.Context, t *task.Task, kind Kind) ([]Step, error)

	// ExecuteStep runs a step that Steps listed; another one is
	// task.ErrUnsupported. It answers "" when the step is
	// complete, or task.CleanWait or task.DeployWait when a later heartbeat
	// completes it; nothing else. Exclusive lock.
	ExecuteStep(ctx context.Context, t *task.Task, kind Kind, s Step) (task.State, error)
}

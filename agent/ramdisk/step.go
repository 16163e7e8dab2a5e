package ramdisk

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
)

// The steps of this agent have one hardware manager, whose version changes
// with what they do.
const (
	hardwareManager        = "FerruleHardwareManager"
	hardwareManagerVersion = "2"
)

// A step is one in-band step, with the JSON of ironic-python-agent.
type step struct {
	Step            string `json:"step"`
	Priority        int    `json:"priority"`
	Interface       string `json:"interface"`
	RebootRequested bool   `json:"reboot_requested"`
	Abortable       bool   `json:"abortable"`

	run func(context.Context, *command, parameters) (any, error)
}

// stepHandlers returns the commands of the extension for steps of this kind,
// "deploy" or "clean".
func (a *agent) stepHandlers(kind string, steps []step) map[string]handler {
	return map[string]handler{
		"get_" + kind + "_steps": {sync: true, run: func(_ context.Context, _ *command, p parameters) (any, error) {
			if err := a.remember(p); err != nil {
				return nil, err
			}
			return map[string]any{
				kind + "_steps":            map[string][]step{hardwareManager: steps},
				"hardware_manager_version": versions(),
			}, nil
		}},
		"execute_" + kind + "_step": {
			check: func(p parameters) error {
				if len(p["step"]) == 0 {
					return invalidParams("'step' is missing")
				}
				return nil
			},
			run: func(ctx context.Context, c *command, p parameters) (any, error) {
				return a.executeStep(ctx, c, stepCall{kind, steps, p})
			},
		},
	}
}

func versions() map[string]string {
	return map[string]string{hardwareManager: hardwareManagerVersion}
}

// remember takes the node as the conductor tells it now.
func (a *agent) remember(p parameters) error {
	if len(p["node"]) == 0 {
		return nil
	}
	var facts *nodeFacts
	if err := json.Unmarshal(p["node"], &facts); err != nil {
		return invalidParams("'node' is not a node")
	}
	if facts == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.facts = *facts
	return nil
}

// told returns the node as last told.
func (a *agent) told() nodeFacts {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.facts
}

// A stepCall is one request to execute a step.
type stepCall struct {
	kind   string
	steps  []step
	params parameters
}

func (a *agent) executeStep(ctx context.Context, c *command, call stepCall) (any, error) {
	if err := a.remember(call.params); err != nil {
		return nil, err
	}
	if err := checkVersion(call.params[call.kind+"_version"]); err != nil {
		return nil, err
	}
	var asked struct {
		Step string     `json:"step"`
		Args parameters `json:"args"`
	}
	if err := json.Unmarshal(call.params["step"], &asked); err != nil || asked.Step == "" {
		return nil, fmt.Errorf("malformed %s step: an object with a name in \"step\" is wanted", call.kind)
	}
	for _, s := range call.steps {
		if s.Step != asked.Step {
			continue
		}
		result, err := s.run(ctx, c, asked.Args)
		if err != nil {
			return nil, err
		}
		return map[string]any{call.kind + "_result": result, call.kind + "_step": call.params["step"]}, nil
	}
	return nil, &commandError{
		"HardwareManagerMethodNotFound", http.StatusInternalServerError,
		"No HardwareManager found to handle method", fmt.Sprintf("Could not find method: %s", asked.Step),
	}
}

// checkVersion compares the versions that the conductor planned with; null or
// none are not compared.
func checkVersion(raw json.RawMessage) error {
	var planned map[string]string
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	if err := json.Unmarshal(raw, &planned); err == nil && maps.Equal(planned, versions()) {
		return nil
	}
	return &commandError{
		"VersionMismatch", http.StatusConflict, "Hardware manager versions differ",
		fmt.Sprintf("Current versions: %v, versions used by the conductor: %s", versions(), raw[:min(len(raw), 500)]),
	}
}

package ramdisk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// The states of a command, with ironic-python-agent's wire values.
const (
	running         = "RUNNING"
	succeeded       = "SUCCEEDED"
	failed          = "FAILED"
	versionMismatch = "CLEAN_VERSION_MISMATCH" // for steps of every kind
)

// maxCommands is how many results are kept; the oldest go first.
const maxCommands = 500

// A commandError is what went wrong, as the API shows it. Type is the name of
// an exception of ironic-python-agent, which conductors look at.
type commandError struct {
	Type    string `json:"type"`
	Code    int    `json:"code"`
	Message string `json:"message"`
	Details string `json:"details"`
}

func (e *commandError) Error() string { return e.Message + ": " + e.Details }

func invalidCommand(details string) error {
	return &commandError{"InvalidCommandError", http.StatusBadRequest, "Invalid command", details}
}

func invalidParams(details string) error {
	return &commandError{"InvalidCommandParamsError", http.StatusBadRequest, "Invalid command parameters", details}
}

func executionError(err error) *commandError {
	var e *commandError
	if errors.As(err, &e) {
		return e
	}
	return &commandError{"CommandExecutionError", http.StatusInternalServerError, "Command execution failed", err.Error()}
}

// parameters are a command's, not yet decoded. Those that a command does not
// know are ignored.
type parameters map[string]json.RawMessage

// A handler is one command.
type handler struct {
	// run does the work. It returns a string, which is wrapped as the wire
	// format wants, or a value with a JSON form, or nil.
	run func(context.Context, *command, parameters) (any, error)

	check func(parameters) error // what is refused at once; may be nil
	sync  bool                   // the answer to the POST is the result
}

// handlers returns every command by extension and name.
func (a *agent) handlers() map[string]map[string]handler {
	all := map[string]map[string]handler{
		"standby": {
			"power_off":           {run: a.powerOff},
			"run_image":           {run: a.runImage},
			"prepare_image":       {run: a.prepareImage, check: checkPrepareImage},
			"sync":                {run: a.syncDisks, sync: true},
			"get_partition_uuids": {run: a.partitionUUIDs, sync: true},
		},
		"image":  {"install_bootloader": {run: a.installBootLoader}},
		"deploy": a.stepHandlers("deploy", a.deploySteps()),
		"clean":  a.stepHandlers("clean", a.cleanSteps()),
		"poll": {
			"get_hardware_info": {run: a.hardwareInfo, sync: true},
			"set_node_info":     {run: a.setNodeInfo, sync: true},
		},
	}
	if r, ok := a.host.(Rescuer); ok {
		all["rescue"] = map[string]handler{"finalize_rescue": {run: a.rescue(r), check: checkRescue, sync: true}}
	}
	if l, ok := a.host.(Logger); ok {
		all["log"] = map[string]handler{"collect_system_logs": {run: systemLogs(l), sync: true}}
	}
	return all
}

// A command is one that was accepted.
type command struct {
	id, name, fullName string
	sync               bool
	done               chan struct{} // closed when it ended

	mu       sync.Mutex // guards what follows
	status   string
	outcome  any
	err      *commandError
	progress *progress
}

// progress of a command that runs, in bytes.
type progress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"` // 0 while unknown
}

type result struct {
	ID     string        `json:"id"`
	Name   string        `json:"command_name"`
	Status string        `json:"command_status"`
	Error  *commandError `json:"command_error"`
	Result any           `json:"command_result"`
}

func (c *command) result() result {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := result{c.id, c.name, c.status, c.err, c.outcome}
	if c.status == running && c.progress != nil {
		r.Result = map[string]progress{"progress": *c.progress}
	}
	return r
}

// as is r as somebody with that view sees it. A step that has ended is shown by
// its name, without its arguments, in which there are a config drive and
// passwords; other results are not shown at all.
func (r result) as(v view) result {
	if v == whole {
		return r
	}
	all, _ := r.Result.(map[string]any)
	r.Result = nil
	if !strings.HasPrefix(r.Name, "execute_") || all == nil {
		return r
	}
	shown := map[string]any{}
	for key, value := range all {
		if raw, ok := value.(json.RawMessage); ok && strings.HasSuffix(key, "_step") {
			var name struct {
				Interface string `json:"interface"`
				Step      string `json:"step"`
			}
			_ = json.Unmarshal(raw, &name) // it was a step when it ran
			value = name
		}
		shown[key] = value
	}
	r.Result = shown
	return r
}

func (c *command) report(done, total int64) {
	c.mu.Lock()
	c.progress = &progress{done, total}
	c.mu.Unlock()
}

// end records what came of c.
func (c *command) end(outcome any, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(c.done)
	switch text, isText := outcome.(string); {
	case err != nil:
		c.status, c.err = failed, executionError(err)
		if c.err.Type == "VersionMismatch" {
			c.status = versionMismatch
		} else if c.sync {
			c.name = c.fullName // as ironic-python-agent does
		}
	case isText && c.sync:
		c.status, c.outcome = succeeded, map[string]string{"result": text}
	case isText:
		c.status, c.outcome = succeeded, map[string]string{"result": c.name + ": " + text}
	default:
		c.status, c.outcome = succeeded, outcome
	}
}

// start accepts a command, one at a time, and returns once it runs, or once it
// ended for one that answers at once. An error that is a commandError is the
// caller's.
func (a *agent) start(ctx context.Context, fullName string, params parameters) (*command, error) {
	extension, name, ok := strings.Cut(fullName, ".")
	if !ok {
		return nil, invalidCommand("Command name must be of the form <extension>.<name>")
	}
	c := &command{id: newID(), name: name, fullName: fullName, status: running, done: make(chan struct{})}
	h, err := a.admit(c, extension, params)
	if err != nil {
		return nil, err
	}
	c.sync = h.sync
	a.log.Info("command", "name", fullName, "id", c.id)
	a.spawn(func(life context.Context) { // not the request's: the command goes on when that ends
		a.execute(life, job{c, h, params})
	})
	if h.sync {
		c.wait(ctx)
	}
	return c, nil
}

// admit takes c into the list unless it has to be refused. What it took must
// be spawned.
func (a *agent) admit(c *command, extension string, params parameters) (handler, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.commands); n > 0 {
		if last := a.commands[n-1]; last.result().Status == running {
			return handler{}, &commandError{"AgentIsBusy", http.StatusConflict, "Agent is busy", "executing command " + last.name}
		}
	}
	commands, ok := a.extensions[extension]
	if !ok {
		return handler{}, &commandError{
			"RequestedObjectNotFoundError", http.StatusNotFound, "Not found",
			fmt.Sprintf("Extension with id %s not found.", extension),
		}
	}
	h, ok := commands[c.name]
	if !ok {
		return handler{}, invalidCommand("Unknown command: " + c.name)
	}
	if h.check != nil {
		if err := h.check(params); err != nil {
			return handler{}, err
		}
	}
	if a.closed {
		return handler{}, &commandError{"CommandExecutionError", http.StatusServiceUnavailable, "Command execution failed", "the agent is stopping"}
	}
	if len(a.commands) >= maxCommands {
		a.commands = append(a.commands[:0:0], a.commands[1:]...)
	}
	a.commands = append(a.commands, c)
	a.running.Add(1)
	return h, nil
}

// A job is a command with what it does.
type job struct {
	*command
	handler
	params parameters
}

func (a *agent) execute(ctx context.Context, j job) {
	c := j.command
	outcome, err := j.run(ctx, c, j.params)
	c.end(outcome, err)
	if err != nil {
		a.log.Warn("command failed", "name", c.fullName, "id", c.id, "err", err)
	}
	switch {
	case a.off.Load():
		a.stop(errOff)
	case !c.sync:
		a.forceHeartbeat()
	}
}

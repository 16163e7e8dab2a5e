package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// contextWithCause returns a context and what cancels it, with that cause.
func contextWithCause(t *testing.T, cause error) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(t.Context())
	t.Cleanup(func() { cancel(nil) })
	return ctx, func() { cancel(cause) }
}

func TestDeploySteps(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	steps, err := s.deploy.Steps(t.Context(), s.Task, deploy.DeploySteps)
	require.NoError(t, err)
	deploy.Sort(steps)
	require.Equal(t, []deploy.Step{
		{Interface: "deploy", Name: "write_image", Priority: 80, NeedsRamdisk: true},
		{Interface: "deploy", Name: "prepare_instance_boot", Priority: 60, NeedsRamdisk: true},
		{Interface: "deploy", Name: "tear_down_agent", Priority: 40, NeedsRamdisk: true},
		{Interface: "deploy", Name: "boot_instance", Priority: 20},
	}, steps)
	require.Empty(t, s.ramdisk.requests)

	for _, kind := range []deploy.Kind{deploy.CleanSteps, "service"} {
		steps, err = s.deploy.Steps(t.Context(), s.Task, kind)
		require.NoError(t, err)
		require.Empty(t, steps, "no ramdisk has called")
	}
}

func TestUnknownStep(t *testing.T) {
	t.Parallel()
	s := newSite(t).up(task.Deploying)
	for _, tt := range []struct {
		kind deploy.Kind
		step deploy.Step
	}{
		{deploy.DeploySteps, deploy.Step{Interface: "deploy", Name: "dance"}},
		{deploy.DeploySteps, deploy.Step{Interface: "raid", Name: "write_image"}},
		{"service", deploy.Step{Interface: "deploy", Name: "write_image"}},
	} {
		_, err := s.deploy.ExecuteStep(t.Context(), s.Task, tt.kind, tt.step)
		require.ErrorIs(t, err, task.ErrUnsupported)
		require.ErrorContains(t, err, tt.step.String())
	}
	require.Empty(t, s.ramdisk.requests)
	require.Empty(t, s.called())
}

func TestStartOfCommand(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		reply map[string]any
		state task.State
		want  string
	}{
		"runs":            {nil, task.CleanWait, ""},
		"done at once":    {map[string]any{"command_status": "SUCCEEDED"}, "", ""},
		"failed at once":  {map[string]any{"command_status": "FAILED", "command_error": map[string]any{"message": "no"}}, "", "ramdisk command execute_clean_step: no"},
		"other managers":  {map[string]any{"command_status": "CLEAN_VERSION_MISMATCH"}, "", "(clean again, which lists the steps anew)"},
		"unknown outcome": {map[string]any{"command_status": "?"}, "", "unknown status"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t).up(task.Cleaning)
			s.Node.SetInternal("agent_command_id", "of the step before")
			s.Node.SetInternal("hardware_manager_version", map[string]any{"GenericHardwareManager": "1.2"})
			s.ramdisk.reply = func(string, map[string]any) map[string]any { return tt.reply }
			step := eraseStep
			step.Args, step.Abortable = task.Info{"depth": json.Number("3")}, true
			state, err := s.deploy.ExecuteStep(t.Context(), s.Task, deploy.CleanSteps, step)
			require.Equal(t, tt.state, state)
			if tt.want != "" {
				require.ErrorContains(t, err, tt.want)
			} else {
				require.NoError(t, err)
			}
			kept, _ := s.Node.DriverInternalInfo["agent_command_id"].(string)
			require.Equal(t, tt.state != "", kept == "id-0")
			require.Equal(t, tt.state == "", kept == "")
			sent := s.ramdisk.params["clean.execute_clean_step"]
			require.Equal(t, map[string]any{"GenericHardwareManager": "1.2"}, sent["clean_version"])
			require.Equal(t, map[string]any{"interface": "deploy", "step": "erase_devices", "priority": 10.0, "abortable": true, "args": map[string]any{"depth": 3.0}}, sent["step"])
			require.Equal(t, s.Node.UUID, sent["node"].(map[string]any)["uuid"])
			require.Len(t, sent["ports"], 1)
		})
	}
	t.Run("busy", func(t *testing.T) {
		t.Parallel()
		s := newSite(t).runs(task.Deploying, writeStep)
		_, err := executes("write_image")(t.Context(), s)
		require.ErrorIs(t, err, agent.ErrBusy)
		requireNoSecret(t, err)
	})
	t.Run("no ports", func(t *testing.T) {
		t.Parallel()
		s := newSite(t).up(task.Cleaning)
		s.Ports = nil
		_, err := s.deploy.ExecuteStep(t.Context(), s.Task, deploy.CleanSteps, eraseStep)
		require.NoError(t, err)
		require.Equal(t, []any{}, s.ramdisk.params["clean.execute_clean_step"]["ports"], "an agent wants a list")
	})
}

// TestTearDownAgent lets a machine switch itself off, or not.
func TestTearDownAgent(t *testing.T) {
	t.Parallel()
	const off = "power.SetPowerState: power off"
	gone := func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }
	for name, tt := range map[string]struct {
		offAfter time.Duration // of the order; 0 means never
		before   func(http.ResponseWriter, *http.Request) bool
		reply    map[string]any
		want     time.Duration // how long it takes, at least
		most     time.Duration
		seen     int // pieces of evidence
	}{
		"off at once":              {offAfter: time.Nanosecond, most: 200 * time.Millisecond},
		"off after a while":        {offAfter: 10 * time.Second, want: 10 * time.Second, most: 15 * time.Second},
		"answers after it is done": {offAfter: time.Second, reply: map[string]any{"command_status": "SUCCEEDED"}, want: time.Second, most: 2 * time.Second},
		"never off":                {want: 35 * time.Second, most: 35 * time.Second},
		"does not answer":          {before: gone, want: 38 * time.Second, most: 38 * time.Second, seen: 1}, // 1 and 2 s between its attempts
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t).up(task.Deploying)
				s.ramdisk.before = tt.before
				s.ramdisk.reply = func(string, map[string]any) map[string]any { return tt.reply }
				begin := time.Now()
				s.power.PowerStateFunc = func(context.Context, *task.Task) (driver.PowerState, error) {
					if tt.offAfter > 0 && time.Since(begin) >= tt.offAfter {
						return driver.PowerOff, nil
					}
					if time.Since(begin) < 3*time.Second {
						return "", errBroken // a BMC that is slow to answer is asked again
					}
					return driver.PowerOn, nil
				}
				state, err := executes("tear_down_agent")(t.Context(), s)
				require.NoError(t, err)
				require.Empty(t, state)
				require.GreaterOrEqual(t, time.Since(begin), tt.want)
				require.LessOrEqual(t, time.Since(begin), tt.most)
				require.Equal(t, []string{off}, s.called(), "the BMC is told in any case, and the node records it")
				require.Equal(t, "power off", s.Node.PowerState)
				require.Empty(t, s.session())
				require.Len(t, s.seen.Evidence(), tt.seen)
			})
		})
	}
}

func TestTearDownAgentFails(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		prepare func(*site)
		want    string
	}{
		"busy": {func(s *site) { s.runs(task.Deploying, writeStep) }, "busy"},
		"refuses": {func(s *site) {
			s.ramdisk.reply = func(string, map[string]any) map[string]any {
				return map[string]any{"command_status": "FAILED", "command_error": map[string]any{"type": "SystemRebootError"}}
			}
		}, "SystemRebootError"},
		"has another token": {func(s *site) { s.ramdisk.token = "another" }, "restarted, or is another one"},
		"never called":      {func(s *site) { s.Node.SetInternal("agent_url", nil) }, "agent_url: missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t).up(task.Deploying)
			tt.prepare(s)
			_, err := executes("tear_down_agent")(t.Context(), s)
			require.ErrorContains(t, err, tt.want)
			require.Empty(t, s.called(), "what was not flushed may still be written")
			requireNoSecret(t, err)
		})
	}
	t.Run("the BMC fails", func(t *testing.T) {
		t.Parallel()
		s := newSite(t).up(task.Deploying)
		s.power.SetPowerStateFunc = func(context.Context, *task.Task, driver.PowerState) error { return errBroken }
		_, err := executes("tear_down_agent")(t.Context(), s)
		require.ErrorIs(t, err, errBroken)
	})
	t.Run("canceled", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t).up(task.Deploying)
			s.power.Put(s.Node.UUID, driver.PowerOn)
			why := errors.New("by request")
			ctx, cancel := contextWithCause(t, why)
			time.AfterFunc(3*time.Second, cancel)
			begin := time.Now()
			_, err := executes("tear_down_agent")(ctx, s)
			require.ErrorIs(t, err, why)
			require.Equal(t, 3*time.Second, time.Since(begin))
			require.Empty(t, s.called())
			require.Equal(t, canary, s.Node.DriverInternalInfo["agent_secret_token"])
		})
	})
}

// cleanAnswer is a ramdisk's answer to get_clean_steps.
func cleanAnswer(result any) func(string, map[string]any) map[string]any {
	return func(string, map[string]any) map[string]any {
		return map[string]any{"command_status": "SUCCEEDED", "command_result": result}
	}
}

func TestCleanSteps(t *testing.T) {
	t.Parallel()
	s := newSite(t).up(task.Cleaning)
	s.ramdisk.reply = cleanAnswer(map[string]any{
		"clean_steps": map[string]any{
			"GenericHardwareManager": []any{
				map[string]any{"step": "erase_devices", "priority": 10, "interface": "deploy", "reboot_requested": false, "abortable": true},
				map[string]any{"step": "create_configuration", "priority": 0, "interface": "raid", "reboot_requested": false, "abortable": true},
			},
			"AcmeHardwareManager": []any{
				map[string]any{"step": "burnin", "priority": 0, "interface": "deploy", "args": map[string]any{"smuggled": true},
					"argsinfo": map[string]any{"hours": map[string]any{"description": "how long", "required": true}}},
				map[string]any{"step": "erase_devices", "priority": 99, "interface": "deploy"},
			},
			"EmptyHardwareManager": []any{},
		},
		"hardware_manager_version": map[string]any{"GenericHardwareManager": "1.2", "AcmeHardwareManager": "7"},
		"more":                     []any{1},
	})
	steps, err := s.deploy.Steps(t.Context(), s.Task, deploy.CleanSteps)
	require.NoError(t, err)
	require.Equal(t, []deploy.Step{
		{Interface: "deploy", Name: "burnin", NeedsRamdisk: true, ArgsInfo: map[string]deploy.ArgInfo{"hours": {Description: "how long", Required: true}}},
		{Interface: "deploy", Name: "erase_devices", Priority: 99, NeedsRamdisk: true},
	}, steps, "those of other interfaces are other roles', and of two with one name the first counts")
	require.Equal(t, map[string]any{"GenericHardwareManager": "1.2", "AcmeHardwareManager": "7"}, s.Node.DriverInternalInfo["hardware_manager_version"])
	sent := s.ramdisk.params["clean.get_clean_steps"]
	require.Equal(t, s.Node.UUID, sent["node"].(map[string]any)["uuid"])
	require.Len(t, sent["ports"], 1)

	// A shared task lists the same and records nothing.
	m := tasktest.Manager(t, s.Node)
	shared, err := m.Acquire(t.Context(), s.Node.UUID, task.Shared, "test")
	require.NoError(t, err)
	shared.Node.SetInternal("hardware_manager_version", nil)
	again, err := s.deploy.Steps(t.Context(), shared, deploy.CleanSteps)
	require.NoError(t, err)
	require.Equal(t, steps, again)
	require.NotContains(t, shared.Node.DriverInternalInfo, "hardware_manager_version")
}

func TestCleanStepsRefused(t *testing.T) {
	t.Parallel()
	list := func(steps ...any) any {
		return map[string]any{"clean_steps": map[string]any{"M": steps}, "hardware_manager_version": map[string]any{}}
	}
	step := func(name, role any) any { return map[string]any{"step": name, "interface": role, "priority": 1} }
	var tooMany []any
	for i := range 1001 {
		tooMany = append(tooMany, step(fmt.Sprint("s", i), "deploy"))
	}
	for name, tt := range map[string]struct {
		result any
		want   string
	}{
		"null":             {nil, "cannot be read"},
		"text":             {"none", "cannot be read"},
		"no steps":         {map[string]any{"hardware_manager_version": map[string]any{}}, "is missing"},
		"no versions":      {map[string]any{"clean_steps": map[string]any{}}, "is missing"},
		"priority":         {list(map[string]any{"step": "x", "interface": "deploy", "priority": "high"}), "cannot be read"},
		"endless priority": {list(map[string]any{"step": "x", "interface": "deploy", "priority": json.Number("1" + strings.Repeat("0", 1<<19))}), "cannot be read"},
		"no name":          {list(step("", "deploy")), "bad name or no interface"},
		"no interface":     {list(step("x", nil)), "bad name or no interface"},
		"long name":        {list(step(strings.Repeat("x", 256), "deploy")), "bad name or no interface"},
		"name with escape": {list(step("\x1b[2J", "deploy")), "bad name or no interface"},
		"too many":         {list(tooMany...), "more than 1000"},
		"too long":         {list(step("x", strings.Repeat("y", 1<<20))), "longer than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t).up(task.Cleaning)
			s.ramdisk.reply = cleanAnswer(tt.result)
			steps, err := s.deploy.Steps(t.Context(), s.Task, deploy.CleanSteps)
			require.ErrorContains(t, err, tt.want)
			require.ErrorContains(t, err, "agent.Steps: node n1: ")
			require.Less(t, len(err.Error()), 2000)
			require.NotContains(t, err.Error(), "\x1b")
			require.Nil(t, steps)
			require.NotContains(t, s.Node.DriverInternalInfo, "hardware_manager_version")
		})
	}
}

func TestCleanStepsNotAnswered(t *testing.T) {
	t.Parallel()
	s := newSite(t).up(task.Cleaning)
	s.ramdisk.reply = func(string, map[string]any) map[string]any {
		return map[string]any{"command_status": "FAILED", "command_error": map[string]any{"message": "no lshw"}}
	}
	_, err := s.deploy.Steps(t.Context(), s.Task, deploy.CleanSteps)
	require.ErrorContains(t, err, "no lshw")

	synctest.Test(t, func(t *testing.T) {
		s := newSite(t).up(task.Cleaning)
		s.ramdisk.before = func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }
		_, err := s.deploy.Steps(t.Context(), s.Task, deploy.CleanSteps)
		require.ErrorIs(t, err, agent.ErrUnreachable)
		require.ErrorContains(t, err, "(see that the machine runs and that this host reaches its callback URL)")

		// The answer got lost, and the command is found running.
		s = newSite(t).up(task.Cleaning)
		s.ramdisk.lose = 1
		_, err = s.deploy.Steps(t.Context(), s.Task, deploy.CleanSteps)
		require.ErrorIs(t, err, task.ErrTimeout)
		require.ErrorContains(t, err, "get_clean_steps")
	})
}

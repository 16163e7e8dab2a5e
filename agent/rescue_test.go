package agent_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// newRescue returns a site in that state, and its rescue interface.
func newRescue(t *testing.T, state task.State) (*site, *agent.Rescue) {
	t.Helper()
	s := newSite(t)
	s.Node.ProvisionState = state
	s.Node.InstanceInfo["rescue_password"] = "hunter2"
	s.power.Put(s.Node.UUID, driver.PowerOn)
	return s, agent.NewRescue(s.deploy)
}

func TestRescue(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, r := newRescue(t, task.Rescuing)
	require.NoError(t, r.Validate(ctx, s.Task))
	s.called()
	state, err := r.Rescue(ctx, s.Task)
	require.NoError(t, err)
	require.Equal(t, task.RescueWait, state)
	require.Equal(t, []string{"boot.CleanUpInstance", "boot.PrepareRamdisk", "power.SetPowerState: rebooting"}, s.called())
	params, _ := s.boot.Ramdisk(s.Node.UUID)
	require.NotContains(t, params, "hunter2")

	s.Node.ProvisionState = task.RescueWait
	s.Node.SetInternal("agent_secret_token", canary)
	done := map[string]any{"command_status": "SUCCEEDED"}
	s.ramdisk.reply = func(string, map[string]any) map[string]any { return done }
	beat := deploy.Heartbeat{CallbackURL: callback, AgentVersion: "9.14.1"}
	state, err = r.FinishRescue(ctx, s.Task, beat)
	require.NoError(t, err)
	require.Equal(t, task.Rescue, state)
	sent := s.ramdisk.params["rescue.finalize_rescue"]
	require.Equal(t, true, sent["hashed"])
	require.Regexp(t, `^\$5\$[./0-9A-Za-z]{16}\$[./0-9A-Za-z]{43}$`, sent["rescue_password"])
	require.Empty(t, s.session(), "the agent does not listen any more")

	s.Node.ProvisionState = task.Unrescuing
	state, err = r.Unrescue(ctx, s.Task)
	require.NoError(t, err)
	require.Equal(t, task.Active, state)
	require.Equal(t, []string{"power.SetPowerState: power off", "boot.CleanUpRamdisk", "boot.PrepareInstance", "power.SetPowerState: power on"}, s.called())
	for range 2 {
		require.NoError(t, r.CleanUp(ctx, s.Task))
	}
	require.NoError(t, r.CheckSiblings(&driver.Driver{Boot: s.boot}))
	require.Error(t, r.CheckSiblings(&driver.Driver{}))
	require.True(t, r.Properties()["instance_info.rescue_password"].Secret)
}

func TestRescueFails(t *testing.T) {
	t.Parallel()
	beat := deploy.Heartbeat{CallbackURL: callback, AgentVersion: "9.14.1"}
	for name, tt := range map[string]struct {
		change func(s *site)
		waits  bool
		want   string
	}{
		"failed":      {func(s *site) { s.ramdisk.reply = answers("FAILED", "no disk for it") }, false, "no disk for it"},
		"too old":     {func(s *site) { s.ramdisk.before = refuses("Object of type TypeError is not JSON serializable") }, false, "(use a newer ramdisk)"},
		"no folder":   {func(s *site) { s.ramdisk.before = refuses("Object of type OSError is not JSON serializable") }, false, "HTTP 500: Object of type OSError"},
		"cannot":      {func(s *site) { s.ramdisk.before = unknown("Extension with id rescue not found.") }, false, "nobody can log in to the ramdisk"},
		"another":     {func(s *site) { s.ramdisk.token = "another" }, false, "does not accept the node's token"},
		"no password": {func(s *site) { delete(s.Node.InstanceInfo, "rescue_password") }, false, "instance_info.rescue_password: missing"},
		"moved":       {func(s *site) { s.Node.SetInternal("agent_url", "http://192.0.2.66:9999") }, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, r := newRescue(t, task.RescueWait)
			s.Node.SetInternal("agent_secret_token", canary)
			tt.change(s)
			state, err := r.FinishRescue(t.Context(), s.Task, beat)
			if tt.waits {
				require.NoError(t, err)
				require.Equal(t, task.RescueWait, state)
				require.NotEmpty(t, s.seen.Evidence())
				return
			}
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "hunter2")
			require.NotContains(t, err.Error(), "$5$")
		})
	}
	s, r := newRescue(t, task.Active)
	s.boot.PrepareRamdiskFunc = nil
	s.Node.InstanceInfo["rescue_password"] = strings.Repeat("x", 257)
	require.ErrorContains(t, r.Validate(t.Context(), s.Task), "longer than 256 bytes")
	s.Node.InstanceInfo["rescue_password"] = "a\nb"
	require.ErrorContains(t, r.Validate(t.Context(), s.Task), "line break")
	s.power.SetPowerStateFunc = func(context.Context, *task.Task, driver.PowerState) error { return errBroken }
	_, err := r.Rescue(t.Context(), s.Task)
	require.ErrorIs(t, err, errBroken)
	_, err = r.Unrescue(t.Context(), s.Task)
	require.ErrorIs(t, err, errBroken)
}

func answers(status, message string) func(string, map[string]any) map[string]any {
	return func(_ string, params map[string]any) map[string]any {
		return map[string]any{"command_status": status, "command_error": map[string]any{"message": message}, "command_result": params}
	}
}

func unknown(text string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool { fault(w, 404, text); return true }
}

func refuses(text string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool { fault(w, 500, text); return true }
}

package agent_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/task"
)

var (
	writeStep = deploy.Step{Interface: "deploy", Name: "write_image", Priority: 80}
	eraseStep = deploy.Step{Interface: "deploy", Name: "erase_devices", Priority: 10}
	bootStep  = deploy.Step{Interface: "deploy", Name: "deploy", Priority: 100}
)

// beat has the ramdisk call.
func (s *site) beat(t *testing.T) (task.State, error) {
	t.Helper()
	return s.deploy.Heartbeat(t.Context(), s.Task, deploy.Heartbeat{CallbackURL: callback, AgentVersion: "9.14.1"})
}

func TestHeartbeatRecords(t *testing.T) {
	t.Parallel()
	for _, state := range []task.State{task.Deploying, task.Cleaning, task.RescueWait} {
		s := newSite(t)
		s.Node.ProvisionState = state
		before := time.Now().Add(-time.Second)
		got, err := s.deploy.Heartbeat(t.Context(), s.Task, deploy.Heartbeat{CallbackURL: callback, AgentVersion: "9.14.1", VerifyCA: "a certificate"})
		require.NoError(t, err)
		require.Equal(t, state, got)
		kept := s.session()
		at, err := time.Parse(time.RFC3339, kept.Text("agent_last_heartbeat"))
		require.NoError(t, err)
		require.WithinRange(t, at, before, time.Now())
		delete(kept, "agent_last_heartbeat")
		require.Equal(t, task.Info{"agent_url": callback, "agent_version": "9.14.1", "agent_verify_ca": "a certificate"}, kept)
		require.Empty(t, s.ramdisk.requests, "nothing waits for it")

	}
}

func TestHeartbeatOfBootedRamdisk(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		state task.State
		step  task.Info
	}{
		{task.DeployWait, nil}, {task.DeployWait, bootStep.Info()}, {task.CleanWait, nil},
	} {
		s := newSite(t)
		s.Node.ProvisionState, s.Node.DeployStep = tt.state, tt.step
		s.Node.SetInternal("agent_secret_token", canary)
		got, err := s.beat(t)
		require.NoError(t, err)
		require.Equal(t, task.DeployDone, got)
		require.Equal(t, "1732271736.12", s.Node.DriverInternalInfo["agent_started_at"])
		require.Equal(t, []string{"GET /v1/status"}, s.ramdisk.requests)
	}
}

func TestHeartbeatOfCommand(t *testing.T) {
	t.Parallel()
	failed := func(e any) map[string]any {
		return map[string]any{"command_status": "FAILED", "command_error": e}
	}
	for name, tt := range map[string]struct {
		answer map[string]any
		want   string // of the error; "" for none
		goesOn bool
		is     error
		seen   []task.Evidence
	}{
		"running": {nil, "", true, nil, nil},
		"running with progress": {map[string]any{"command_result": map[string]any{"progress": map[string]any{"done": 5, "total": 9}}},
			"", true, nil, []task.Evidence{{Stage: agent.StageWritten, Done: 5, Total: 9}}},
		"running with nonsense": {map[string]any{"command_result": map[string]any{"progress": map[string]any{"done": -5, "total": 9}}}, "", true, nil, nil},
		"succeeded":             {map[string]any{"command_status": "SUCCEEDED", "command_result": map[string]any{"deploy_result": nil}}, "", false, nil, nil},
		"failed": {failed(map[string]any{"type": "ImageChecksumError", "code": 500, "message": "Error verifying image checksum", "details": "they differ"}),
			"agent.Heartbeat: node n1: ramdisk command execute_deploy_step: ImageChecksumError: Error verifying image checksum: they differ", false, nil, nil},
		"failed without a reason":   {failed(nil), "gave no reason", false, nil, nil},
		"failed with an odd reason": {failed([]any{1, 2}), "gave no reason", false, nil, nil},
		"failed with a text":        {failed("it broke"), "it broke", false, nil, nil},
		"version mismatch": {map[string]any{"command_status": "CLEAN_VERSION_MISMATCH", "command_error": map[string]any{"type": "VersionMismatch"}},
			"hardware managers are not those", false, nil, nil},
		"unknown status": {map[string]any{"command_status": "DANCING"}, `unknown status "DANCING"`, false, nil, nil},
		"no result":      {map[string]any{"command_status": nil}, "cannot be read", true, nil, nil},
		"long id":        {map[string]any{"id": strings.Repeat("x", 256)}, "the ramdisk restarted", true, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t).runs(task.DeployWait, writeStep)
			s.ramdisk.finish(tt.answer)
			got, err := s.beat(t)
			_, keeps := s.Node.DriverInternalInfo["agent_command_id"]
			require.Equal(t, tt.goesOn, keeps, "a command that has ended is forgotten")
			for i := range tt.seen {
				tt.seen[i].Node = s.Node.UUID
			}
			require.Equal(t, tt.seen, s.seen.Evidence())
			require.Equal(t, []string{"GET /v1/status", "GET /v1/commands/id-0"}, s.ramdisk.requests)
			if tt.want != "" {
				require.ErrorContains(t, err, tt.want)
				require.Empty(t, got)
				var e *task.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, "n1", e.Node)
				return
			}
			require.NoError(t, err)
			if tt.goesOn {
				require.Equal(t, task.DeployWait, got)
			} else {
				require.Equal(t, task.DeployDone, got)
			}
		})
	}
}

func TestHeartbeatOfCleanStep(t *testing.T) {
	t.Parallel()
	s := newSite(t).runs(task.CleanWait, eraseStep)
	s.ramdisk.finish(map[string]any{"command_result": map[string]any{"progress": map[string]any{"done": 1, "total": 4}}})
	got, err := s.beat(t)
	require.NoError(t, err)
	require.Equal(t, task.CleanWait, got)
	require.Equal(t, []task.Evidence{{Node: s.Node.UUID, Stage: agent.StageHeartbeat, Done: 1, Total: 4}}, s.seen.Evidence())

	s.ramdisk.finish(map[string]any{"command_status": "SUCCEEDED"})
	got, err = s.beat(t)
	require.NoError(t, err)
	require.Equal(t, task.DeployDone, got)

	// A step that another role runs is none of the ramdisk's business.
	s = newSite(t).up(task.CleanWait)
	s.Node.CleanStep = deploy.Step{Interface: "raid", Name: "create"}.Info()
	got, err = s.beat(t)
	require.NoError(t, err)
	require.Equal(t, task.CleanWait, got)
}

func TestHeartbeatOfAnotherBoot(t *testing.T) {
	t.Parallel()
	t.Run("the agent restarted", func(t *testing.T) {
		t.Parallel()
		s := newSite(t).runs(task.DeployWait, writeStep)
		s.ramdisk.restart()
		_, err := s.beat(t)
		require.ErrorContains(t, err, "the ramdisk restarted in the middle of step deploy.write_image (see its console")
		require.Equal(t, []string{"GET /v1/status"}, s.ramdisk.requests)
	})
	t.Run("it lost the command", func(t *testing.T) {
		t.Parallel()
		s := newSite(t).runs(task.CleanWait, eraseStep)
		s.ramdisk.commands = nil
		_, err := s.beat(t)
		require.ErrorContains(t, err, "the ramdisk restarted in the middle of step deploy.erase_devices")
	})
	t.Run("it has another token", func(t *testing.T) {
		t.Parallel()
		s := newSite(t).runs(task.DeployWait, writeStep)
		s.ramdisk.token = "another"
		_, err := s.beat(t)
		require.ErrorIs(t, err, agent.ErrUnauthorized)
		require.ErrorContains(t, err, "(deploy or clean again, which boots the ramdisk anew)")
		requireNoSecret(t, err)
	})
	t.Run("while it boots that is no matter", func(t *testing.T) {
		t.Parallel()
		s := newSite(t).up(task.DeployWait)
		s.Node.DeployStep = bootStep.Info()
		s.ramdisk.restart()
		got, err := s.beat(t)
		require.NoError(t, err)
		require.Equal(t, task.DeployDone, got)
		require.Equal(t, "1732279999.5", s.Node.DriverInternalInfo["agent_started_at"])
	})
}

func TestHeartbeatUnreachable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, path := range []string{"/v1/status", "/v1/commands/id-0"} {
			s := newSite(t).runs(task.DeployWait, writeStep)
			s.ramdisk.before = func(_ http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == path {
					panic(http.ErrAbortHandler)
				}
				return false
			}
			got, err := s.beat(t)
			require.NoError(t, err, "it is asked again at its next heartbeat")
			require.Equal(t, task.DeployWait, got)
			require.Equal(t, 3, s.ramdisk.count("GET "+path))
			all := s.seen.Evidence()
			require.Len(t, all, 1)
			require.True(t, all[0].Failed)
			require.Equal(t, agent.StageHeartbeat, all[0].Stage)
			require.Contains(t, all[0].Detail, "callback URL cannot be reached")
			require.NotContains(t, all[0].Detail, canary)

			s.ramdisk.before = nil
			s.ramdisk.finish(map[string]any{"command_status": "SUCCEEDED"})
			got, err = s.beat(t)
			require.NoError(t, err)
			require.Equal(t, task.DeployDone, got)
		}
	})
}

// TestHeartbeatIsBounded has a ramdisk that takes the connection and says nothing.
func TestHeartbeatIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, path := range []string{"/v1/status", "/v1/commands/id-0"} {
			s := newSite(t).runs(task.DeployWait, writeStep)
			s.ramdisk.before = func(_ http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == path {
					<-r.Context().Done()
					panic(http.ErrAbortHandler)
				}
				return false
			}
			began := time.Now()
			got, err := s.beat(t)
			require.NoError(t, err)
			require.Equal(t, task.DeployWait, got)
			require.Equal(t, 10*time.Second, time.Since(began), "the next node waits no longer")
			require.Len(t, s.seen.Evidence(), 1)
			require.Equal(t, "id-0", s.Node.DriverInternalInfo["agent_command_id"])
		}
	})
}

func TestHeartbeatCanceled(t *testing.T) {
	t.Parallel()
	s := newSite(t).runs(task.DeployWait, writeStep)
	ctx, cancel := contextWithCause(t, errors.New("by request"))
	s.ramdisk.before = func(http.ResponseWriter, *http.Request) bool {
		cancel()
		panic(http.ErrAbortHandler)
	}
	_, err := s.deploy.Heartbeat(ctx, s.Task, deploy.Heartbeat{CallbackURL: callback})
	require.ErrorContains(t, err, "by request")
	require.Equal(t, "id-0", s.Node.DriverInternalInfo["agent_command_id"])
}

func TestHeartbeatStatus(t *testing.T) {
	t.Parallel()
	s := newSite(t).runs(task.DeployWait, writeStep)
	_, err := s.deploy.Heartbeat(t.Context(), s.Task, deploy.Heartbeat{CallbackURL: callback, Status: "error", StatusMessage: "no disk\nat all, " + canary})
	require.ErrorContains(t, err, "agent.Heartbeat: node n1: the ramdisk reports an error: no disk; at all")
	requireNoSecret(t, err)
	require.Empty(t, s.ramdisk.requests)
	for _, status := range []string{"start", "end"} {
		got, err := s.deploy.Heartbeat(t.Context(), s.Task, deploy.Heartbeat{CallbackURL: callback, Status: status})
		require.NoError(t, err)
		require.Equal(t, task.DeployWait, got)
	}
}

func TestHeartbeatOfABadRecord(t *testing.T) {
	t.Parallel()
	s := newSite(t).runs(task.DeployWait, writeStep)
	s.Node.DeployStep["priority"] = "high"
	_, err := s.beat(t)
	require.ErrorIs(t, err, task.ErrInvalidParameter)
	require.ErrorContains(t, err, "write_image")

	s = newSite(t).runs(task.DeployWait, writeStep)
	s.Node.SetInternal("agent_url", nil)
	_, err = s.deploy.Heartbeat(t.Context(), s.Task, deploy.Heartbeat{})
	require.ErrorIs(t, err, task.ErrMissingParameter)
	_, err = s.deploy.Heartbeat(t.Context(), s.Task, deploy.Heartbeat{Status: "error"})
	require.ErrorIs(t, err, task.ErrMissingParameter)
}

// TestHeartbeatBoundsWhatIsKept has a ramdisk say more than a node should hold.
func TestHeartbeatBoundsWhatIsKept(t *testing.T) {
	t.Parallel()
	s := newSite(t).up(task.DeployWait)
	s.ramdisk.started = "1" + strings.Repeat("0", 300)
	_, err := s.beat(t)
	require.ErrorContains(t, err, "started_at is too long")
	s.ramdisk.started = `"` + strings.Repeat("x", 1<<20) + `"`
	_, err = s.beat(t)
	require.ErrorContains(t, err, "cannot be read")
	require.Less(t, len(err.Error()), 2000)
}

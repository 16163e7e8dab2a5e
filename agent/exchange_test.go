package agent_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/task"
)

// A turn is one request of a conductor, and what an ironic-python-agent 9.14.1
// answered to it: testdata/exchanges has the forms that were seen on the wire,
// with words and values of our own.
type turn struct {
	Ask    string          `json:"ask"` // "GET path below /v1/", or "POST command"
	Status int             `json:"status"`
	Answer json.RawMessage `json:"answer"`
}

// replays has the site's ramdisk answer as in that exchange, and nothing else.
func replays(t *testing.T, name string) *site {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "exchanges", name+".json"))
	require.NoError(t, err)
	var turns []turn
	require.NoError(t, json.Unmarshal(data, &turns))
	s := newSite(t)
	s.Node.InstanceInfo["image_url"] = imageURL
	s.Node.Properties["capabilities"] = "boot_mode:bios"
	s.Node.SetInternal("agent_secret_token", canary)
	s.ramdisk.before = func(w http.ResponseWriter, r *http.Request) bool {
		ask := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/v1/")
		if r.Method == http.MethodPost {
			var body struct{ Name string }
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
				t.Error(err)
			}
			ask = "POST " + body.Name
		}
		if len(turns) == 0 || turns[0].Ask != ask {
			t.Errorf("the conductor asks %q, which is not its turn: %v", ask, turns)
			panic(http.ErrAbortHandler)
		}
		if r.URL.Path != "/v1/status" && r.URL.Query().Get("agent_token") != canary {
			t.Errorf("%s without the token", ask)
		}
		w.Header().Set("Content-Type", "application/json")
		if turns[0].Status != 0 {
			w.WriteHeader(turns[0].Status)
		}
		fmt.Fprintf(w, "%s", turns[0].Answer)
		turns = turns[1:]
		return true
	}
	t.Cleanup(func() {
		if len(turns) > 0 && !t.Failed() {
			t.Errorf("the conductor did not ask %q", turns[0].Ask)
		}
	})
	return s
}

// expects has the ramdisk call while step runs, and requires what is answered.
func (s *site) expects(t *testing.T, wait task.State, step deploy.Step, want task.State) {
	t.Helper()
	s.Node.ProvisionState = wait
	current := &s.Node.DeployStep
	if wait == task.CleanWait {
		current = &s.Node.CleanStep
	}
	*current = step.Info()
	got, err := s.beat(t)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

var eraseMetadata = deploy.Step{Interface: "deploy", Name: "erase_devices_metadata", Priority: 99, Abortable: true, NeedsRamdisk: true}

func TestExchangeOfCleaning(t *testing.T) {
	t.Parallel()
	s := replays(t, "cleaning")
	s.expects(t, task.CleanWait, deploy.Step{}, task.DeployDone)
	s.Node.ProvisionState = task.Cleaning
	require.Equal(t, map[string]int{"erase_devices": 10, "erase_devices_metadata": 99, "erase_pstore": 0, "clean_uefi_nvram": 0}, s.steps(t, deploy.CleanSteps))
	state, err := s.deploy.ExecuteStep(t.Context(), s.Task, deploy.CleanSteps, eraseMetadata)
	require.NoError(t, err)
	require.Equal(t, task.CleanWait, state)
	s.expects(t, task.CleanWait, eraseMetadata, task.CleanWait)
	s.expects(t, task.CleanWait, eraseMetadata, task.DeployDone)
}

func TestExchangeOfDeploying(t *testing.T) {
	t.Parallel()
	s := replays(t, "deploying")
	s.expects(t, task.DeployWait, bootStep, task.DeployDone)
	s.Node.ProvisionState = task.Deploying
	steps := s.steps(t, deploy.DeploySteps)
	require.Equal(t, 80, steps["write_image"])
	require.Contains(t, steps, "inject_files")
	state, err := executes("write_image")(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, task.DeployWait, state)
	s.expects(t, task.DeployWait, writeStep, task.DeployWait)
	s.expects(t, task.DeployWait, writeStep, task.DeployDone)
	s.Node.ProvisionState = task.Deploying
	for _, name := range []string{"prepare_instance_boot", "tear_down_agent", "boot_instance"} {
		_, err := executes(name)(t.Context(), s)
		require.NoError(t, err)
	}
	require.Equal(t, "0x30f39567", s.Node.DriverInternalInfo["root_uuid_or_disk_id"])
	require.Equal(t, []string{"boot.PrepareInstance", "power.SetPowerState: power off", "power.SetPowerState: power on"}, s.called())
}

func TestExchangesThatFail(t *testing.T) {
	t.Parallel()
	s := replays(t, "failing")
	s.expects(t, task.DeployWait, bootStep, task.DeployDone)
	s.Node.ProvisionState = task.Deploying
	s.steps(t, deploy.DeploySteps)
	_, err := executes("write_image")(t.Context(), s)
	require.NoError(t, err)
	s.Node.ProvisionState, s.Node.DeployStep = task.DeployWait, writeStep.Info()
	_, err = s.beat(t)
	require.ErrorContains(t, err, "ImageChecksumError: a message of one line: two checksums that differ")

	s = replays(t, "busy")
	s.expects(t, task.DeployWait, bootStep, task.DeployDone)
	s.Node.ProvisionState = task.Deploying
	s.steps(t, deploy.DeploySteps)
	_, err = executes("write_image")(t.Context(), s)
	require.ErrorIs(t, err, agent.ErrBusy)
}

func TestExchangeOfMismatch(t *testing.T) {
	t.Parallel()
	s := replays(t, "mismatch")
	s.expects(t, task.CleanWait, deploy.Step{}, task.DeployDone)
	s.Node.ProvisionState = task.Cleaning
	s.steps(t, deploy.CleanSteps)
	_, err := s.deploy.ExecuteStep(t.Context(), s.Task, deploy.CleanSteps, eraseMetadata)
	require.NoError(t, err)
	s.expects(t, task.CleanWait, eraseMetadata, task.CleanWait)
	require.Equal(t, "00000000-0000-4000-8000-000000000004", s.Node.DriverInternalInfo["agent_command_id"])
}

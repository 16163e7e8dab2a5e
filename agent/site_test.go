package agent_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

const (
	apiURL   = "http://192.0.2.1:6385"
	imageURL = "http://192.0.2.2/images/disk.raw"
)

// sha256Sum looks like one.
var sha256Sum = strings.Repeat("0123456789abcdef", 4)

// A site is a Deploy between fakes, and a task on a node that is deployed by it.
// The ramdisk is reached without sockets, so a site works in a synctest bubble.
type site struct {
	*task.Task
	deploy  *agent.Deploy
	calls   *drivertest.Calls
	power   *drivertest.Power
	boot    *drivertest.Boot
	ramdisk *fakeRamdisk
	seen    *tasktest.Recorder
}

func newSite(t *testing.T, change ...func(*agent.Config)) *site {
	t.Helper()
	s := &site{ramdisk: newRamdisk(), calls: new(drivertest.Calls)}
	c := agent.Config{APIURL: apiURL, HTTPClient: &http.Client{Transport: direct{s.ramdisk}}}
	for _, f := range change {
		f(&c)
	}
	var err error
	s.deploy, err = agent.New(c)
	require.NoError(t, err)
	n := tasktest.Node("n1")
	n.ProvisionState = task.Deploying
	n.InstanceInfo = task.Info{"image_source": imageURL, "image_os_hash_algo": "sha256", "image_os_hash_value": sha256Sum}
	s.power, s.boot = &drivertest.Power{Calls: s.calls}, &drivertest.Boot{Calls: s.calls}
	s.Task = tasktest.Task(t, n)
	s.Driver = &driver.Driver{Title: "fake", Power: s.power, Boot: s.boot, Deploy: s.deploy}
	s.seen = tasktest.Record(s.Task)
	return s
}

// up makes the node one whose ramdisk has called and waits in state.
func (s *site) up(state task.State) *site {
	n := s.Node
	n.ProvisionState = state
	n.InstanceInfo["image_url"] = n.InstanceInfo["image_source"]
	n.SetInternal("agent_secret_token", canary)
	n.SetInternal("agent_url", callback)
	n.SetInternal("agent_started_at", s.ramdisk.started)
	return s
}

// runs makes the node one whose ramdisk runs step, by the command id-0.
func (s *site) runs(state task.State, step deploy.Step) *site {
	s.up(state)
	command := "execute_deploy_step"
	if state == task.CleanWait {
		s.Node.CleanStep, command = step.Info(), "execute_clean_step"
	} else {
		s.Node.DeployStep = step.Info()
	}
	s.Node.SetInternal("agent_command_id", "id-0")
	s.ramdisk.commands = []map[string]any{{"id": "id-0", "command_name": command, "command_status": "RUNNING"}}
	return s
}

// session is what the node keeps of its ramdisk.
func (s *site) session() task.Info {
	kept := task.Info{}
	for key, value := range s.Node.DriverInternalInfo {
		if strings.HasPrefix(key, "agent_") || key == "hardware_manager_version" {
			kept[key] = value
		}
	}
	return kept
}

// called returns the calls of the fakes, without those that only look.
func (s *site) called() []string {
	var calls []string
	for _, c := range s.calls.List() {
		if !strings.HasPrefix(c, "power.PowerState") {
			calls = append(calls, strings.Replace(c, " "+s.Node.Name, "", 1))
		}
	}
	s.calls.Reset()
	return calls
}

package agent_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestNewNamesEveryProblem(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config agent.Config
		fields []string
	}{
		"nothing":            {agent.Config{}, []string{"APIURL: missing"}},
		"credentials":        {agent.Config{APIURL: "http://u:hunter2@x"}, []string{"APIURL: invalid"}},
		"tree alone":         {agent.Config{APIURL: apiURL, Tree: new(artifact.Tree)}, []string{"TreeURL: missing", "ImageDirs: missing"}},
		"directories alone":  {agent.Config{APIURL: apiURL, ImageDirs: artifact.Dirs{"/srv"}}, []string{"Tree: missing"}},
		"relative directory": {agent.Config{APIURL: apiURL, Tree: new(artifact.Tree), TreeURL: "http://x", ImageDirs: artifact.Dirs{"/srv", "srv", "."}}, []string{`"srv" is not absolute`, `"." is not absolute`}},
		"all": {agent.Config{APIURL: "ftp://x", Tree: new(artifact.Tree), TreeURL: "http://x/?q", PowerOffWait: -1},
			[]string{"APIURL: invalid", "TreeURL: invalid", "ImageDirs: missing", "PowerOffWait: invalid"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := agent.New(tt.config)
			require.Nil(t, d)
			require.ErrorIs(t, err, task.ErrInvalidParameter)
			problems := task.Problems(err)
			require.Len(t, problems, len(tt.fields), "%v", err)
			for i, want := range tt.fields {
				require.ErrorContains(t, problems[i], "agent.New: ")
				require.ErrorContains(t, problems[i], want)
			}
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestPrepare(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		state task.State
		want  string
	}{
		{task.Available, "boot.PrepareRamdisk"},
		{task.Deploying, "boot.PrepareRamdisk"},
		{task.DeployWait, "boot.PrepareRamdisk"},
		{task.Active, "boot.PrepareInstance"},
		{task.Adopting, "boot.PrepareInstance"},
	} {
		s := newSite(t)
		s.Node.ProvisionState = tt.state
		for range 2 { // it may be called again
			require.NoError(t, s.deploy.Prepare(t.Context(), s.Task))
			require.Equal(t, []string{tt.want}, s.called(), "state %s", tt.state)
		}
		params, prepared := s.boot.Ramdisk(s.Node.UUID)
		require.Equal(t, tt.want == "boot.PrepareRamdisk", prepared)
		if prepared {
			require.Equal(t, boot.Params{"ipa-api-url": apiURL}, params)
			require.Equal(t, imageURL, s.Node.InstanceInfo["image_url"])
		} else {
			require.NotContains(t, s.Node.InstanceInfo, "image_url", "a running instance is left alone")
		}
		require.Equal(t, driver.PowerOff, s.power.State(s.Node.UUID))
	}
}

// TestCallOrder holds each method to what it does to its siblings, and in what
// order.
func TestCallOrder(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		call  func(ctx context.Context, s *site) (task.State, error)
		state task.State
		calls []string
		ends  bool // the session with the ramdisk
	}{
		{"Deploy", func(ctx context.Context, s *site) (task.State, error) { return s.deploy.Deploy(ctx, s.Task) },
			task.DeployWait, []string{"power.SetPowerState: rebooting"}, true},
		{"TearDown", func(ctx context.Context, s *site) (task.State, error) { return s.deploy.TearDown(ctx, s.Task) },
			task.Deleted, []string{"power.SetPowerState: power off"}, true},
		{"CleanUp", func(ctx context.Context, s *site) (task.State, error) { return "", s.deploy.CleanUp(ctx, s.Task) },
			"", []string{"boot.CleanUpRamdisk", "boot.CleanUpInstance"}, true},
		{"TakeOver", func(ctx context.Context, s *site) (task.State, error) { return "", s.deploy.TakeOver(ctx, s.Task) },
			"", nil, false},
		{"PrepareCleaning", func(ctx context.Context, s *site) (task.State, error) { return s.deploy.PrepareCleaning(ctx, s.Task) },
			task.CleanWait, []string{"boot.PrepareRamdisk", "power.SetPowerState: rebooting"}, true},
		{"TearDownCleaning", func(ctx context.Context, s *site) (task.State, error) {
			return "", s.deploy.TearDownCleaning(ctx, s.Task)
		},
			"", []string{"power.SetPowerState: power off", "boot.CleanUpRamdisk"}, true},
		{"boot_instance", executes("boot_instance"), "", []string{"power.SetPowerState: power on"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t).up(task.Deploying)
			kept := s.session()
			for range 2 { // each may be called again
				state, err := tt.call(t.Context(), s)
				require.NoError(t, err)
				require.Equal(t, tt.state, state)
				require.Equal(t, tt.calls, s.called())
			}
			if tt.ends {
				kept = task.Info{}
			}
			if tt.name == "PrepareCleaning" {
				require.Equal(t, true, s.Node.DriverInternalInfo["agent_erase_devices_zeroize"])
				for key := range s.session() {
					if strings.HasPrefix(key, "agent_enable_") || strings.HasPrefix(key, "agent_continue_") || strings.HasPrefix(key, "agent_erase_") {
						s.Node.SetInternal(key, nil)
					}
				}
			}
			require.Equal(t, kept, s.session())
			if tt.name == "PrepareCleaning" {
				params, _ := s.boot.Ramdisk(s.Node.UUID)
				require.Equal(t, boot.Params{"ipa-api-url": apiURL}, params)
			}
			if tt.name == "CleanUp" {
				require.NotContains(t, s.Node.InstanceInfo, "image_url")
			}
			require.Empty(t, s.ramdisk.requests)
		})
	}
}

func executes(name string) func(context.Context, *site) (task.State, error) {
	return func(ctx context.Context, s *site) (task.State, error) {
		return s.deploy.ExecuteStep(ctx, s.Task, deploy.DeploySteps, deploy.Step{Interface: "deploy", Name: name})
	}
}

var errBroken = errors.New("out of order")

func TestSiblingFails(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	broken := func(s *site) *site {
		fails := func(context.Context, *task.Task) error { return errBroken }
		s.power.SetPowerStateFunc = func(context.Context, *task.Task, driver.PowerState) error { return errBroken }
		s.boot.CleanUpRamdiskFunc, s.boot.PrepareInstanceFunc = fails, fails
		return s
	}
	t.Run("the ramdisk is not booted", func(t *testing.T) {
		t.Parallel()
		for _, call := range []func(context.Context, *task.Task) (task.State, error){
			newSite(t).deploy.Deploy, newSite(t).deploy.TearDown, newSite(t).deploy.PrepareCleaning,
		} {
			s := broken(newSite(t))
			state, err := call(ctx, s.Task)
			require.ErrorIs(t, err, errBroken)
			require.Empty(t, state)
		}
		s := newSite(t)
		s.boot.PrepareRamdiskFunc = func(context.Context, *task.Task, boot.Params) error { return errBroken }
		require.ErrorIs(t, s.deploy.Prepare(ctx, s.Task), errBroken)
		_, err := s.deploy.PrepareCleaning(ctx, s.Task)
		require.ErrorIs(t, err, errBroken)
		require.Equal(t, []string{"boot.PrepareRamdisk", "boot.PrepareRamdisk"}, s.called(), "a machine that would not find its ramdisk is not booted")
	})
	t.Run("what can be cleaned up is", func(t *testing.T) {
		t.Parallel()
		s := broken(newSite(t)).up(task.CleanFail)
		require.ErrorIs(t, s.deploy.CleanUp(ctx, s.Task), errBroken)
		require.Equal(t, []string{"boot.CleanUpRamdisk", "boot.CleanUpInstance"}, s.called())
		require.Empty(t, s.session())

		s = broken(newSite(t)).up(task.CleanFail)
		err := s.deploy.TearDownCleaning(ctx, s.Task)
		require.Len(t, task.Problems(err), 2)
		require.Equal(t, []string{"power.SetPowerState: power off", "boot.CleanUpRamdisk"}, s.called())
		require.Empty(t, s.session())
	})
	t.Run("steps fail", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{"prepare_instance_boot", "boot_instance"} {
			s := broken(newSite(t)).up(task.Deploying)
			s.Node.Properties["capabilities"] = "boot_mode:bios"
			_, err := executes(name)(ctx, s)
			require.ErrorIs(t, err, errBroken)
		}
	})
}

func TestExclusiveLockRequired(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := tasktest.Manager(t, s.Node)
	shared, err := m.Acquire(t.Context(), s.Node.UUID, task.Shared, "test")
	require.NoError(t, err)
	shared.Driver = s.Driver
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"Deploy":           func() error { _, err := s.deploy.Deploy(ctx, shared); return err },
		"TakeOver":         func() error { return s.deploy.TakeOver(ctx, shared) },
		"TearDown":         func() error { _, err := s.deploy.TearDown(ctx, shared); return err },
		"PrepareCleaning":  func() error { _, err := s.deploy.PrepareCleaning(ctx, shared); return err },
		"TearDownCleaning": func() error { return s.deploy.TearDownCleaning(ctx, shared) },
		"Heartbeat":        func() error { _, err := s.deploy.Heartbeat(ctx, shared, deploy.Heartbeat{}); return err },
		"ExecuteStep": func() error {
			_, err := s.deploy.ExecuteStep(ctx, shared, deploy.CleanSteps, deploy.Step{Interface: "deploy", Name: "erase_devices"})
			return err
		},
	} {
		require.ErrorIs(t, call(), task.ErrNotExclusive, name)
	}
	require.Empty(t, s.called())
	require.Empty(t, s.ramdisk.requests)
	require.NoError(t, s.deploy.Validate(ctx, shared))
	require.NoError(t, s.deploy.CleanUp(ctx, shared), "it works under a shared lock")
}

// TestRamdiskFindsNoOldToken has a ramdisk that is faster than whoever deploys
// saves the node: a token of the boot before would lock it out.
func TestRamdiskFindsNoOldToken(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := tasktest.Manager(t, s.up(task.Deploying).Node)
	tk, err := m.Acquire(t.Context(), s.Node.UUID, task.Exclusive, "test")
	require.NoError(t, err)
	tk.Driver = s.Driver
	s.power.SetPowerStateFunc = func(ctx context.Context, tk *task.Task, _ driver.PowerState) error {
		rec, err := m.Get(ctx, tk.Node.UUID)
		require.NoError(t, err)
		require.Empty(t, rec.Node.DriverInternalInfo)
		return nil
	}
	_, err = s.deploy.Deploy(t.Context(), tk)
	require.NoError(t, err)
	require.NoError(t, tk.Release(t.Context()))

	gone, err := m.Acquire(t.Context(), s.Node.UUID, task.Exclusive, "test")
	require.NoError(t, err)
	gone.Driver = s.Driver
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.called()
	_, err = s.deploy.Deploy(ctx, gone)
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, s.called(), "the machine is not touched when the node cannot be saved")
	require.NoError(t, gone.Release(t.Context()))
}

func TestCheckSiblings(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	require.NoError(t, s.deploy.CheckSiblings(&driver.Driver{Boot: new(drivertest.Boot)}))
	require.ErrorIs(t, s.deploy.CheckSiblings(&driver.Driver{}), task.ErrMissingParameter)
	require.ErrorIs(t, s.deploy.CheckSiblings(&driver.Driver{Boot: volumeBoot{}}), task.ErrUnsupported)

	_, err := driver.Compose(driver.Driver{Title: "x", Power: new(drivertest.Power), Deploy: s.deploy})
	require.ErrorContains(t, err, "boot interface")
}

// volumeBoot boots from a remote volume only.
type volumeBoot struct{ boot.BootInterface }

func (volumeBoot) Capabilities() []boot.Capability {
	return []boot.Capability{boot.ISCSIVolumeBoot}
}

// stagedBoot knows its stages.
type stagedBoot struct{ boot.BootInterface }

func (stagedBoot) Stages(*task.Task) []string { return []string{boot.StageDHCP, boot.StageKernel} }

func TestStages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	require.Equal(t, []string{agent.StageLookup, agent.StageHeartbeat, agent.StageWritten}, s.deploy.Stages(s.Task))
	s.Driver = &driver.Driver{Boot: stagedBoot{}}
	require.Equal(t, []string{boot.StageDHCP, boot.StageKernel, agent.StageLookup, agent.StageHeartbeat, agent.StageWritten}, s.deploy.Stages(s.Task))
	for _, state := range []task.State{task.Cleaning, task.CleanWait} {
		s.Node.ProvisionState = state
		require.Equal(t, []string{boot.StageDHCP, boot.StageKernel, agent.StageLookup, agent.StageHeartbeat}, s.deploy.Stages(s.Task))
	}
}

func TestProperties(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *agent.Config) { c.PowerOffWait = time.Second })
	props := s.deploy.Properties()
	require.True(t, props["instance_info.image_source"].Required)
	require.True(t, props["instance_info.configdrive"].Secret)
	require.Equal(t, "raw", props["instance_info.image_disk_format"].Default)
	for _, p := range props {
		require.NotEmpty(t, p.Description)
	}
}

package agent_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

var bootLoaderStep = deploy.Step{Interface: "deploy", Name: "prepare_instance_boot", Priority: 60}

const root = "6a4f3b9c-1c9e-4f0b-8c55-0a8a0e3c1f11"

func TestPrepareInstanceBoot(t *testing.T) {
	t.Parallel()
	partition := task.Info{"image_type": "partition", "root_gb": 10}
	for name, tt := range map[string]struct {
		instance task.Info
		mode     string
		uuids    any
		root     any               // what is kept
		params   map[string]any    // of install_bootloader; nil for no call
		lacks    map[string]string // commands that the ramdisk does not have, and how it says so
		want     string
	}{
		"whole disk, BIOS":           {nil, "bios", map[string]any{"root uuid": "0x0badcafe"}, "0x0badcafe", nil, nil, ""},
		"whole disk, UEFI":           {nil, "uefi", map[string]any{"root uuid": "0x00000000"}, nil, map[string]any{"root_uuid": nil, "efi_system_part_uuid": nil, "prep_boot_part_uuid": nil, "target_boot_mode": "uefi"}, nil, ""},
		"whole disk, small ramdisk":  {nil, "uefi", nil, nil, nil, map[string]string{"image.install_bootloader": "Not found: Extension with id image not found.", "standby.get_partition_uuids": "Unknown command"}, ""},
		"whole disk, nothing told":   {nil, "bios", map[string]any{}, nil, nil, nil, ""},
		"partition, BIOS":            {partition, "bios", map[string]any{"root uuid": root, "partitions": map[string]any{"root": "/dev/sda3"}}, root, map[string]any{"root_uuid": root, "efi_system_part_uuid": nil, "prep_boot_part_uuid": nil, "target_boot_mode": "bios"}, nil, ""},
		"partition, UEFI":            {partition, "uefi", map[string]any{"root uuid": root, "efi system partition uuid": "ABCD-1234"}, root, map[string]any{"root_uuid": root, "efi_system_part_uuid": "ABCD-1234", "prep_boot_part_uuid": nil, "target_boot_mode": "uefi"}, nil, ""},
		"partition over the network": {task.Info{"image_type": "partition", "root_gb": 10, "capabilities": "boot_option:netboot"}, "bios", map[string]any{"root uuid": root}, root, nil, nil, ""},
		"partition without UUID":     {partition, "bios", map[string]any{"root uuid": nil}, nil, nil, nil, "does not tell the UUID of the root partition"},
		"partition, small ramdisk":   {partition, "bios", map[string]any{"root uuid": root}, root, nil, map[string]string{"image.install_bootloader": "Not found"}, "Not found"},
		"a UUID that is none":        {nil, "bios", map[string]any{"root uuid": "x; rm -rf /"}, nil, nil, nil, "a partition UUID that is none"},
		"an answer that is none":     {nil, "bios", []any{1}, nil, nil, nil, "partition UUIDs cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t).up(task.Deploying)
			for k, v := range tt.instance {
				s.Node.InstanceInfo[k] = v
			}
			s.Node.Properties["capabilities"] = "boot_mode:" + tt.mode
			s.Node.SetInternal("root_uuid_or_disk_id", "of the instance before")
			s.ramdisk.reply = func(name string, _ map[string]any) map[string]any {
				if name == "standby.get_partition_uuids" {
					return map[string]any{"command_status": "SUCCEEDED", "command_result": tt.uuids}
				}
				return nil
			}
			s.ramdisk.lacks = tt.lacks
			state, err := executes("prepare_instance_boot")(t.Context(), s)
			if tt.want != "" {
				require.ErrorContains(t, err, tt.want)
				require.Empty(t, s.called(), "nothing boots from it")
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.root, s.Node.DriverInternalInfo["root_uuid_or_disk_id"])
			require.Equal(t, tt.params, s.ramdisk.params["image.install_bootloader"])
			if tt.params != nil {
				require.Equal(t, task.DeployWait, state)
				require.Empty(t, s.called())
				s.Node.ProvisionState, s.Node.DeployStep = task.DeployWait, bootLoaderStep.Info()
				s.ramdisk.finish(map[string]any{"command_status": "SUCCEEDED"})
				state, err = s.beat(t)
				require.NoError(t, err)
				require.Equal(t, task.DeployDone, state)
			} else {
				require.Empty(t, state)
			}
			require.Equal(t, []string{"boot.PrepareInstance"}, s.called())
		})
	}
}

func TestBootLoaderFails(t *testing.T) {
	t.Parallel()
	s := newSite(t).runs(task.DeployWait, bootLoaderStep)
	s.ramdisk.finish(map[string]any{"command_status": "FAILED", "command_error": map[string]any{"message": "no grub-install"}})
	_, err := s.beat(t)
	require.ErrorContains(t, err, "no grub-install")
	require.Empty(t, s.called(), "an instance that cannot boot is not booted")
}

// TestImageIsServedUntilWritten has the name of a served image die with the write.
func TestImageIsServedUntilWritten(t *testing.T) {
	t.Parallel()
	dir, tree, serve := serves(t)
	s := newSite(t, serve)
	s.Node.InstanceInfo["image_source"] = dir + "/disk.raw"
	require.NoError(t, s.deploy.Prepare(t.Context(), s.Task))
	location := s.Node.InstanceInfo["image_url"]
	s.runs(task.DeployWait, writeStep)
	s.Node.InstanceInfo["image_url"] = location
	code, _ := fetch(t, tree, s)
	require.Equal(t, http.StatusOK, code)
	s.ramdisk.finish(map[string]any{"command_status": "SUCCEEDED"})
	state, err := s.beat(t)
	require.NoError(t, err)
	require.Equal(t, task.DeployDone, state)
	code, _ = fetch(t, tree, s)
	require.Equal(t, http.StatusNotFound, code)
	require.Contains(t, s.deploy.Stages(s.Task), agent.StageImage)
}

// TestPreserveEphemeral keeps a data partition only where the sizes are those of
// the deploy that made it.
func TestPreserveEphemeral(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for k, v := range map[string]any{"image_type": "partition", "root_gb": 10, "swap_mb": 512, "ephemeral_gb": "5"} {
		s.Node.InstanceInfo[k] = v
	}
	s.runs(task.DeployWait, writeStep)
	s.ramdisk.finish(map[string]any{"command_status": "SUCCEEDED"})
	_, err := s.beat(t)
	require.NoError(t, err)

	s.Node.InstanceInfo["preserve_ephemeral"] = true
	require.NoError(t, s.deploy.Validate(t.Context(), s.Task))
	s.Node.ProvisionState = task.Deploying
	_, err = executes("write_image")(t.Context(), s)
	require.NoError(t, err)
	image := s.ramdisk.params["deploy.execute_deploy_step"]["step"].(map[string]any)["args"].(map[string]any)["image_info"].(map[string]any)
	require.Equal(t, true, image["preserve_ephemeral"])
	require.Equal(t, 5120.0, image["ephemeral_mb"])
	require.ErrorContains(t, s.deploy.Validate(t.Context(), s.Task), "preserve_ephemeral: invalid: no deploy before", "half written")

	s = newSite(t)
	for k, v := range map[string]any{"image_type": "partition", "root_gb": 12, "ephemeral_gb": 5, "preserve_ephemeral": "yes"} {
		s.Node.InstanceInfo[k] = v
	}
	s.Node.SetInternal("instance", map[string]any{"root_gb": 10, "swap_mb": 512, "ephemeral_gb": 5})
	err = s.deploy.Validate(t.Context(), s.Task)
	require.ErrorContains(t, err, "root_gb was 10 and is 12")
	require.ErrorContains(t, err, "swap_mb was 512 and is 0")
	_, err = s.deploy.TearDown(t.Context(), s.Task)
	require.NoError(t, err)
	require.NotContains(t, s.Node.DriverInternalInfo, "instance")
}

// TestTearDownByBMC ends ramdisks that are not to power off by themselves.
func TestTearDownByBMC(t *testing.T) {
	t.Parallel()
	s := newSite(t).up(task.Deploying)
	s.Node.DriverInfo = task.Info{"deploy_forces_oob_reboot": "true"}
	_, err := executes("tear_down_agent")(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, []string{"power.SetPowerState: power off"}, s.called())
	require.Equal(t, 1, s.executed("sync"))
	require.Equal(t, 0, s.executed("power_off"))
	require.Empty(t, s.session())

	s = newSite(t).up(task.Deploying)
	s.Driver = &driver.Driver{Title: "fake", Power: neverOff{s.power}, Boot: s.boot, Deploy: s.deploy}
	for _, name := range []string{"tear_down_agent", "boot_instance"} {
		_, err = executes(name)(t.Context(), s)
		require.NoError(t, err)
	}
	require.Equal(t, []string{"power.SetPowerState: rebooting"}, s.called())

	s = newSite(t).up(task.Deploying)
	s.Node.DriverInfo = task.Info{"deploy_forces_oob_reboot": true}
	s.ramdisk.reply = func(string, map[string]any) map[string]any {
		return map[string]any{"command_status": "FAILED", "command_error": "disk gone"}
	}
	_, err = executes("tear_down_agent")(t.Context(), s)
	require.ErrorContains(t, err, "disk gone")
	require.Empty(t, s.called(), "what is not on the disk is not booted")
}

// neverOff is the power of a machine that can only be rebooted.
type neverOff struct{ driver.PowerInterface }

func (neverOff) SupportedPowerStates(*task.Task) []driver.PowerState {
	return []driver.PowerState{driver.PowerOn, driver.Reboot}
}

func TestFastTrack(t *testing.T) {
	t.Parallel()
	fast := func(c *agent.Config) { c.FastTrack = true }
	begin := func(t *testing.T, change ...func(*agent.Config)) *site {
		s := newSite(t, change...).up(task.Deploying)
		s.power.Put(s.Node.UUID, driver.PowerOn)
		return s
	}
	for name, tt := range map[string]struct {
		change func(s *site)
		runs   bool
	}{
		"runs":          {func(*site) {}, true},
		"off":           {func(s *site) { s.power.Put(s.Node.UUID, driver.PowerOff) }, false},
		"another boot":  {func(s *site) { s.ramdisk.restart() }, false},
		"another token": {func(s *site) { s.ramdisk.token = "another" }, false},
		"no session":    {func(s *site) { s.Node.SetInternal("agent_url", nil) }, false},
		"no token":      {func(s *site) { s.Node.SetInternal("agent_secret_token", nil) }, false},
		"busy": {func(s *site) {
			s.ramdisk.commands = []map[string]any{{"id": "1", "command_name": "x", "command_status": "RUNNING"}}
		}, false},
		"power not told": {func(s *site) {
			s.power.PowerStateFunc = func(context.Context, *task.Task) (driver.PowerState, error) { return "", errBroken }
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, kind := range []string{"deploy", "clean"} {
				s := begin(t, fast)
				tt.change(s)
				var state task.State
				var err error
				want := []string{"power.SetPowerState: rebooting"}
				if kind == "deploy" {
					state, err = s.deploy.Deploy(t.Context(), s.Task)
					require.Equal(t, task.DeployWait, state)
				} else {
					state, err = s.deploy.PrepareCleaning(t.Context(), s.Task)
					want = append([]string{"boot.PrepareRamdisk"}, want...)
					require.Equal(t, map[bool]task.State{true: "", false: task.CleanWait}[tt.runs], state)
				}
				require.NoError(t, err)
				if tt.runs {
					want = want[:len(want)-1]
					require.Equal(t, canary, s.Node.DriverInternalInfo["agent_secret_token"])
				}
				require.Empty(t, diffCalls(want, s.called()))
			}
		})
	}
	t.Run("not asked for", func(t *testing.T) {
		t.Parallel()
		s := begin(t)
		_, err := s.deploy.Deploy(t.Context(), s.Task)
		require.NoError(t, err)
		require.Equal(t, []string{"power.SetPowerState: rebooting"}, s.called())
	})
	t.Run("after cleaning", func(t *testing.T) {
		t.Parallel()
		s := begin(t, fast)
		require.NoError(t, s.deploy.TearDownCleaning(t.Context(), s.Task))
		require.Equal(t, []string{"boot.CleanUpRamdisk"}, s.called())
		require.Equal(t, canary, s.Node.DriverInternalInfo["agent_secret_token"])

		s.Node.CleanStep = eraseStep.Info() // which failed
		require.NoError(t, s.deploy.TearDownCleaning(t.Context(), s.Task))
		require.Equal(t, []string{"power.SetPowerState: power off", "boot.CleanUpRamdisk"}, s.called())
		require.Empty(t, s.session())
	})
}

// diffCalls takes nil and an empty list for the same.
func diffCalls(want, got []string) []string {
	if len(want) == len(got) {
		for i := range want {
			if want[i] != got[i] {
				return got
			}
		}
		return nil
	}
	return append([]string{"got"}, got...)
}

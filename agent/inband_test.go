package agent_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// lists has the ramdisk list these steps, of both kinds, with that version.
func (s *site) lists(version string, steps ...map[string]any) {
	var list []any
	for _, v := range steps {
		list = append(list, v)
	}
	s.ramdisk.mu.Lock()
	defer s.ramdisk.mu.Unlock()
	s.ramdisk.reply = func(name string, _ map[string]any) map[string]any {
		if name != "clean.get_clean_steps" && name != "deploy.get_deploy_steps" {
			return nil
		}
		return cleanAnswer(map[string]any{
			"clean_steps": map[string]any{"M": list}, "deploy_steps": map[string]any{"M": list}, "hardware_manager_version": map[string]any{"M": version},
		})("", nil)
	}
}

func inBandStep(role, name string, priority int) map[string]any {
	return map[string]any{"step": name, "interface": role, "priority": priority, "reboot_requested": false, "abortable": true}
}

// steps lists, as a map from step to priority.
func (s *site) steps(t *testing.T, kind deploy.Kind) map[string]int {
	t.Helper()
	steps, err := s.deploy.Steps(t.Context(), s.Task, kind)
	require.NoError(t, err)
	all := map[string]int{}
	for _, step := range steps {
		all[step.Name] = step.Priority
	}
	return all
}

func TestDeployStepsOfTheRamdisk(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *agent.Config) {
		c.DeployPriorities = map[string]int{"deploy.inject_files": 70, "deploy.tune": 0}
		c.CleanPriorities = map[string]int{"deploy.tune": 5}
	}).up(task.Deploying)
	s.lists("1", inBandStep("deploy", "write_image", 0), inBandStep("deploy", "inject_files", 0), inBandStep("deploy", "tune", 90), inBandStep("raid", "apply_configuration", 0))
	own := map[string]int{"write_image": 80, "prepare_instance_boot": 60, "tear_down_agent": 40, "boot_instance": 20}
	want := map[string]int{"inject_files": 70, "tune": 0}
	for k, v := range own {
		want[k] = v
	}
	require.Equal(t, want, s.steps(t, deploy.DeploySteps), "the ramdisk's write_image is ours")
	require.Equal(t, map[string]int{"write_image": 0, "inject_files": 0, "tune": 5}, s.steps(t, deploy.CleanSteps))

	// What the instance asks for goes before the configuration.
	s.Node.InstanceInfo["deploy_steps"] = []any{
		map[string]any{"interface": "deploy", "step": "tune", "priority": 85}, map[string]any{"interface": "deploy", "step": "inject_files", "priority": 0},
		map[string]any{"interface": "raid", "step": "apply_configuration", "priority": 95},
	}
	want["tune"], want["inject_files"] = 85, 0
	require.Equal(t, want, s.steps(t, deploy.DeploySteps))

	// An agent without deploy steps has none to add.
	s.ramdisk.reply = nil
	s.Node.InstanceInfo["deploy_steps"] = nil
	require.Equal(t, own, s.steps(t, deploy.DeploySteps))
}

func TestDeployStepsRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		asked any
		want  string
	}{
		"no list":      {"hunter2", "instance_info.deploy_steps: invalid"},
		"no name":      {[]any{map[string]any{"interface": "deploy", "hunter2": 1}}, "instance_info.deploy_steps: invalid"},
		"negative":     {[]any{map[string]any{"interface": "deploy", "step": "tune", "priority": -1}}, "instance_info.deploy_steps: invalid"},
		"unknown":      {[]any{map[string]any{"interface": "deploy", "step": "dance", "priority": 70}}, "the ramdisk has no step deploy.dance"},
		"argument":     {[]any{map[string]any{"interface": "deploy", "step": "tune", "priority": 70, "args": map[string]any{"depth": "hunter2"}}}, `argument "depth": invalid`},
		"too late":     {[]any{map[string]any{"interface": "deploy", "step": "tune", "priority": 40}}, "step deploy.tune has priority 40, and the ramdisk is gone after 40"},
		"write at end": {[]any{map[string]any{"interface": "deploy", "step": "write_image", "priority": 30}}, "step deploy.write_image has priority 30"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t).up(task.Deploying)
			s.lists("1", inBandStep("deploy", "tune", 0))
			s.Node.InstanceInfo["deploy_steps"] = tt.asked
			_, err := s.deploy.Steps(t.Context(), s.Task, deploy.DeploySteps)
			require.ErrorIs(t, err, task.ErrInvalidParameter)
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

// TestInBandDeployStep runs a step that only the ramdisk has, with the versions
// that it was listed with.
func TestInBandDeployStep(t *testing.T) {
	t.Parallel()
	s := newSite(t).up(task.Deploying)
	tune := deploy.Step{Interface: "deploy", Name: "tune", Priority: 70}
	_, err := s.deploy.ExecuteStep(t.Context(), s.Task, deploy.DeploySteps, tune)
	require.ErrorIs(t, err, task.ErrUnsupported, "nobody has listed it")
	s.lists("7", inBandStep("deploy", "tune", 70))
	s.steps(t, deploy.DeploySteps)
	state, err := s.deploy.ExecuteStep(t.Context(), s.Task, deploy.DeploySteps, tune)
	require.NoError(t, err)
	require.Equal(t, task.DeployWait, state)
	sent := s.ramdisk.params["deploy.execute_deploy_step"]
	require.Equal(t, map[string]any{"M": "7"}, sent["deploy_version"])
	require.NotContains(t, sent["node"].(map[string]any)["driver_internal_info"], "agent_cached_deploy_steps", "that is no news to it")

	s.Node.ProvisionState, s.Node.DeployStep = task.DeployWait, tune.Info()
	s.ramdisk.finish(map[string]any{"command_status": "SUCCEEDED"})
	state, err = s.beat(t)
	require.NoError(t, err)
	require.Equal(t, task.DeployDone, state)
}

// TestVersionMismatch has another hardware manager than the one that listed the
// steps, which may list the same ones.
func TestVersionMismatch(t *testing.T) {
	t.Parallel()
	begin := func(t *testing.T) *site {
		s := newSite(t).up(task.Cleaning)
		s.lists("1", inBandStep("deploy", "erase_devices", 10))
		s.steps(t, deploy.CleanSteps)
		_, err := s.deploy.ExecuteStep(t.Context(), s.Task, deploy.CleanSteps, eraseStep)
		require.NoError(t, err)
		s.Node.ProvisionState, s.Node.CleanStep = task.CleanWait, eraseStep.Info()
		s.ramdisk.finish(map[string]any{"command_status": "CLEAN_VERSION_MISMATCH"})
		return s
	}
	t.Run("the same steps", func(t *testing.T) {
		t.Parallel()
		s := begin(t)
		s.lists("2", inBandStep("deploy", "erase_devices", 10))
		state, err := s.beat(t)
		require.NoError(t, err)
		require.Equal(t, task.CleanWait, state, "the step that did not run runs")
		require.Equal(t, map[string]any{"M": "2"}, s.ramdisk.params["clean.execute_clean_step"]["clean_version"])
		require.Equal(t, 2, s.executed("execute_clean_step"))

		s.ramdisk.finish(map[string]any{"command_status": "CLEAN_VERSION_MISMATCH"})
		s.lists("3", inBandStep("deploy", "erase_devices", 10))
		_, err = s.beat(t)
		require.ErrorContains(t, err, "hardware managers are not those", "once is enough")
		require.Equal(t, 2, s.executed("execute_clean_step"))
	})
	t.Run("other steps", func(t *testing.T) {
		t.Parallel()
		s := begin(t)
		s.lists("2", inBandStep("deploy", "erase_devices", 10), inBandStep("deploy", "erase_tape", 10))
		_, err := s.beat(t)
		require.ErrorContains(t, err, "(clean or deploy again, which lists the steps anew)")
		require.Equal(t, 1, s.executed("execute_clean_step"))
	})
	t.Run("the same version", func(t *testing.T) {
		t.Parallel()
		s := begin(t)
		_, err := s.beat(t)
		require.ErrorContains(t, err, "hardware managers are not those")
		require.Equal(t, 1, s.executed("execute_clean_step"))
	})
}

// executed counts the commands of that name that the ramdisk took.
func (s *site) executed(name string) int {
	s.ramdisk.mu.Lock()
	defer s.ramdisk.mu.Unlock()
	n := 0
	for _, c := range s.ramdisk.commands {
		if c["command_name"] == name {
			n++
		}
	}
	return n
}

// TestStepThatReboots has the machine rebooted once a step is complete; the step
// ends when the new boot has called.
func TestStepThatReboots(t *testing.T) {
	t.Parallel()
	s := newSite(t).up(task.Cleaning)
	step := inBandStep("deploy", "flash", 50)
	step["reboot_requested"] = true
	s.lists("1", step)
	s.steps(t, deploy.CleanSteps)
	flash := deploy.Step{Interface: "deploy", Name: "flash", Priority: 50}
	_, err := s.deploy.ExecuteStep(t.Context(), s.Task, deploy.CleanSteps, flash)
	require.NoError(t, err)
	s.Node.ProvisionState, s.Node.CleanStep = task.CleanWait, flash.Info()
	s.ramdisk.finish(map[string]any{"command_status": "SUCCEEDED"})
	state, err := s.beat(t)
	require.NoError(t, err)
	require.Equal(t, task.CleanWait, state)
	require.Equal(t, []string{"power.SetPowerState: rebooting"}, s.called())
	require.NotContains(t, s.Node.DriverInternalInfo, "agent_secret_token", "the next boot gets its own")

	s.ramdisk.restart()
	s.Node.SetInternal("agent_secret_token", canary)
	state, err = s.beat(t)
	require.NoError(t, err)
	require.Equal(t, task.DeployDone, state)
	require.Empty(t, s.called(), "once")
	require.Equal(t, 0, s.executed("execute_clean_step"), "it does not run again")

	// The steps after it still have the versions that they were listed with.
	require.Equal(t, map[string]any{"M": "1"}, s.Node.DriverInternalInfo["hardware_manager_version"])
	_, err = s.deploy.ExecuteStep(t.Context(), s.Task, deploy.CleanSteps, eraseStep)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"M": "1"}, s.ramdisk.params["clean.execute_clean_step"]["clean_version"])
}

func TestPrioritiesOfConfig(t *testing.T) {
	t.Parallel()
	_, err := agent.New(agent.Config{APIURL: apiURL, CleanPriorities: map[string]int{"erase_devices": 1, "deploy.x": -1}, DeployPriorities: map[string]int{".x": 1}, Erase: agent.Erase{Iterations: -1}, LogDir: "logs"})
	require.Len(t, task.Problems(err), 5, "%v", err)
}

func TestInsecure(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *agent.Config) { c.Insecure = true })
	require.NoError(t, s.deploy.Prepare(t.Context(), s.Task))
	params, _ := s.boot.Ramdisk(s.Node.UUID)
	require.Equal(t, boot.Params{"ipa-api-url": apiURL, "ipa-insecure": "1"}, params)
}

func TestErase(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *agent.Config) { c.Erase = agent.Erase{Iterations: 3, NoATA: true, Overwrite: true} })
	_, err := s.deploy.PrepareCleaning(t.Context(), s.Task)
	require.NoError(t, err)
	for key, want := range map[string]any{
		"agent_erase_devices_iterations": 3, "agent_erase_devices_zeroize": true, "agent_enable_ata_secure_erase": false, "agent_enable_nvme_secure_erase": true,
		"agent_continue_if_secure_erase_failed": true, "agent_continue_if_ata_erase_failed": true, "agent_erase_skip_read_only": false, "disk_erasure_concurrency": 4,
	} {
		require.Equal(t, want, s.Node.DriverInternalInfo[key], key)
	}
}

func TestRAID(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	r := agent.NewRAID(s.deploy)
	ctx := t.Context()
	require.NoError(t, r.Validate(ctx, s.Task))
	s.Node.TargetRAIDConfig = task.Info{"logical_disks": []any{map[string]any{"size_gb": 10}, "x"}}
	require.Len(t, task.Problems(r.Validate(ctx, s.Task)), 2)
	s.Node.TargetRAIDConfig = task.Info{"logical_disks": "x"}
	require.ErrorIs(t, r.Validate(ctx, s.Task), task.ErrInvalidParameter)
	s.Node.TargetRAIDConfig = task.Info{"logical_disks": []any{map[string]any{"size_gb": "MAX", "raid_level": "1", "controller": "software"}}}
	require.NoError(t, r.Validate(ctx, s.Task))

	steps, err := r.Steps(ctx, s.Task, deploy.CleanSteps)
	require.NoError(t, err)
	require.Len(t, steps, 2, "they can be asked for before the ramdisk is up")
	steps, err = r.Steps(ctx, s.Task, deploy.DeploySteps)
	require.NoError(t, err)
	require.Empty(t, steps)

	s.up(task.Cleaning)
	s.lists("1", inBandStep("deploy", "erase_devices", 10), inBandStep("raid", "create_configuration", 0))
	s.steps(t, deploy.CleanSteps)
	steps, err = r.Steps(ctx, s.Task, deploy.CleanSteps)
	require.NoError(t, err)
	require.Equal(t, "raid.create_configuration", steps[0].String())
	require.Len(t, steps, 1)
	state, err := r.CreateConfiguration(ctx, s.Task)
	require.NoError(t, err)
	require.Equal(t, task.CleanWait, state)
	require.NotNil(t, s.ramdisk.params["clean.execute_clean_step"]["node"].(map[string]any)["target_raid_config"])

	s.Node.ProvisionState, s.Node.CleanStep = task.CleanWait, steps[0].Info()
	s.ramdisk.finish(map[string]any{"command_status": "SUCCEEDED", "command_result": map[string]any{"clean_result": map[string]any{"logical_disks": []any{map[string]any{"size_gb": 99}}}}})
	state, err = s.beat(t)
	require.NoError(t, err)
	require.Equal(t, task.DeployDone, state)
	require.NotEmpty(t, s.Node.RAIDConfig["last_updated"])
	require.Len(t, s.Node.RAIDConfig["logical_disks"], 1)

	s.Node.ProvisionState = task.Cleaning
	_, err = r.DeleteConfiguration(ctx, s.Task)
	require.NoError(t, err)
	s.Node.ProvisionState, s.Node.CleanStep = task.CleanWait, deploy.Step{Interface: "raid", Name: "delete_configuration"}.Info()
	s.ramdisk.finish(map[string]any{"command_status": "SUCCEEDED"})
	_, err = s.beat(t)
	require.NoError(t, err)
	require.Empty(t, s.Node.RAIDConfig)

	_, err = r.ExecuteStep(ctx, s.Task, deploy.CleanSteps, deploy.Step{Interface: "deploy", Name: "create_configuration"})
	require.ErrorIs(t, err, task.ErrUnsupported)
	_, err = r.ExecuteStep(ctx, s.Task, deploy.DeploySteps, deploy.Step{Interface: "raid", Name: "create_configuration"})
	require.ErrorIs(t, err, task.ErrUnsupported)
	require.Empty(t, r.Properties())
	var _ driver.RAIDInterface = r
}

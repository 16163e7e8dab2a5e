package deploy_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/task"
)

func step(role, name string, priority int) deploy.Step {
	return deploy.Step{Interface: role, Name: name, Priority: priority}
}

func TestSort(t *testing.T) {
	steps := []deploy.Step{
		step("raid", "delete", 10), step("deploy", "idle", 0), step("bios", "apply", 10), step("deploy", "erase", 10),
		step("unknown", "first", 10), step("firmware", "update", 10), step("management", "reset", 10), step("deploy", "late", 5),
		step("power", "cycle", 10), step("deploy", "burn_in", 10), step("vendor", "blink", 10), step("unknown", "second", 10),
		step("raid", "create", 99),
	}
	deploy.Sort(steps)
	var names []string
	for _, s := range steps {
		names = append(names, s.String())
	}
	require.Equal(t, []string{
		"raid.create", "vendor.blink", "power.cycle", "management.reset", "firmware.update", "deploy.erase", "deploy.burn_in",
		"bios.apply", "raid.delete", "unknown.first", "unknown.second", "deploy.late", "deploy.idle",
	}, names)
}

func TestSame(t *testing.T) {
	erase := deploy.Step{Interface: "deploy", Name: "erase", Priority: 10, Args: task.Info{"passes": 1}}
	require.True(t, erase.Same(step("deploy", "erase", 0)))
	require.False(t, erase.Same(step("raid", "erase", 10)))
	require.False(t, erase.Same(step("deploy", "burn_in", 10)))
}

func TestCheckArgs(t *testing.T) {
	info := map[string]deploy.ArgInfo{
		"level": {Description: "RAID level", Required: true}, "disks": {Description: "names of disks", Required: true}, "quick": {Description: "no verification"},
	}
	tests := map[string]struct {
		args task.Info
		want []string
	}{
		"all":      {task.Info{"level": "1", "disks": []any{}, "quick": true}, nil},
		"required": {task.Info{"level": "1", "disks": nil}, nil},
		"none": {nil, []string{
			`step raid.create: argument "disks": missing (names of disks)`,
			`step raid.create: argument "level": missing (RAID level)`,
		}},
		"unknown": {task.Info{"level": "1", "disks": "a", "slow": true, "bits": 1}, []string{
			`step raid.create: argument "bits": invalid: the step has no such argument`,
			`step raid.create: argument "slow": invalid: the step has no such argument`,
		}},
		"both": {task.Info{"disks": "a", "slow": true}, []string{
			`step raid.create: argument "level": missing (RAID level)`,
			`step raid.create: argument "slow": invalid: the step has no such argument`,
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, p := range task.Problems(deploy.Step{Interface: "raid", Name: "create", Args: tt.args, ArgsInfo: info}.CheckArgs()) {
				require.ErrorIs(t, p, task.ErrInvalidParameter)
				got = append(got, p.Error())
			}
			require.Equal(t, tt.want, got)
		})
	}
	require.NoError(t, step("deploy", "erase", 10).CheckArgs())
}

func TestStepInfoRoundTrip(t *testing.T) {
	for name, s := range map[string]deploy.Step{
		"plain": step("deploy", "write_image", 80),
		"whole": {Interface: "raid", Name: "create", Priority: 5, Abortable: true, NeedsRamdisk: true, Args: task.Info{"level": "1", "disks": []any{"a", map[string]any{"b": true}}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := deploy.StepOf(s.Info())
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(s, got))

			// as a node that was read back from its store has it
			data, err := json.Marshal(s.Info())
			require.NoError(t, err)
			var stored task.Info
			require.NoError(t, json.Unmarshal(data, &stored))
			got, err = deploy.StepOf(stored)
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(s, got))
		})
	}
}

func TestStepOf(t *testing.T) {
	for _, none := range []task.Info{nil, {}} {
		s, err := deploy.StepOf(none)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(deploy.Step{}, s))
	}
	for name, info := range map[string]task.Info{
		"a priority that is no number": {"interface": "deploy", "step": "erase", "priority": "high"},
		"a list for a name":            {"step": []any{"erase"}},
		"what JSON cannot write":       {"step": "erase", "args": map[string]any{"f": func() {}}},
	} {
		s, err := deploy.StepOf(info)
		require.ErrorIs(t, err, task.ErrInvalidParameter, name)
		require.Empty(t, cmp.Diff(deploy.Step{}, s), name)
	}
}

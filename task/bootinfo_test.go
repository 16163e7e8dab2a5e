package task_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/task"
)

func TestParseCapabilities(t *testing.T) {
	for _, c := range []struct {
		in   any
		want string
	}{
		{nil, ""}, {"", ""}, {" , ", ""},
		{"boot_mode:uefi,disk_label:gpt", "boot_mode:uefi,disk_label:gpt"},
		{" b : 2 , a:1:x, ", "a:1:x,b:2"},
		{"a:1,a:2", "a:2"},
		{map[string]any{"boot_mode": " uefi ", "n": 1, "t": true}, "boot_mode:uefi,n:1,t:true"},
		{task.Info{"f": 1.5}, "f:1.5"},
		{` {"boot_option": "local", "big": 9007199254740993}`, "big:9007199254740993,boot_option:local"},
	} {
		got, err := task.ParseCapabilities(c.in)
		require.NoError(t, err, "%v", c.in)
		require.Equal(t, c.want, got.String(), "%v", c.in)
	}
	for _, c := range []struct {
		in   any
		says []string
	}{
		{"boot_mode", []string{`"boot_mode"`}},
		{"a:1,:b,c:, d", []string{`":b"`, `"c:"`, `" d"`}},
		{`{"a":`, []string{"no JSON object"}},
		{`{"a":"b"} c`, []string{"no JSON object"}},
		{map[string]any{"a": nil, "ok": "1", "b": []any{}}, []string{`["a" "b"]`}},
		{[]any{"a:b"}, []string{"[]interface"}},
		{5, []string{"int"}},
	} {
		_, err := task.ParseCapabilities(c.in)
		require.ErrorIs(t, err, task.ErrInvalidParameter, "%v", c.in)
		for _, s := range c.says {
			require.ErrorContains(t, err, s)
		}
	}
}

func FuzzParseCapabilities(f *testing.F) {
	for _, s := range []string{"", "boot_mode:uefi,disk_label:gpt", "a::,b:\n", `{"a": 1e999, "b": "x,y"}`, "{", "a:{,", ",:,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := task.ParseCapabilities(s)
		if err != nil {
			require.ErrorIs(t, err, task.ErrInvalidParameter)
			return
		}
		for k, v := range c {
			require.NotEmpty(t, v)
			if strings.ContainsAny(k+v, ",{") || strings.Contains(k, ":") || strings.TrimSpace(k) != k || k == "" {
				return // from an object: the list form cannot hold it
			}
		}
		again, err := task.ParseCapabilities(c.String())
		require.NoError(t, err)
		require.Equal(t, c, again)
	})
}

func TestBootInfo(t *testing.T) {
	type info = task.Info
	uefi := task.BootInfo{Mode: task.UEFI, Option: task.LocalBoot, Image: task.WholeDisk}
	with := func(change func(*task.BootInfo)) task.BootInfo { b := uefi; change(&b); return b }
	for name, c := range map[string]struct {
		inst, prop info
		want       task.BootInfo
	}{
		"nothing said":                             {nil, nil, uefi},
		"the machine's mode":                       {nil, info{"capabilities": "boot_mode:bios"}, with(func(b *task.BootInfo) { b.Mode = task.BIOS })},
		"the instance's mode":                      {info{"capabilities": map[string]any{"boot_mode": "BIOS"}}, nil, with(func(b *task.BootInfo) { b.Mode = task.BIOS })},
		"deploy_boot_mode":                         {info{"deploy_boot_mode": "bios"}, nil, with(func(b *task.BootInfo) { b.Mode = task.BIOS })},
		"the capability before deploy_boot_mode":   {info{"capabilities": "boot_mode:uefi", "deploy_boot_mode": "bios"}, nil, uefi},
		"both agree":                               {info{"capabilities": "boot_mode:bios"}, info{"capabilities": "boot_mode:bios"}, with(func(b *task.BootInfo) { b.Mode = task.BIOS })},
		"netboot of a partition image":             {info{"capabilities": "boot_option:netboot", "kernel": "k"}, nil, with(func(b *task.BootInfo) { b.Option, b.Image = task.NetworkBoot, task.Partition })},
		"a ramdisk makes a partition image":        {info{"ramdisk": "r"}, nil, with(func(b *task.BootInfo) { b.Image = task.Partition })},
		"image_type before the kernel":             {info{"image_type": "whole-disk", "kernel": "k"}, nil, uefi},
		"image_type":                               {info{"image_type": "partition"}, nil, with(func(b *task.BootInfo) { b.Image = task.Partition })},
		"secure boot":                              {info{"capabilities": "secure_boot:true"}, nil, with(func(b *task.BootInfo) { b.SecureBoot = true })},
		"secure boot is the instance's to ask for": {nil, info{"capabilities": "secure_boot:true"}, uefi},
		"trusted boot":                             {info{"capabilities": "trusted_boot:yes,boot_option:netboot", "kernel": "k"}, nil, task.BootInfo{Mode: task.BIOS, Option: task.NetworkBoot, Image: task.Partition, Trusted: true}},
		"root device of the machine":               {nil, info{"root_device": map[string]any{"name": "/dev/sda"}}, with(func(b *task.BootInfo) { b.RootDevice = hints(t, "/dev/sda") })},
		"root device of the instance":              {info{"root_device": map[string]any{"name": "/dev/sdb"}}, info{"root_device": map[string]any{"name": "/dev/sda"}}, with(func(b *task.BootInfo) { b.RootDevice = hints(t, "/dev/sdb") })},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := (&task.Node{Name: "n1", InstanceInfo: c.inst, Properties: c.prop}).BootInfo()
			require.NoError(t, err)
			if len(got.RootDevice) == 0 {
				got.RootDevice = nil
			}
			require.Equal(t, c.want, got)
		})
	}
}

func hints(t *testing.T, name string) task.RootDeviceHints {
	h, err := task.ParseRootDeviceHints(map[string]any{"name": name})
	require.NoError(t, err)
	return h
}

func TestBootInfoProblems(t *testing.T) {
	type info = task.Info
	for name, c := range map[string]struct {
		inst, prop info
		fields     []string
	}{
		"modes differ":            {info{"capabilities": "boot_mode:bios"}, info{"capabilities": "boot_mode:uefi"}, []string{"instance_info.capabilities"}},
		"secure boot under BIOS":  {info{"capabilities": "secure_boot:true,boot_mode:bios"}, nil, []string{"instance_info.capabilities"}},
		"secure boot on BIOS":     {info{"capabilities": "secure_boot:true"}, info{"capabilities": "boot_mode:bios"}, []string{"instance_info.capabilities"}},
		"trusted boot under UEFI": {info{"capabilities": "trusted_boot:true,boot_mode:uefi,boot_option:netboot", "kernel": "k"}, nil, []string{"instance_info.capabilities"}},
		"trusted local boot":      {info{"capabilities": "trusted_boot:true", "kernel": "k"}, nil, []string{"instance_info.capabilities"}},
		"everything": {
			info{"capabilities": "boot_mode:coreboot,boot_option:usb,secure_boot:maybe", "image_type": 5, "deploy_boot_mode": []any{}, "root_device": "nonsense"},
			info{"capabilities": []any{}},
			[]string{
				"instance_info.capabilities.boot_mode", "instance_info.capabilities.boot_option", "instance_info.capabilities",
				"instance_info.image_type", "instance_info.deploy_boot_mode", "properties.capabilities", "instance_info.root_device",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := (&task.Node{Name: "n1", InstanceInfo: c.inst, Properties: c.prop}).BootInfo()
			var fields []string
			for _, p := range task.Problems(err) {
				var e *task.Error
				require.True(t, errors.As(p, &e))
				require.Equal(t, "n1", e.Node)
				require.NotEmpty(t, e.Remedy)
				require.ErrorIs(t, e, task.ErrInvalidParameter)
				fields = append(fields, e.Field)
			}
			for i, f := range fields { // a hint's own name belongs to the hints
				if strings.HasPrefix(f, "instance_info.root_device") {
					fields[i] = "instance_info.root_device"
				}
			}
			require.ElementsMatch(t, c.fields, fields, "%v", err)
		})
	}
}

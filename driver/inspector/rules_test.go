package inspector_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver/inspector"
	"github.com/ferrule/ferrule/task"
)

func parse(t *testing.T) *inspector.Found {
	t.Helper()
	f, err := inspector.ParseFound(bytes.NewReader(found(t)))
	require.NoError(t, err)
	return f
}

func TestProperties(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rules inspector.Rules
		had   task.Info
		want  task.Info
	}{
		{"none", inspector.Rules{}, nil, task.Info{
			"cpus": 64, "cpu_arch": "x86_64", "memory_mb": int64(262144), "local_gb": int64(893), "vendor": "Supermicro", "model": "AS -1114S", "capabilities": "boot_mode:uefi"}},
		{"overwritten, but not what people say", inspector.Rules{}, task.Info{"cpus": 1, "vendor": "ACME", "capabilities": "boot_mode:bios,rack:7"}, task.Info{
			"cpus": 64, "cpu_arch": "x86_64", "memory_mb": int64(262144), "local_gb": int64(893), "vendor": "ACME", "model": "AS -1114S", "capabilities": "boot_mode:bios,rack:7"}},
		{"kept", inspector.Rules{KeepProperties: true}, task.Info{"cpus": 1, "memory_mb": 2}, task.Info{
			"cpus": 1, "cpu_arch": "x86_64", "memory_mb": 2, "local_gb": int64(893), "vendor": "Supermicro", "model": "AS -1114S", "capabilities": "boot_mode:uefi"}},
		{"by hints", inspector.Rules{}, task.Info{"root_device": map[string]any{"rotational": true}}, task.Info{
			"cpus": 64, "cpu_arch": "x86_64", "memory_mb": int64(262144), "local_gb": int64(3725), "vendor": "Supermicro", "model": "AS -1114S", "capabilities": "boot_mode:uefi",
			"root_device": map[string]any{"rotational": true}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tk := &task.Task{Node: &task.Node{Name: "n1", Properties: tt.had}}
			require.NoError(t, tt.rules.Record(tk, parse(t)))
			require.Equal(t, tt.want, tk.Node.Properties)
		})
	}
}

func TestPorts(t *testing.T) {
	const booted, other, dead, foreign = "52:54:00:12:34:56", "52:54:00:12:34:57", "52:54:00:12:34:58", "52:54:00:99:99:99"
	for _, tt := range []struct {
		name   string
		rules  inspector.Rules
		change func(*inspector.Found)
		had    []string
		want   string
	}{
		{"the one that booted", inspector.Rules{}, nil, nil, booted + "+"},
		{"told by pxelinux", inspector.Rules{}, func(f *inspector.Found) { f.Inventory.Boot.PXEInterface = "" }, nil, booted + "+"},
		{"nobody knows which booted", inspector.Rules{}, func(f *inspector.Found) { f.Inventory.Boot.PXEInterface, f.BootInterface = "", "" }, nil, booted + "? " + other + "?"},
		{"active", inspector.Rules{AddPorts: inspector.ActivePorts}, nil, nil, booted + "+ " + other + "-"},
		{"all", inspector.Rules{AddPorts: inspector.AllPorts}, nil, nil, booted + "+ " + other + "- " + dead + "-"},
		{"disabled", inspector.Rules{AddPorts: inspector.NoPorts}, nil, nil, ""},
		{"there already", inspector.Rules{}, nil, []string{booted, foreign}, booted + "? " + foreign + "?"},
		{"foreign ones removed", inspector.Rules{RemovePorts: true}, nil, []string{foreign, other}, other + "? " + booted + "+"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := parse(t)
			if tt.change != nil {
				tt.change(f)
			}
			tk := &task.Task{Node: &task.Node{Name: "n1"}}
			for _, mac := range tt.had {
				tk.Ports = append(tk.Ports, &task.Port{Address: mac})
			}
			require.NoError(t, tt.rules.Record(tk, f))
			var got []string
			for _, p := range tk.Ports {
				mark := "?"
				if p.PXEEnabled != nil {
					mark = map[bool]string{true: "+", false: "-"}[*p.PXEEnabled]
				}
				got = append(got, p.Address+mark)
			}
			require.Equal(t, tt.want, strings.Join(got, " "))
		})
	}
}

// Words that are no words of a machine are not kept, nor hints asked of disks that
// nobody sees.
func TestUnknown(t *testing.T) {
	f, tk := parse(t), &task.Task{Node: &task.Node{Name: "n1", Properties: task.Info{"root_device": map[string]any{"serial": "none"}}}}
	f.Inventory.CPU.Architecture, f.Inventory.SystemVendor.Manufacturer = "a\nb", strings.Repeat("x", 129)
	f.Inventory.Disks, f.Inventory.CPU.Count = nil, 0
	require.NoError(t, inspector.Rules{}.Record(tk, f))
	for _, key := range []string{"cpus", "cpu_arch", "vendor", "local_gb"} {
		require.NotContains(t, tk.Node.Properties, key)
	}
}

// A refused inventory changes nothing.
func TestRefusedInventory(t *testing.T) {
	for name, change := range map[string]func(*inspector.Found, *task.Task, *inspector.Rules){
		"bad address": func(f *inspector.Found, _ *task.Task, _ *inspector.Rules) {
			f.Inventory.Interfaces[2].MACAddress = "hello"
		},
		"agent's error": func(f *inspector.Found, _ *task.Task, _ *inspector.Rules) { f.Error = "no" },
		"bad capabilities": func(_ *inspector.Found, t *task.Task, _ *inspector.Rules) {
			t.Node.Properties = task.Info{"capabilities": "x"}
		},
		"no disk fits": func(_ *inspector.Found, t *task.Task, _ *inspector.Rules) {
			t.Node.Properties = task.Info{"root_device": map[string]any{"serial": "none"}}
		},
		"bad rule": func(_ *inspector.Found, _ *task.Task, r *inspector.Rules) { r.AddPorts = "some" },
	} {
		t.Run(name, func(t *testing.T) {
			f, tk, rules := parse(t), &task.Task{Node: &task.Node{Name: "n1"}}, inspector.Rules{}
			change(f, tk, &rules)
			before := tk.Node.Clone()
			require.Error(t, rules.Record(tk, f))
			require.Equal(t, before, tk.Node)
			require.Empty(t, tk.Ports)
		})
	}
}

func FuzzParseFound(f *testing.F) {
	f.Add([]byte(`{"inventory": {"interfaces": [{"mac_address": "52:54:00:12:34:56"}], "cpu": {"count": 1}, "memory": {"total": 5}}, "boot_interface": "01-52"}`))
	f.Add([]byte(`{"error": "x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		found, err := inspector.ParseFound(bytes.NewReader(data))
		if err != nil {
			return
		}
		tk := &task.Task{Node: &task.Node{Name: "n1"}}
		_ = inspector.Rules{AddPorts: inspector.AllPorts}.Record(tk, found)
		for _, p := range tk.Ports {
			if mac, err := task.ParseMAC(p.Address); err != nil || mac != p.Address {
				t.Errorf("port %q", p.Address)
			}
		}
	})
}

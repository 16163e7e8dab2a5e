package ipxe_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/boottest"
	"github.com/ferrule/ferrule/driver"
	sim "github.com/ferrule/ferrule/driver/sim/ipxe"
	"github.com/ferrule/ferrule/task"
)

const rootUUID = "1f3b9e64-7a50-4c1d-9e58-c10f6d0f2a11"

// netbooted returns a task on a node whose partition image boots over the
// network.
func (s *site) netbooted(t testing.TB, name string) *task.Task {
	tk := s.task(t, name)
	tk.Node.InstanceInfo = task.Info{
		"capabilities": "boot_option:netboot",
		"kernel":       filepath.Join(s.dir, "kernel"),
		"ramdisk":      filepath.Join(s.dir, "ramdisk"),
	}
	tk.Node.SetInternal("root_uuid_or_disk_id", rootUUID)
	return tk
}

func TestNetbootedInstance(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tk := s.netbooted(t, "n1")
	require.NoError(t, s.boot.Validate(t.Context(), tk))
	require.NoError(t, s.boot.PrepareRamdisk(t.Context(), tk, nil))
	require.NoError(t, s.boot.PrepareInstance(t.Context(), tk))
	require.Equal(t, driver.BootSetting{Device: boot.PXE, Persistent: true}, s.bmcs.device(tk))
	out := s.run(t, &machine{nics: []string{tk.Ports[0].Address}, platform: sim.EFI})
	require.Equal(t, sim.Boot, out.Action)
	require.Equal(t, "initrd=ramdisk BOOTIF=01-"+hyphens(tk)+" root=UUID="+rootUUID+" ro text nofb nomodeset vga=normal", out.CommandLine)
	require.NotContains(t, s.tree.Names(tk.Node.UUID), tk.Node.UUID+"/deploy_kernel")

	require.NoError(t, s.boot.CleanUpRamdisk(t.Context(), tk))
	require.Equal(t, out, s.run(t, &machine{nics: []string{tk.Ports[0].Address}, platform: sim.EFI}), "the instance still boots")

	// On another host, without BMC.
	other := newSite(t)
	tk.Driver, tk.Node.ProvisionState = &driver.Driver{Boot: other.boot, Management: other.bmcs}, task.Active
	tk.Node.InstanceInfo["kernel"], tk.Node.InstanceInfo["ramdisk"] = filepath.Join(other.dir, "kernel"), filepath.Join(other.dir, "ramdisk")
	tk.Node.DriverInfo = nil // the ramdisk's parameters are of no use any more
	require.NoError(t, other.boot.PrepareInstance(t.Context(), tk))
	require.Equal(t, sim.Boot, other.run(t, &machine{nics: []string{tk.Ports[0].Address}}).Action)
	require.Zero(t, other.bmcs.device(tk))

	require.NoError(t, s.boot.CleanUpInstance(t.Context(), tk))
	require.Equal(t, []string{"boot.ipxe"}, s.published())
}

func TestNetbootedInstanceNeedsItsRoot(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, root := range []any{nil, "", "x y", "/dev/sda1", "a\nb", "1234 init=/bin/sh"} {
		tk := s.netbooted(t, "n1")
		tk.Node.SetInternal("root_uuid_or_disk_id", root)
		require.NoError(t, s.boot.PrepareRamdisk(t.Context(), tk, nil))
		err := s.boot.PrepareInstance(t.Context(), tk)
		require.ErrorIs(t, err, task.ErrInvalidParameter)
		require.Equal(t, []string{"driver_internal_info.root_uuid_or_disk_id"}, fields(t, err))
	}
}

// TestInstanceOnDisk has a machine ask the network first for an instance on its
// disk.
func TestInstanceOnDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tk := s.task(t, "n1")
	tk.Node.InstanceInfo["capabilities"] = "boot_option:netboot"
	require.NoError(t, s.boot.Validate(t.Context(), tk))
	require.NoError(t, s.boot.PrepareInstance(t.Context(), tk))
	m := &machine{nics: []string{tk.Ports[0].Address}, platform: sim.PCBIOS}
	out := s.run(t, m)
	require.Equal(t, sim.SANBoot, out.Action)
	require.Equal(t, 0x80, int(out.Drive))
	m.platform = sim.EFI
	out = s.run(t, m)
	require.Equal(t, sim.Exit, out.Action)
	require.NotZero(t, out.Status, "after a success firmware may show its menu")
	require.Zero(t, m.slept)
}

func TestVolume(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	require.True(t, boot.Can(s.boot, boot.ISCSIVolumeBoot))
	for want, volume := range map[string]map[string]any{
		"sanboot --drive 0x80 iscsi:192.0.2.9::3260:0:iqn.2001-04.com.example:disk ||": {
			"target_portal": "192.0.2.9", "target_iqn": "iqn.2001-04.com.example:disk"},
		"sanboot --drive 0x80 iscsi:[2001:db8::9]::3261:1a:iqn.2001-04.com.example:disk ||": {
			"target_portal": "[2001:db8::9]:3261", "target_iqn": "iqn.2001-04.com.example:disk", "target_lun": "26", "initiator_iqn": "iqn.2001-04.com.example:n1"},
	} {
		tk := s.task(t, "n1")
		tk.Node.InstanceInfo["boot_volume"] = volume
		require.NoError(t, s.boot.Validate(t.Context(), tk))
		require.NoError(t, s.boot.PrepareInstance(t.Context(), tk))
		script := s.script(t, "pxelinux.cfg/"+hyphens(tk))
		require.Contains(t, script, want)
		require.Equal(t, volume["initiator_iqn"] != nil, strings.Contains(script, "set initiator-iqn iqn.2001-04.com.example:n1\n"))
		require.Equal(t, driver.BootSetting{Device: boot.PXE, Persistent: true}, s.bmcs.device(tk))
	}
}

func TestRescue(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tk := s.task(t, "n1")
	tk.Node.DriverInfo["rescue_ramdisk"] = "http://images.example/rescue.gz"
	require.NoError(t, boot.ValidateRescue(t.Context(), s.boot, tk))
	tk.Node.ProvisionState = task.Rescuing
	require.NoError(t, s.boot.PrepareRamdisk(t.Context(), tk, nil))
	out := s.run(t, &machine{nics: []string{tk.Ports[0].Address}, platform: sim.EFI, extra: map[string]string{"http://images.example/rescue.gz": "RESCUE"}})
	initrd, err := sim.InitrdFor(out)
	require.NoError(t, err)
	require.Equal(t, "RESCUE", string(initrd))
	require.Equal(t, []string{boot.StageScript, boot.StageKernel}, s.boot.Stages(tk))
	tk.Node.DriverInfo["rescue_ramdisk"] = "ftp://x"
	require.Equal(t, []string{"driver_info.rescue_ramdisk"}, fields(t, boot.ValidateRescue(t.Context(), s.boot, tk)))
}

func TestNetbootConformance(t *testing.T) {
	var s *site
	boottest.Run(t, boottest.Harness{
		New:  func(t *testing.T) boot.BootInterface { s = newSite(t); return s.boot },
		Task: func(t *testing.T, name string) *task.Task { return s.netbooted(t, name) },
		Booted: func(t *testing.T, tk *task.Task) boottest.Target {
			if d := s.bmcs.device(tk); d.Device != boot.PXE {
				return boottest.Target{Kind: boottest.Other}
			}
			out := s.run(t, &machine{nics: []string{tk.Ports[0].Address}, platform: sim.EFI})
			switch {
			case out.Action == sim.Exit:
				return boottest.Target{Kind: boottest.Other}
			case out.Action != sim.Boot:
				return boottest.Target{Kind: boottest.Nowhere}
			case strings.Contains(out.CommandLine, "root=UUID="+rootUUID):
				return boottest.Target{Kind: boottest.Instance}
			}
			return booted(t, s, tk)
		},
		Leftovers: func(*testing.T) []string { return s.published() },
	})
}

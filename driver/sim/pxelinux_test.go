package sim_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/sim"
	"github.com/ferrule/ferrule/task"
)

func TestPXELinux(t *testing.T) {
	t.Parallel()
	const byMAC, byDefault = "tftp/pxelinux.cfg/01-52-54-00-00-00-01", "tftp/pxelinux.cfg/default"
	const self, good = "tftp/pxelinux.0", "default boot\nlabel boot\n  kernel ::n1/k\n  append initrd=::n1/r quiet\n  ipappend 2\n"
	const local = "default local\nlabel local\n  localboot -1\n"
	kernel, ramdisk, system := string(sim.Kernel(1000)), string(sim.Ramdisk(1000)), sim.Image(4096, 1)
	for name, c := range map[string]struct {
		files    map[string]string
		firmware task.BootMode
		disk     []byte
		want     sim.State
		console  string
	}{
		"boots":                   {map[string]string{self: "", byMAC: good, byDefault: local, "n1/k": kernel, "n1/r": ramdisk}, task.BIOS, nil, sim.InRamdisk, "Command line: BOOT_IMAGE=::n1/k initrd=::n1/r quiet BOOTIF=01-52-54-00-00-00-01"},
		"beside itself":           {map[string]string{self: "", byMAC: "default a\nlabel a\nkernel k\nappend initrd=r", "tftp/k": kernel, "tftp/r": ramdisk}, task.BIOS, nil, sim.InRamdisk, "Command line: BOOT_IMAGE=k initrd=r"},
		"unknown machine":         {map[string]string{self: "", byDefault: local}, task.BIOS, system, sim.Instance, "login:"},
		"the disk by its program": {map[string]string{self: "", byMAC: "default a\nlabel a\nkernel chain.c32\nappend hd0"}, task.BIOS, system, sim.Instance, "login:"},
		"UEFI":                    {map[string]string{self: "", byMAC: good, "n1/k": kernel, "n1/r": ramdisk}, task.UEFI, nil, sim.Halted, "this firmware starts programs for UEFI only"},
		"no loader":               {map[string]string{byMAC: good, "n1/k": kernel, "n1/r": ramdisk}, task.BIOS, nil, sim.Halted, "404"},
		"no configuration":        {map[string]string{self: ""}, task.BIOS, nil, sim.Halted, "default: status 404"},
		"wrong configuration":     {map[string]string{self: "", byMAC: "label a"}, task.BIOS, nil, sim.Halted, "no default"},
		"no kernel":               {map[string]string{self: "", byMAC: good, "n1/r": ramdisk}, task.BIOS, nil, sim.Halted, "n1/k: status 404"},
		"no ramdisk":              {map[string]string{self: "", byMAC: good, "n1/k": kernel}, task.BIOS, nil, sim.Halted, "n1/r: status 404"},
		"none asked for":          {map[string]string{self: "", byMAC: "default a\nlabel a\nkernel ::n1/k", "n1/k": kernel}, task.BIOS, nil, sim.Halted, "Kernel panic"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.files, sim.MachineConfig{BootFile: self, Firmware: c.firmware, Faults: sim.Faults{AgentSilent: true}})
			b.WriteDisk(t, c.disk)
			b.bootFrom(t, boot.PXE, true)
			b.power(t, driver.PowerOn)
			b.wait(t, c.want)
			require.Contains(t, b.console.String(), c.console)
		})
	}
}

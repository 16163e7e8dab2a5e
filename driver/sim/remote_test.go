package sim_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/fat"
	"github.com/ferrule/ferrule/boot/iso"
	"github.com/ferrule/ferrule/boot/vmedia"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/sim"
	"github.com/ferrule/ferrule/task"
)

// media serves a disc for each name: a good one, one whose kernel is none, one for
// BIOS only, and one of the wrong kind altogether.
func media(t *testing.T) string {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		return path
	}
	efi := map[string]string{"bootx64.efi": write("shim", make([]byte, 5000))}
	bios := map[string]string{"isolinux.bin": write("isolinux", make([]byte, 5000))}
	discs := new(vmedia.Discs)
	for name, c := range map[string]struct {
		kernel, ramdisk []byte
		loaders         map[string]string
		args            boot.KernelArgs
	}{
		"good":      {sim.Kernel(200_000), sim.Ramdisk(300_000), efi, boot.KernelArgs{{Key: "ipa-api-url", Value: "http://127.0.0.1:1"}}},
		"floppy":    {sim.Kernel(1000), sim.Ramdisk(1000), efi, boot.KernelArgs{{Key: "boot_method", Value: "vmedia"}}},
		"no-kernel": {sim.Ramdisk(1000), sim.Ramdisk(1000), efi, nil},
		"no-initrd": {sim.Kernel(1000), sim.Kernel(1000), efi, nil},
		"bios":      {sim.Kernel(1000), sim.Ramdisk(1000), bios, nil},
	} {
		open := func(suffix string, data []byte) *os.File {
			f, err := os.Open(write(name+suffix, data))
			require.NoError(t, err)
			return f
		}
		base, err := iso.Open(iso.Config{Kernel: open("-kernel", c.kernel), Ramdisk: open("-ramdisk", c.ramdisk), Loaders: c.loaders})
		require.NoError(t, err)
		image, err := base.Image(c.args)
		require.NoError(t, err)
		require.NoError(t, discs.Publish(t.Context(), vmedia.Disc{Owner: "n1", Name: name + ".iso", Content: image, Holder: base}))
	}
	floppy, err := fat.New(fat.Config{Label: vmedia.FloppyLabel, Size: fat.Floppy, Files: []fat.File{fat.Bytes(vmedia.FloppyFile, []byte("ipa-api-url=http://127.0.0.1:1\n"))}})
	require.NoError(t, err)
	require.NoError(t, discs.Publish(t.Context(), vmedia.Disc{Owner: "n1", Name: "floppy.img", Content: floppy}))
	server := httptest.NewServer(discs)
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		server.Close()
		require.NoError(t, discs.Withdraw(context.Background(), "n1"))
	})
	return server.URL + "/"
}

func TestBootsFromVirtualMedia(t *testing.T) {
	url := media(t)
	for name, c := range map[string]struct {
		cd, floppy string
		firmware   task.BootMode
		state      sim.State
		says       string
	}{
		"good":             {"good.iso", "", task.UEFI, sim.InRamdisk, "ipa-api-url=http://127.0.0.1:1"},
		"with a floppy":    {"floppy.iso", "floppy.img", task.UEFI, sim.InRamdisk, "boot_method=vmedia"},
		"floppy that gone": {"floppy.iso", "gone.img", task.UEFI, sim.Halted, "does not find its parameters"},
		"BIOS":             {"bios.iso", "", task.BIOS, sim.InRamdisk, "initrd=/boot/initrd"},
		"wrong firmware":   {"bios.iso", "", task.UEFI, sim.Halted, "nothing that firmware starts in boot mode uefi"},
		"empty drive":      {"", "", task.UEFI, sim.Halted, "no disc in the CD drive"},
		"gone":             {"gone.iso", "", task.UEFI, sim.Halted, "404"},
		"no disc":          {"floppy.img", "", task.UEFI, sim.Halted, "no volume descriptor"},
		"no kernel":        {"no-kernel.iso", "", task.UEFI, sim.Halted, "exec format error"},
		"no initrd":        {"no-initrd.iso", "", task.UEFI, sim.Halted, "Kernel panic"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil, sim.MachineConfig{Firmware: c.firmware, Faults: sim.Faults{AgentSilent: c.floppy != "gone.img"}})
			cd, floppy := c.cd, c.floppy
			if cd != "" {
				cd = url + cd
			}
			if floppy != "" {
				floppy = url + floppy
			}
			b.SetMedia(cd, floppy)
			b.SetBootDevice(driver.BootSetting{Device: boot.CDROM})
			b.PowerOn()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := b.WaitState(ctx, c.state)
			require.NoError(t, err, b.console)
			require.Contains(t, b.console.String(), c.says)
			b.PowerOff()
		})
	}
}

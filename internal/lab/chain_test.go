//go:build linux

package lab_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/examples/qemu/machine"
	"github.com/ferrule/ferrule/internal/lab"
	"github.com/ferrule/ferrule/pxe"
	"github.com/ferrule/ferrule/task"
)

// strange are kernel arguments full of what means something to one loader or
// another, and nothing to any of those of a chain.
func strange(b boot.BootInterface) boot.Params {
	params := boot.Params{
		"ipa-api-url": "http://10.77.0.1:6385",
		"lab.a":       "{{ROOT}}((DISK))<x>%default%",
		"lab.b":       ";reboot|poweroff&halt",
		"lab.c":       "$root$$x(( y",
		"lab.d":       "two words,#and;more",
		"lab.e":       "--initrd",
	}
	if _, ok := b.(*pxe.Boot); ok {
		params["lab.c"], params["lab.d"] = "$root$${x", "two words, # and;more"
	}
	return params
}

// refused are such as the chain's loaders, or any, would misread.
func refused(b boot.BootInterface) []string {
	if _, ok := b.(*pxe.Boot); ok {
		return []string{"x\nreboot", "it's", `a\b`, "x --- y", "--initrd=x", "voil\u00e0"}
	}
	return []string{"x\nreboot", "${x", "x || reboot", "x #y", "--initrd=x"}
}

const rootUUID = "1f3b9e64-7a50-4c1d-9e58-c10f6d0f2a11"

// TestChains boots real firmware into the ramdisk and then into the instance, by
// each chain of loaders. FERRULE_LAB_TABLE
// names a file for the table of them.
func TestChains(t *testing.T) {
	lab.Need(t)
	byPXE := func(t *testing.T, s *site) boot.BootInterface { return s.pxe(t) }
	byIPXE := func(t *testing.T, s *site) boot.BootInterface { return s.ipxe(t, false) }
	httpBoot := func(t *testing.T, s *site) boot.BootInterface { return s.ipxe(t, true) }
	bios, uefi := machine.Config{Firmware: task.BIOS, Memory: 512}, machine.Config{Firmware: task.UEFI, NoROM: true}
	secure := machine.Config{Firmware: task.UEFI, NoROM: true, SecureBoot: true}
	onDisk := func(*node) {}
	overNetwork := func(n *node) {
		n.Node.InstanceInfo = task.Info{"capabilities": "boot_option:netboot", "kernel": n.Node.DriverInfo["deploy_kernel"], "ramdisk": n.Node.DriverInfo["deploy_ramdisk"]}
		n.Node.SetInternal("root_uuid_or_disk_id", rootUUID)
	}
	full := func(t *testing.T) *site { return newSite(t, dhcp.Full) }
	proxy := func(t *testing.T) *site { return newSite(t, dhcp.Proxy) }
	all := []string{boot.StageDHCP, boot.StageLoader, boot.StageScript, boot.StageKernel, boot.StageRamdisk}
	var table strings.Builder
	table.WriteString("| firmware | chain | servers | ramdisk after | instance after |\n|---|---|---|---|---|\n")
	for _, c := range []struct {
		firmware, chain, servers string
		site                     func(*testing.T) *site
		machine                  machine.Config
		boot                     func(*testing.T, *site) boot.BootInterface
		stages                   []string
		instance                 func(*node)
	}{
		{"SeaBIOS", "PXE ROM, pxelinux", "ours", full, bios, byPXE, all, onDisk},
		{"SeaBIOS", "iPXE ROM, HTTP", "ours", full, bios, byIPXE, []string{boot.StageDHCP, boot.StageScript, boot.StageKernel, boot.StageRamdisk}, overNetwork},
		{"OVMF", "PXE, shim, grub", "ours", full, uefi, byPXE, all, overNetwork},
		{"OVMF, secure boot", "PXE, shim, grub, signed kernel", "ours", full, secure, byPXE, all, onDisk},
		{"OVMF", "PXE, snponly.efi, HTTP", "ours", full, uefi, byIPXE, all, onDisk},
		{"OVMF", "HTTP boot, snponly.efi, HTTP", "ours", full, uefi, httpBoot, all, overNetwork},
		{"SeaBIOS", "iPXE ROM, HTTP", "ours, proxy DHCP beside dnsmasq", proxy, bios, byIPXE, []string{boot.StageDHCP, boot.StageScript, boot.StageKernel, boot.StageRamdisk}, onDisk},
		{"OVMF", "PXE, shim, grub", "ours, proxy DHCP beside dnsmasq", proxy, uefi, byPXE, all, onDisk},
		{"SeaBIOS", "PXE ROM, pxelinux", "dnsmasq", newFolderSite, bios, byPXE, nil, overNetwork},
		{"OVMF", "PXE, snponly.efi, HTTP", "dnsmasq, nginx", newFolderSite, uefi, byIPXE, nil, onDisk},
	} {
		name := c.firmware + ": " + c.chain + " by " + c.servers
		t.Run(name, func(t *testing.T) {
			s := c.site(t)
			c.machine.Disks = []string{disk(t, c.machine)}
			b := c.boot(t, s)
			n := s.newNode(t, b, c.machine)
			ctx := t.Context()
			require.NoError(t, b.Validate(ctx, n.Task))
			for _, value := range refused(b) {
				require.ErrorIs(t, b.PrepareRamdisk(ctx, n.Task, boot.Params{"lab.x": value}), task.ErrInvalidParameter, value)
			}
			strange := strange(b)
			require.NoError(t, b.PrepareRamdisk(ctx, n.Task, strange))
			require.Subset(t, b.(task.Stager).Stages(n.Task), c.stages)

			on := n.power(t)
			line := n.line(t, "LAB-CMDLINE: ")
			ramdisk := seconds(on)
			got, err := boot.ParseKernelArgs(line)
			require.NoError(t, err, line)
			told := map[string]string{}
			for _, a := range got {
				told[a.Key] = a.Value
			}
			for k, v := range strange {
				require.Equal(t, v, told[k], line)
			}
			require.Equal(t, "01-52-54-00-77-00-01", told["BOOTIF"], line)
			require.Equal(t, fmt.Sprintf("uefi=%t secureboot=%t", c.machine.Firmware == task.UEFI, c.machine.SecureBoot), n.line(t, "LAB-FIRMWARE: "))
			stages, failed := s.stages(n.Node.UUID)
			require.Equal(t, c.stages, stages)
			t.Logf("seen to fail on the way: %q", failed)

			c.instance(n)
			require.NoError(t, b.PrepareInstance(ctx, n.Task))
			require.NoError(t, b.CleanUpRamdisk(ctx, n.Task))
			on = n.power(t)
			if n.Node.InstanceInfo["kernel"] == nil {
				n.line(t, "LAB-DISK")
				stages, _ = s.stages(n.Node.UUID)
				require.Empty(t, stages, "nothing is asked of the network")
			} else {
				require.Contains(t, n.line(t, "LAB-CMDLINE: "), "root=UUID="+rootUUID+" ro text console=ttyS0")
			}
			fmt.Fprintf(&table, "| %s | %s | %s | %s s | %s s |\n", c.firmware, c.chain, c.servers, ramdisk, seconds(on))
			require.NoError(t, driver.SetPower(ctx, n.Task, driver.PowerOff))
			require.NoError(t, b.CleanUpInstance(ctx, n.Task))
			require.Empty(t, s.left(n.Node.UUID))
		})
	}
	t.Log("\n" + table.String())
	if file := os.Getenv("FERRULE_LAB_TABLE"); file != "" && !t.Failed() {
		require.NoError(t, os.WriteFile(file, []byte(table.String()), 0o644))
	}
}

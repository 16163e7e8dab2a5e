package iso_test

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/iso"
	"github.com/ferrule/ferrule/examples/qemu/machine"
	"github.com/ferrule/ferrule/internal/lab"
	"github.com/ferrule/ferrule/task"
)

var packages = []string{lab.KernelPackage, "isolinux", "syslinux-common", "shim-signed", "grub-efi-amd64-signed"}

func TestMain(m *testing.M) { os.Exit(lab.Main(m, packages...)) }

// labBase is the base of ISOs that machines of the lab start.
func labBase(t *testing.T) *iso.Base {
	dir := t.TempDir()
	loaders := map[string]string{}
	for _, p := range packages[1:] {
		maps.Copy(loaders, iso.DebianLoaders(lab.Deb(t, p)))
	}
	base, err := iso.Open(iso.Config{Kernel: open(t, lab.Kernel(t)), Ramdisk: open(t, lab.Ramdisk(t, dir)), Loaders: loaders})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, base.Close()) })
	return base
}

// strange are kernel arguments full of what means something to one loader or
// another, and nothing to any of them here.
var strange = boot.KernelArgs{
	{Key: "console", Value: "ttyS0"},
	{Key: "quiet", Flag: true},
	{Key: "ipa-api-url", Value: "http://10.77.0.1:6385"},
	{Key: "lab.a", Value: "{{ROOT}}((DISK))<x>%default%"},
	{Key: "lab.b", Value: ";reboot|poweroff&halt"},
	{Key: "lab.c", Value: "$root$${x"},
	{Key: "lab.d", Value: "two words, # and;more"},
	{Key: "lab.e", Value: "--initrd"},
}

// TestBoots has real firmware start an ISO where FERRULE_LAB is 1. It reads it over HTTP in ranges, as
// from a BMC's virtual drive.
func TestBoots(t *testing.T) {
	lab.Need(t)
	lab.Network(t)
	base := labBase(t)
	require.Equal(t, []task.BootMode{task.BIOS, task.UEFI}, base.Modes())
	image, err := base.Image(strange)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: image}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
	for _, c := range []struct {
		name   string
		config machine.Config
	}{
		{"BIOS", machine.Config{Firmware: task.BIOS}},
		{"UEFI", machine.Config{Firmware: task.UEFI}},
		{"UEFI with secure boot", machine.Config{Firmware: task.UEFI, SecureBoot: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			console := new(lab.Log)
			c.config.Name, c.config.MAC, c.config.Netdev, c.config.NoROM = "m", "52:54:00:77:00:02", "user", true
			c.config.Dir, c.config.Console = t.TempDir(), console
			c.config.CD = "http://" + listener.Addr().String() + "/node.iso"
			rack := new(machine.Rack)
			t.Cleanup(rack.Close)
			m, err := rack.Add(c.config)
			require.NoError(t, err)
			m.SetBootDevice(boot.CDROM, false)
			start := time.Now()
			require.NoError(t, m.PowerOn(t.Context()))
			line := console.Line(t, "LAB-CMDLINE: ", 3*time.Minute)
			t.Logf("ramdisk after %.1f s", time.Since(start).Seconds())
			got, err := boot.ParseKernelArgs(line)
			require.NoError(t, err, line)
			for _, want := range strange {
				require.Contains(t, got, want, line)
			}
			firmware := console.Line(t, "LAB-FIRMWARE: ", time.Minute)
			require.Equal(t, fmt.Sprintf("uefi=%t secureboot=%t", c.config.Firmware == task.UEFI, c.config.SecureBoot), firmware)
		})
	}
}

// TestPeersRead has other programs read an image, without complaint.
func TestPeersRead(t *testing.T) {
	lab.Need(t)
	base := labBase(t)
	image, err := base.Image(strange)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "node.iso")
	f, err := os.Create(path)
	require.NoError(t, err)
	n, err := image.WriteTo(f)
	require.NoError(t, err)
	require.Equal(t, image.Size(), n)
	require.NoError(t, f.Close())
	run := func(name string, args ...string) (string, string) {
		var out, complaints bytes.Buffer
		cmd := exec.Command(name, args...)
		cmd.Stdout, cmd.Stderr = &out, &complaints
		require.NoError(t, cmd.Run(), "%s %q: %s", name, args, &complaints)
		return out.String(), complaints.String()
	}
	want, _ := run("sha256sum", lab.Kernel(t))
	want, _, _ = strings.Cut(want, " ")

	for _, args := range [][]string{{"-f", "-R"}, {"-f"}, {"-l"}, {"-p"}} { // with Rock Ridge, and ISO 9660 alone
		out, complaints := run("isoinfo", append(args, "-i", path)...)
		require.Empty(t, complaints)
		require.Contains(t, strings.ToLower(out), "boot")
	}
	out, _ := run("isoinfo", "-i", path, "-d")
	require.Contains(t, out, "El Torito VD version 1 found, boot catalog is in sector 19")
	require.Contains(t, out, "Rock Ridge signatures version 1 found")
	require.Contains(t, out, fmt.Sprintf("Volume size is: %d", image.Size()/2048))

	out, complaints := run("xorriso", "-indev", path, "-report_el_torito", "plain", "-find", "/", "-exec", "report_lba", "--")
	for _, bad := range []string{"SORRY", "WARNING", "FAILURE", "FATAL", "MISHAP"} {
		require.NotContains(t, complaints, bad, complaints)
	}
	require.Contains(t, out, "'/isolinux/isolinux.bin'")
	require.Regexp(t, `El Torito boot img :   1  BIOS  y   none  0x0000  0x00      4 `, out)
	require.Regexp(t, `El Torito boot img :   2  UEFI  y   none `, out)
	require.Contains(t, out, "El Torito img opts :   1  boot-info-table")
	copied := filepath.Join(t.TempDir(), "vmlinuz")
	run("xorriso", "-osirrox", "on", "-indev", path, "-extract", "/boot/vmlinuz", copied)
	got, _ := run("sha256sum", copied)
	require.Contains(t, got, want)

	esp := filepath.Join(t.TempDir(), "efi.img")
	run("xorriso", "-osirrox", "on", "-indev", path, "-extract", "/boot/efi.img", esp)
	run("fsck.vfat", "-n", esp)
	shim, _ := run("mtype", "-i", esp, "::EFI/BOOT/BOOTX64.EFI")
	original, err := os.ReadFile(filepath.Join(lab.Deb(t, "shim-signed"), "usr/lib/shim/shimx64.efi.signed"))
	require.NoError(t, err)
	require.True(t, shim == string(original))
}

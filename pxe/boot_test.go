package pxe_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/boottest"
	"github.com/ferrule/ferrule/boot/netboot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/pxe"
	"github.com/ferrule/ferrule/task"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// target is what a machine would boot by either loader, which must agree.
func (s *site) target(t *testing.T, tk *task.Task) boottest.Target {
	mac := tk.Ports[0].Address
	onDisk := boottest.Target{Kind: boottest.Other}
	switch s.bmcs.Setting(tk.Node.UUID) {
	case driver.BootSetting{}:
		return onDisk
	case driver.BootSetting{Device: boot.Disk, Persistent: true}:
		return boottest.Target{Kind: boottest.Instance}
	}
	bios, uefi := s.pxelinux(t, "", mac), s.grub(t, mac)
	require.Equal(t, [2]string{bios.kernel, bios.ramdisk}, [2]string{uefi.kernel, uefi.ramdisk})
	require.Equal(t, args(t, bios.line), args(t, uefi.line))
	if bios.kernel == "disk" {
		return onDisk
	}
	require.Equal(t, [2]string{"kernel", "ramdisk"}, [2]string{bios.kernel, bios.ramdisk})
	if strings.Contains(bios.line, "root=UUID="+rootUUID) {
		return boottest.Target{Kind: boottest.Instance}
	}
	parsed, err := boot.ParseKernelArgs(uefi.line)
	require.NoError(t, err)
	params := boot.Params{}
	for _, a := range parsed {
		params[a.Key] = a.Value
	}
	return boottest.Target{Kind: boottest.Ramdisk, Params: params}
}

func TestConformance(t *testing.T) {
	for name, newTask := range map[string]func(*site, *testing.T, string) *task.Task{
		"from disk":        func(s *site, t *testing.T, name string) *task.Task { return s.task(t, name) },
		"over the network": func(s *site, t *testing.T, name string) *task.Task { return s.netbooted(t, name, "") },
	} {
		t.Run(name, func(t *testing.T) {
			var s *site
			boottest.Run(t, boottest.Harness{
				New:       func(t *testing.T) boot.BootInterface { s = newSite(t); return s.boot },
				Task:      func(t *testing.T, name string) *task.Task { return newTask(s, t, name) },
				Booted:    func(t *testing.T, tk *task.Task) boottest.Target { return s.target(t, tk) },
				Leftovers: func(*testing.T) []string { return s.left() },
			})
		})
	}
}

func TestConfigs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	deploy := s.task(t, "n1")
	deploy.Ports = []*task.Port{{Address: "52:54:00:AA:BB:CC"}, {Address: "52:54:00:aa:bb:dd", Extra: task.Info{"client-id": "ff:00"}}}
	require.NoError(t, s.boot.PrepareRamdisk(t.Context(), deploy, boot.Params{"ipa-api-url": "http://192.0.2.1:6385", "ipa-note": "two words"}))
	instance := s.netbooted(t, "n2", "")
	instance.Ports = []*task.Port{{Address: "52:54:00:aa:bb:ee"}}
	require.NoError(t, s.boot.PrepareInstance(t.Context(), instance))
	trusted := s.netbooted(t, "n9", ",trusted_boot:true")
	trusted.Ports = []*task.Port{{Address: "52:54:00:aa:bb:ff"}}
	require.NoError(t, s.boot.PrepareInstance(t.Context(), trusted))
	for golden, name := range map[string]string{
		"default.pxelinux":  "pxelinux.cfg/default",
		"default.grub":      "grub/grub.cfg",
		"ramdisk.pxelinux":  "pxelinux.cfg/01-52-54-00-aa-bb-cc",
		"ramdisk.grub":      "52:54:00:aa:bb:cc.conf",
		"infiniband.grub":   "grub.cfg-20-52-54-00-aa-bb-dd",
		"instance.pxelinux": "pxelinux.cfg/01-52-54-00-aa-bb-ee",
		"instance.grub":     "52:54:00:aa:bb:ee.conf",
		"trusted.pxelinux":  "pxelinux.cfg/01-52-54-00-aa-bb-ff",
	} {
		t.Run(golden, func(t *testing.T) {
			got, err := s.get(name)
			require.NoError(t, err)
			path := filepath.Join("testdata", golden)
			if *update {
				require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(string(want), got), "go test -update rewrites it")
		})
	}
}

func TestInstanceOnDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for id, want := range map[string]string{"": "hd0", "0x00000000": "hd0", "0xDEADBEEF": "mbr:0xdeadbeef", rootUUID: "hd0"} {
		tk := s.task(t, "n1")
		tk.Node.InstanceInfo["capabilities"] = "boot_option:netboot"
		tk.Node.SetInternal("root_uuid_or_disk_id", id)
		require.NoError(t, s.boot.PrepareInstance(t.Context(), tk))
		require.Equal(t, booted{kernel: "disk", line: want}, s.pxelinux(t, "", tk.Ports[0].Address))
		require.Equal(t, booted{kernel: "disk"}, s.grub(t, tk.Ports[0].Address))
	}
}

func TestTrustedBoot(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tk := s.netbooted(t, "n1", ",trusted_boot:true,boot_mode:bios")
	require.NoError(t, s.boot.Validate(t.Context(), tk))
	require.NoError(t, s.boot.PrepareInstance(t.Context(), tk))
	require.Equal(t, booted{"kernel", "ramdisk", "root=UUID=" + rootUUID + " ro text nofb nomodeset vga=normal intel_iommu=on"}, s.pxelinux(t, "", tk.Ports[0].Address))
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	_, err := pxe.New(t.Context(), pxe.Config{Site: netboot.Site{TFTP: "h.example", TFTP6: "192.0.2.1", KernelArgs: `a='b'`}, LoaderFiles: map[string]string{"pxelinux.0": "/none"}})
	var fields []string
	for _, p := range task.Problems(err) {
		require.ErrorIs(t, p, task.ErrInvalidParameter)
		fields = append(fields, p.(*task.Error).Field)
	}
	require.ElementsMatch(t, []string{"Config.Tree", "Config.TFTP", "Config.TFTP6", "Config.KernelArgs", "Config.LoaderFiles[pxelinux.0]"}, fields)

	tree := new(artifact.Tree)
	require.NoError(t, tree.Publish(t.Context(), "somebody", artifact.Artifact{Name: "grub/grub.cfg", Data: []byte{}}))
	_, err = pxe.New(t.Context(), pxe.Config{Site: netboot.Site{Tree: tree}})
	require.ErrorIs(t, err, task.ErrExists)
}

func TestURLsNeedACache(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tk := s.task(t, "n1")
	tk.Node.DriverInfo["deploy_kernel"] = "http://images.example/kernel"
	err := s.boot.Validate(t.Context(), tk)
	require.ErrorIs(t, err, task.ErrInvalidParameter)
	require.ErrorContains(t, err, "driver_info.deploy_kernel")
	require.ErrorContains(t, err, "Site.Cache")
	require.ErrorIs(t, s.boot.PrepareRamdisk(t.Context(), tk, nil), task.ErrInvalidParameter)
}

func TestDebianLoaders(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	require.Empty(t, pxe.DebianLoaders(root))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "usr/lib/PXELINUX"), 0o755))
	file := filepath.Join(root, "usr/lib/PXELINUX/pxelinux.0")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	require.Equal(t, map[string]string{"pxelinux.0": file}, pxe.DebianLoaders(root))
}

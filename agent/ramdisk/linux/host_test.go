//go:build linux

package linux_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/agent/ramdisk/linux"
	"github.com/ferrule/ferrule/deploy/disk"
	"github.com/ferrule/ferrule/task"
)

// host is a machine of files: names with a -> are links.
func host(t *testing.T, files map[string]string) linux.Host {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		at := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			require.NoError(t, os.MkdirAll(filepath.Join(root, to), 0o755))
			require.NoError(t, os.Symlink(filepath.Join(root, to), at))
			continue
		}
		require.NoError(t, os.WriteFile(at, []byte(text), 0o600))
	}
	return linux.Host{Root: root}
}

func TestDisks(t *testing.T) {
	h := host(t, map[string]string{
		"sys/block/vda/size": "16777216\n", "sys/block/vda/queue/rotational": "1\n", "sys/block/vda/serial": "disk-0\n",
		"sys/block/sda/size": "2048\n", "sys/block/sda/device": "-> sys/devices/pci0/ata1/host0/target0:0:0/0:0:0:0", "sys/devices/pci0/ata1/host0/target0:0:0/0:0:0:0/model": "SuperDisk  \n",
		"sys/devices/pci0/ata1/host0/target0:0:0/0:0:0:0/vendor": "ATA     \n", "sys/devices/pci0/ata1/host0/target0:0:0/0:0:0:0/wwid": "naa.5000c500a1b2c3d4\n",
		"sys/devices/pci0/ata1/host0/target0:0:0/0:0:0:0/vpd_pg80": "\x00\x80\x00\x04 S-1", "sys/block/sda/ro": "1\n",
		"sys/block/nvme0n1/size": "4096\n", "sys/block/nvme0n1/wwid": "eui.0025385b21404321\n", "sys/block/nvme0n1/device": "-> sys/devices/nvme0", "sys/devices/nvme0/serial": "N-1\n",
		"sys/block/sdb/size": "2048\n", "proc/mounts": "/dev/sdb1 /mnt vfat rw 0 0\nproc /proc proc rw 0 0\n", "sys/class/block/sdb1": "-> sys/devices/block/sdb/sdb1",
		"sys/block/loop0/size": "2048\n", "sys/block/sr0/size": "2048\n", "sys/block/mmcblk0boot0/size": "2048\n", "sys/block/sdc/size": "0\n",
	})
	disks, err := h.Disks(t.Context())
	require.NoError(t, err)
	require.Empty(t, cmp.Diff([]task.Disk{
		{Name: "/dev/nvme0n1", Size: 4096 * 512, WWN: "eui.0025385b21404321", Serial: "N-1", Transport: "nvme"},
		{Name: "/dev/sda", Size: 2048 * 512, Model: "SuperDisk", Vendor: "ATA", WWN: "0x5000c500a1b2c3d4", Serial: "S-1", HCTL: "0:0:0:0", Transport: "sata", ReadOnly: true},
		{Name: "/dev/vda", Size: 16777216 * 512, Serial: "disk-0", Rotational: true},
	}, disks))
	none, err := host(t, nil).Disks(t.Context())
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestInterfaces(t *testing.T) {
	h := host(t, map[string]string{
		"sys/class/net/lo/address": "00:00:00:00:00:00\n", "sys/class/net/eth0/address": "52:54:00:12:34:56\n", "sys/class/net/eth0/carrier": "1\n",
		"sys/class/net/eth0/device/vendor": "0x1af4\n", "sys/class/net/eth0/device/device": "0x0001\n",
		"sys/class/net/ib0/type": "32\n", "sys/class/net/ib0/address": "80:00:02:08:fe:80:00:00:00:00:00:00:f4:52:14:03:00:7b:cb:a1\n", "sys/class/net/ib0/device/vendor": "0x15b3\n",
	})
	got, err := h.Interfaces(t.Context())
	require.NoError(t, err)
	require.Empty(t, cmp.Diff([]ramdisk.Interface{
		{Name: "eth0", MACAddress: "52:54:00:12:34:56", HasCarrier: true, Vendor: "0x1af4", Product: "0x0001"},
		{Name: "ib0", MACAddress: "80:00:02:08:fe:80:00:00:00:00:00:00:f4:52:14:03:00:7b:cb:a1", Vendor: "0x15b3", ClientID: "ff:00:00:00:00:00:02:00:00:02:c9:00:f4:52:14:03:00:7b:cb:a1"},
	}, got))
}

func TestDescribe(t *testing.T) {
	module := func(size, extended string) string {
		fields := make([]byte, 0x28)
		fields[0], fields[1] = 17, 0x28
		copy(fields[0x0c:], size)
		copy(fields[0x1c:], extended)
		return string(fields) + "DIMM 0\x00\x00"
	}
	h := host(t, map[string]string{
		"proc/cpuinfo": "processor\t: 0\nmodel name\t: Fast CPU\n\nprocessor\t: 1\nmodel name\t: Fast CPU\n", "proc/meminfo": "MemTotal:        2000 kB\n",
		"sys/class/dmi/id/sys_vendor": "Maker\n", "sys/class/dmi/id/product_serial": "S-1\n", "sys/firmware/efi/fw_platform_size": "64\n",
		"sys/firmware/dmi/tables/DMI": "\x01\x04\x00\x00\x00\x00" + module("\x00\x04", "") + module("\xff\x7f", "\x00\x80\x00\x00") + module("\x00\x88", "") + module("\xff\xff", "") + "\x11\x60",
	})
	m, err := h.Describe(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, m.CPU.Count)
	require.Equal(t, "Fast CPU", m.CPU.Model)
	require.Equal(t, int64(2000<<10), m.Memory.Total)
	require.Equal(t, int64(1024+32768+2), m.Memory.PhysicalMB)
	require.Equal(t, "Maker", m.SystemVendor.Manufacturer)
	require.Equal(t, "uefi", m.Boot.CurrentBootMode)
}

func TestLogs(t *testing.T) {
	h := host(t, map[string]string{"run/log/agent.log": "node found\n"})
	var packed bytes.Buffer
	require.NoError(t, h.Logs(t.Context(), &packed))
	z, err := gzip.NewReader(&packed)
	require.NoError(t, err)
	files := map[string]string{}
	for archive := tar.NewReader(z); ; {
		f, err := archive.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		data, err := io.ReadAll(archive)
		require.NoError(t, err)
		files[f.Name] = string(data)
	}
	require.Equal(t, "node found\n", files["agent.log"])
}

func TestOpenDisk(t *testing.T) {
	h := host(t, map[string]string{"dev/vda": strings.Repeat("x", 1<<20)})
	for _, name := range []string{"/etc/passwd", "/dev/../vda", "/dev/mapper/x", "vda"} {
		_, err := h.OpenDisk(t.Context(), name)
		require.Error(t, err, name)
	}
	d, err := h.OpenDisk(t.Context(), "/dev/vda")
	require.NoError(t, err)
	_, err = d.WriteAt([]byte("image"), 4096)
	require.NoError(t, err)
	if err := d.(disk.Zeroer).Zero(8192, 4096); err != nil {
		t.Logf("this file system makes no zeros: %v", err)
	}
	got := make([]byte, 5)
	_, err = d.ReadAt(got, 4096)
	require.NoError(t, err)
	require.Equal(t, "image", string(got))
	require.NoError(t, d.Sync())
	require.NoError(t, d.Close())
}

func ExampleHost() {
	disks, err := linux.Host{}.Disks(context.Background())
	fmt.Println(len(disks) >= 0, err)
	// Output: true <nil>
}

package ramdisk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/deploy/configdrive"
	"github.com/ferrule/ferrule/deploy/disk"
	"github.com/ferrule/ferrule/task"
)

// fileMedium is a disk in a sparse file.
type fileMedium struct{ *os.File }

func (fileMedium) Close() error { return nil }

// fileDisk returns a machine with a disk of that size, and the disk.
func fileDisk(t *testing.T, size int64) (*machine, *disk.Disk) {
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	require.NoError(t, f.Truncate(size))
	m := newMachine()
	m.disks = []task.Disk{{Name: "/dev/sda", Size: size}}
	m.media["/dev/sda"] = fileMedium{f}
	return m, &disk.Disk{Device: f, Size: size}
}

const fsUUID = "01020304-0506-0708-090a-0b0c0d0e0f10"

// rootImage looks like a file system to whoever asks for its UUID.
func rootImage() []byte {
	b := noise(2 * mib)
	clear(b[:4096])
	b[1024+56], b[1024+57] = 0x53, 0xef
	for i := range 16 {
		b[1024+104+i] = byte(i + 1)
	}
	return b
}

func TestPartitionImage(t *testing.T) {
	t.Parallel()
	content := rootImage()
	s := newImageServer(t, content)
	drive, err := configdrive.Data{MetaData: map[string]any{"uuid": uuid}}.ISO()
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		change map[string]any
		want   []int64 // sizes of partitions, MiB
		label  disk.Label
		uuids  []string // beside the root's
	}{
		"BIOS, from the network":       {map[string]any{"boot_option": "netboot"}, []int64{20}, disk.MBR, nil},
		"BIOS, swap":                   {map[string]any{"swap_mb": 4}, []int64{4, 20}, disk.MBR, nil},
		"BIOS, GPT, config drive":      {map[string]any{"disk_label": "gpt", "configdrive": configdrive.Encode(drive)}, []int64{1, 1, 20}, disk.GPT, nil},
		"UEFI":                         {map[string]any{"deploy_boot_mode": "uefi"}, []int64{550, 20}, disk.GPT, []string{"efi system partition uuid"}},
		"ephemeral, config drive text": {map[string]any{"ephemeral_mb": 40, "ephemeral_format": "vfat", "configdrive": map[string]any{"meta_data": map[string]any{"uuid": uuid}}}, []int64{40, 1, 20}, disk.MBR, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, d := fileDisk(t, 700*mib)
			a := boot(t, newConductor(t, "1.90"), m)
			image := info(s.URL, content, map[string]any{"image_type": "partition", "root_mb": 20, "swap_mb": 0, "ephemeral_mb": 0})
			for k, v := range tc.change {
				image[k] = v
			}
			c := a.write(image)
			require.Equal(t, "SUCCEEDED", c.Status, "%+v", c.Error)
			require.Contains(t, string(c.Result), "written to device /dev/sda root_uuid="+fsUUID)
			table, err := disk.Read(d)
			require.NoError(t, err)
			require.Equal(t, tc.label, table.Label)
			var sizes []int64
			for _, p := range table.Partitions {
				sizes = append(sizes, p.Size/mib)
			}
			require.Equal(t, tc.want, sizes)
			root := table.Partitions[len(table.Partitions)-1]
			got := make([]byte, len(content))
			_, err = d.ReadAt(got, root.Start)
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, got))
			if image["configdrive"] != nil {
				p := table.Partitions[len(table.Partitions)-2]
				_, label, err := disk.Identify(d.Section(p.Start, p.Size))
				require.NoError(t, err)
				require.Equal(t, "config-2", label)
			}
			var uuids map[string]string
			require.NoError(t, json.Unmarshal(a.do("standby.get_partition_uuids", struct{}{}).Result, &uuids))
			require.Equal(t, fsUUID, uuids["root uuid"])
			for _, u := range tc.uuids {
				require.NotEmpty(t, uuids[u])
			}
			require.Len(t, uuids, 1+len(tc.uuids))
		})
	}
}

func TestPreserveEphemeral(t *testing.T) {
	t.Parallel()
	content := rootImage()
	s := newImageServer(t, content)
	m, d := fileDisk(t, 100*mib)
	a := boot(t, newConductor(t, "1.90"), m)
	image := info(s.URL, content, map[string]any{"image_type": "partition", "root_mb": 20, "ephemeral_mb": 40, "ephemeral_format": "vfat", "preserve_ephemeral": true})
	c := a.write(image)
	require.Contains(t, c.Error.Details, "no partition table", "nothing is there to keep")
	image["preserve_ephemeral"] = false
	require.Equal(t, "SUCCEEDED", a.write(image).Status)
	_, err := d.WriteAt([]byte("precious"), 20*mib)
	require.NoError(t, err)
	image["preserve_ephemeral"] = true
	require.Equal(t, "SUCCEEDED", a.write(image).Status)
	requirePrecious := func() {
		got := make([]byte, 8)
		_, err := d.ReadAt(got, 20*mib)
		require.NoError(t, err)
		require.Equal(t, "precious", string(got))
	}
	requirePrecious()
	image["root_mb"] = 21
	require.Contains(t, a.write(image).Error.Details, "to keep the ephemeral partition")
	image["root_mb"], image["os_hash_value"] = 20, sha256Of(nil)
	require.Equal(t, "ImageChecksumError", a.write(image).Error.Type)
	requirePrecious()
	table, err := disk.Read(d)
	require.NoError(t, err)
	require.Len(t, table.Partitions, 2)
}

func TestPartitionImageFails(t *testing.T) {
	t.Parallel()
	content := noise(mib)
	s := newImageServer(t, content)
	m, d := fileDisk(t, 100*mib)
	a := boot(t, newConductor(t, "1.90"), m)
	image := info(s.URL, content, map[string]any{"image_type": "partition", "root_mb": 20})
	for kind, change := range map[string]map[string]any{
		"InvalidImage":       {},
		"ImageChecksumError": {"os_hash_value": sha256Of(nil)},
		"ImageWriteError":    {"root_mb": 100},
	} {
		for k, v := range change {
			image[k] = v
		}
		c := a.write(image)
		require.Equal(t, kind, c.Error.Type)
		_, err := disk.Read(d)
		require.ErrorIs(t, err, disk.ErrNoTable, "nothing boots")
		image["root_mb"], image["os_hash_value"] = 20, sha256Of(content)
	}
}

// TestWholeDiskExtras has what comes after a whole-disk image: its GPT is
// repaired, and a config drive put behind it.
func TestWholeDiskExtras(t *testing.T) {
	t.Parallel()
	small, f := fileDisk(t, 20*mib)
	table := disk.Table{Label: disk.GPT, Partitions: []disk.Partition{{Start: mib, Size: 10 * mib, Type: disk.TypeLinux}}}
	require.NoError(t, table.Write(f))
	content := make([]byte, 20*mib)
	_, err := small.media["/dev/sda"].ReadAt(content, 0)
	require.NoError(t, err)
	s := newImageServer(t, content)
	m, d := fileDisk(t, 200*mib)
	a := boot(t, newConductor(t, "1.90"), m)
	drive, err := configdrive.Data{MetaData: map[string]any{"uuid": uuid}}.ISO()
	require.NoError(t, err)
	c := a.write(info(s.URL, content, map[string]any{"configdrive": configdrive.Encode(drive)}))
	require.Equal(t, "SUCCEEDED", c.Status, "%+v", c.Error)
	got, err := disk.Read(d)
	require.NoError(t, err)
	require.Len(t, got.Partitions, 2)
	require.Equal(t, table.Partitions[0], got.Partitions[0])
	moved, err := disk.RepairGPT(d)
	require.NoError(t, err)
	require.False(t, moved, "it is where it should be")

	// A disk without room for the config drive is none that boots.
	m, d = fileDisk(t, 30*mib)
	a = boot(t, newConductor(t, "1.90"), m)
	c = a.write(info(s.URL, content, map[string]any{"configdrive": configdrive.Encode(drive)}))
	require.Equal(t, "ConfigDriveWriteError", c.Error.Type)
	_, err = disk.Read(d)
	require.ErrorIs(t, err, disk.ErrNoTable)
}

// TestFormats has images of other formats written; package image has the rest.
func TestFormats(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("gzip"); err != nil {
		t.Skip("gzip is not installed")
	}
	content := noise(2 * mib)
	cmd := exec.Command("gzip", "-c")
	cmd.Stdin = bytes.NewReader(content)
	packed, err := cmd.Output()
	require.NoError(t, err)
	s := newImageServer(t, packed)
	m := oneDisk()
	c := boot(t, newConductor(t, "1.90"), m).write(info(s.URL, packed, nil))
	require.Equal(t, "SUCCEEDED", c.Status, "%+v", c.Error)
	requireWritten(t, m, content)
	c = boot(t, newConductor(t, "1.90"), m).write(info(s.URL, packed, map[string]any{"disk_format": "qcow2"}))
	require.Equal(t, "InvalidImage", c.Error.Type)
}

// grubMachine can install boot loaders.
type grubMachine struct {
	*machine
	asked []ramdisk.BootLoader
	err   error
}

func (g *grubMachine) InstallBootLoader(_ context.Context, b ramdisk.BootLoader) error {
	g.asked = append(g.asked, b)
	return g.err
}

func TestInstallBootLoader(t *testing.T) {
	t.Parallel()
	content := rootImage()
	s := newImageServer(t, content)
	m, _ := fileDisk(t, 100*mib)
	host := &grubMachine{machine: m}
	asked := map[string]any{"root_uuid": fsUUID, "efi_system_part_uuid": nil, "target_boot_mode": "bios"}
	a := boot(t, newConductor(t, "1.90"), m, func(c *ramdisk.Config) { c.Host = host })
	require.Contains(t, a.do("image.install_bootloader", asked).Error.Details, "no image was written")
	require.Equal(t, "SUCCEEDED", a.write(info(s.URL, content, map[string]any{"image_type": "partition", "root_mb": 20})).Status)
	require.Equal(t, "SUCCEEDED", a.do("image.install_bootloader", asked).Status)
	require.Equal(t, []ramdisk.BootLoader{{Disk: "/dev/sda", RootUUID: fsUUID, BootMode: "bios"}}, host.asked)
	host.err = errors.New("grub-install: out of tune")
	require.Contains(t, a.do("image.install_bootloader", asked).Error.Details, "out of tune")
	require.Contains(t, a.do("image.install_bootloader", map[string]any{"root_uuid": uuid}).Error.Details, "root_uuid")
	require.Equal(t, "InvalidCommandParamsError", a.do("image.install_bootloader", map[string]any{"root_uuid": 7}).Error.Type)

	plain := boot(t, newConductor(t, "1.90"), m)
	require.Equal(t, "SUCCEEDED", plain.write(info(s.URL, content, map[string]any{"image_type": "partition", "root_mb": 20})).Status)
	require.Contains(t, plain.do("image.install_bootloader", asked).Error.Details, "no tools for it")
	require.Equal(t, "SUCCEEDED", plain.write(info(s.URL, content, nil)).Status)
	require.Equal(t, "SUCCEEDED", plain.do("image.install_bootloader", asked).Status, "a whole-disk image has its own")
}

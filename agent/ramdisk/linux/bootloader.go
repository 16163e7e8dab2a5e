//go:build linux

package linux

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/deploy/disk"
)

var _ ramdisk.BootLoaderInstaller = Host{}

// InstallBootLoader implements [ramdisk.BootLoaderInstaller], as
// ironic-python-agent does: an image with loaders for UEFI in /boot/efi has them
// copied to the EFI system partition; else the image's own grub installs itself,
// with the image's root file system for its root. The ramdisk needs no tools, but
// its kernel the drivers of the file systems.
func (h Host) InstallBootLoader(ctx context.Context, b ramdisk.BootLoader) (err error) {
	d, err := h.OpenDisk(ctx, b.Disk)
	if err != nil {
		return err
	}
	g, err := findPartitions(d, b)
	if err = errors.Join(err, d.Close()); err != nil { // closing it shows the partitions to the kernel
		return err
	}
	if err := h.name(g.names); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ferrule-root-")
	if err != nil {
		return err
	}
	defer func() {
		unix.Sync()
		err = errors.Join(err, os.Remove(dir))
	}()
	return g.install(ctx, &root{dir: dir, attach: attach, detach: detach, run: runIn})
}

// findPartitions finds those that b names.
func findPartitions(d ramdisk.Disk, b ramdisk.BootLoader) (grub, error) {
	g := grub{disk: b.Disk, names: map[string]string{}}
	size, err := sizeOf(d)
	if err != nil {
		return g, err
	}
	whole := &disk.Disk{Device: d, Size: size}
	if s, ok := d.(ramdisk.BlockSizer); ok {
		whole.BlockSize = s.BlockSize()
	}
	t, err := disk.Read(whole)
	if err != nil {
		return g, err
	}
	for _, p := range t.Partitions {
		if p.Start+p.Size > size {
			continue
		}
		id, _, _ := disk.Identify(whole.Section(p.Start, p.Size))
		at := partitionPath(b.Disk, p.Number)
		if id != "" {
			g.names["by-uuid/"+id] = at
		}
		switch {
		case id != "" && id == b.RootUUID:
			g.root = at
		case id != "" && id == b.ESPUUID && b.BootMode == string(disk.UEFI):
			g.esp, g.espID = at, id
		case p.UUID == b.PRePUUID:
			g.prep = at
		}
	}
	switch {
	case g.root == "":
		return g, errors.New("no partition has the root_uuid given")
	case g.esp == "" && b.BootMode == string(disk.UEFI):
		return g, errors.New("no partition has the efi_system_part_uuid given")
	}
	return g, nil
}

// name gives partitions the names by which udev would have them: grub's scripts
// tell the kernel the UUID of its root only where they see it there, and else a
// device, which may be called otherwise in the instance.
func (h Host) name(names map[string]string) error {
	for name, device := range names {
		link := h.path("dev/disk", name)
		err := os.MkdirAll(filepath.Dir(link), 0o755)
		if err == nil {
			if err = os.Remove(link); errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		}
		if err == nil {
			err = os.Symlink("../.."+strings.TrimPrefix(device, "/dev"), link)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func sizeOf(d ramdisk.Disk) (int64, error) {
	s, ok := d.(interface {
		Seek(int64, int) (int64, error)
	})
	if !ok {
		return 0, errors.New("the disk does not tell its size")
	}
	return s.Seek(0, 2)
}

// partitionPath is the device of a disk's partition: a p stands between numbers.
func partitionPath(name string, number int) string {
	if last := name[len(name)-1]; '0' <= last && last <= '9' {
		name += "p"
	}
	return name + strconv.Itoa(number)
}

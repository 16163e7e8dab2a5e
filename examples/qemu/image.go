//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/ferrule/ferrule/agent/ramdisk/builder"
	"github.com/ferrule/ferrule/boot/fat"
	"github.com/ferrule/ferrule/deploy/disk"
	"github.com/ferrule/ferrule/examples/qemu/debian"
	"github.com/ferrule/ferrule/task"
)

const (
	mib       = 1 << 20
	imageSize = 66 * mib
)

// makeImage makes the image of a disk whose one partition has a boot loader, a
// kernel, and package instance as its system.
func (s *site) makeImage(ctx context.Context, path string, firmware task.BootMode, parts builder.Config) error {
	parts.Agent = s.path("instance")
	if err := goBuild(ctx, parts.Agent, "github.com/ferrule/ferrule/examples/qemu/instance"); err != nil {
		return err
	}
	if len(parts.Modules) > 0 {
		parts.Modules = append(parts.Modules, "isofs")
	}
	var system bytes.Buffer
	if err := builder.Write(&system, parts); err != nil {
		return err
	}
	kernel, err := os.ReadFile(s.path("kernel"))
	if err != nil {
		return err
	}
	files := []fat.File{fat.Bytes("vmlinuz", kernel), fat.Bytes("initrd", system.Bytes())}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(imageSize); err != nil {
		return err
	}
	table := disk.Table{Label: disk.MBR, Partitions: []disk.Partition{{Start: mib, Size: imageSize - 2*mib, Type: disk.TypeESP, Bootable: true}}}
	if firmware == task.UEFI {
		table.Label = disk.GPT
		loaders, err := efiLoaders(ctx)
		if err != nil {
			return err
		}
		files = append(files, append(loaders, fat.Bytes("EFI/debian/grub.cfg", []byte(grubConfig)))...)
	}
	d := &disk.Disk{Device: f, Size: imageSize}
	if err := table.Write(d); err != nil {
		return err
	}
	esp, err := fat.New(fat.Config{Label: "BOOT", Size: imageSize - 2*mib, Files: files})
	if err != nil {
		return err
	}
	if _, err := f.Seek(mib, 0); err != nil {
		return err
	}
	if _, err := esp.WriteTo(f); err != nil {
		return err
	}
	if firmware == task.BIOS {
		err = s.installGrub(ctx, f)
	}
	return errors.Join(err, f.Close())
}

const grubConfig = `serial --unit=0 --speed=115200
terminal_output serial
linux /vmlinuz console=ttyS0 quiet
initrd /initrd
boot
`

func efiLoaders(ctx context.Context) ([]fat.File, error) {
	var files []fat.File
	for _, l := range []struct{ pkg, file, name string }{
		{"shim-signed", "usr/lib/shim/shimx64.efi.signed", "EFI/BOOT/BOOTX64.EFI"},
		{"grub-efi-amd64-signed", "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "EFI/BOOT/grubx64.efi"},
	} {
		dir, err := debian.Unpack(ctx, l.pkg)
		if err != nil {
			return nil, err
		}
		data, err := os.ReadFile(filepath.Join(dir, l.file))
		if err != nil {
			return nil, err
		}
		files = append(files, fat.Bytes(l.name, data))
	}
	return files, nil
}

// installGrub puts grub for BIOS in front of the first partition, as grub-bios-setup
// does on devices: boot.img in the MBR, around its table, and the core behind it.
func (s *site) installGrub(ctx context.Context, image *os.File) error {
	modules, err := debian.Unpack(ctx, "grub-pc-bin")
	if err != nil {
		return err
	}
	tools, err := debian.Unpack(ctx, "grub-common")
	if err != nil {
		return err
	}
	modules = filepath.Join(modules, "usr/lib/grub/i386-pc")
	if err := os.WriteFile(s.path("grub.cfg"), []byte("set root=(hd0,msdos1)\n"+grubConfig), 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(tools, "usr/bin/grub-mkimage"), "-O", "i386-pc", "-d", modules, "-o", s.path("core.img"), "-c", s.path("grub.cfg"),
		"-p", "(hd0,msdos1)/grub", "biosdisk", "part_msdos", "fat", "linux", "serial", "terminal", "boot", "minicmd")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("grub-mkimage: %s%w", out, err)
	}
	boot, bootErr := os.ReadFile(filepath.Join(modules, "boot.img"))
	core, coreErr := os.ReadFile(s.path("core.img"))
	if err := errors.Join(bootErr, coreErr); err != nil {
		return err
	}
	if len(boot) != 512 || len(core) < 1024 || len(core) > mib-512 {
		return fmt.Errorf("grub's images have %d and %d bytes, which do not fit", len(boot), len(core))
	}
	const blocks = 512 - 12                                                         // of the first sector: where the rest of the core is
	binary.LittleEndian.PutUint64(core[blocks:], 2)                                 // its first sector
	binary.LittleEndian.PutUint16(core[blocks+8:], uint16((len(core)-512+511)/512)) // how many
	_, bootErr = image.WriteAt(boot[:440], 0)                                       // behind that are the disk's signature and table
	_, coreErr = image.WriteAt(core, 512)
	return errors.Join(bootErr, coreErr)
}

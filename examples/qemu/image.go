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

// A system is what boots in an image: package instance, and nothing else.
type system struct {
	program         string // path of the instance's
	kernel, ramdisk []byte
}

// makeSystem makes the system of an image, with the modules that it needs.
func (s *site) makeSystem(ctx context.Context, parts builder.Config, modules ...string) (y system, err error) {
	parts.Agent = s.path("instance")
	y.program = parts.Agent
	if err := s.program(ctx, parts.Agent, instancePackage); err != nil {
		return y, err
	}
	if len(parts.Modules) > 0 {
		parts.Modules = append(parts.Modules, modules...)
	}
	var ramdisk bytes.Buffer
	if err := builder.Write(&ramdisk, parts); err != nil {
		return y, err
	}
	y.ramdisk = ramdisk.Bytes()
	y.kernel, err = os.ReadFile(s.path("kernel"))
	return y, err
}

// makeDiskImage makes the image of a disk whose one partition has a boot loader
// and the system.
func (s *site) makeDiskImage(ctx context.Context, path string, firmware task.BootMode, parts builder.Config) error {
	system, err := s.makeSystem(ctx, parts, "isofs")
	if err != nil {
		return err
	}
	files := []fat.File{fat.Bytes("vmlinuz", system.kernel), fat.Bytes("initrd", system.ramdisk)}
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
		for name, data := range loaders {
			files = append(files, fat.Bytes(name, data))
		}
		files = append(files, fat.Bytes("EFI/debian/grub.cfg", []byte(grubConfig)))
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

// efiLoaders are Debian's signed ones, by their names on an EFI system partition.
func efiLoaders(ctx context.Context) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, l := range []struct{ pkg, file, name string }{
		{"shim-signed", "usr/lib/shim/shimx64.efi.signed", "EFI/BOOT/BOOTX64.EFI"},
		{"grub-efi-amd64-signed", "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "EFI/BOOT/grubx64.efi"},
	} {
		dir, err := debian.Unpack(ctx, l.pkg)
		if err != nil {
			return nil, err
		}
		if files[l.name], err = os.ReadFile(filepath.Join(dir, l.file)); err != nil {
			return nil, err
		}
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

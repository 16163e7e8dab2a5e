package iso

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/boot/fat"
	"github.com/ferrule/ferrule/internal/extent"
	"github.com/ferrule/ferrule/task"
)

// Label is the volume identifier of all images, by which ramdisks made for Ironic
// know the disc that they came from.
const Label = "VMEDIA_BOOT_ISO"

// Where things are in an image.
const (
	kernelPath   = "/boot/vmlinuz"
	ramdiskPath  = "/boot/initrd"
	efiPath      = "/boot/efi.img"
	isolinuxPath = "/isolinux/isolinux.cfg"

	descriptorLBA = 16
)

// grubPaths are where signed builds of grub look for their configuration: those
// for CDs in /boot/grub, others in their distribution's folder.
var grubPaths = []string{
	"/boot/grub/grub.cfg", "/EFI/BOOT/grub.cfg", "/EFI/debian/grub.cfg", "/EFI/ubuntu/grub.cfg", "/EFI/redhat/grub.cfg",
	"/EFI/centos/grub.cfg", "/EFI/fedora/grub.cfg", "/EFI/rocky/grub.cfg", "/EFI/almalinux/grub.cfg",
}

// configRoom is what each image has for each of its configurations. The loaders
// do not mind empty lines.
const configRoom = 8 << 10

// Limits of a content: ISO 9660 counts in 32 bits.
const (
	maxContent = 1<<32 - sector
	maxLoader  = 64 << 20
	maxName    = 64
)

// Config says what the images of a [Base] have in common.
type Config struct {
	// Kernel and Ramdisk are open files. They belong to the base from the call of
	// Open on, which closes them. They must not be rewritten while the base is in
	// use.
	Kernel, Ramdisk *os.File

	// Identity tells this kernel and ramdisk from others, as their digests do, so
	// that the images' validators are the same on all hosts that have them. Empty:
	// the files' sizes and times do.
	Identity string

	// Loaders are the paths of boot loaders by name, as [DebianLoaders] finds
	// them: isolinux.bin with ldlinux.c32 for BIOS, and for UEFI bootx64.efi or
	// another one of the names that firmware knows, with those that it starts.
	Loaders map[string]string
}

// A Base is what images with the same kernel, ramdisk and loaders have in common.
// Use [Open].
type Base struct {
	id       string
	modes    []task.BootMode
	files    []*source
	watched  []*source // kernel and ramdisk
	head     []byte    // from the beginning to the last folder
	fixed    extent.List
	isolinux *content
	grub     *content
	size     int64
}

// Open lays the images out. Kernel, ramdisk and loaders are referenced; what is
// read of them is loaders, to know them by. The error reports everything that is
// wrong with c, each Is task.ErrInvalidParameter, and then c's files are closed.
func Open(c Config) (*Base, error) {
	b := &Base{modes: Modes(c.Loaders)}
	if err := b.open(c); err != nil {
		return nil, task.Join(err, b.Close())
	}
	return b, nil
}

// Close closes the files. It may be called again.
func (b *Base) Close() error {
	var errs []error
	for _, s := range b.files {
		if err := s.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return task.Join(errs...)
}

// ID tells bases apart by what they are made of.
func (b *Base) ID() string { return b.id }

// Modes returns the boot modes that the images start in.
func (b *Base) Modes() []task.BootMode { return slices.Clone(b.modes) }

func (b *Base) open(c Config) error {
	var errs []error
	bad := func(field string, err error, remedy string) {
		errs = append(errs, &task.Error{Op: "iso.Open", Field: field, Err: err, Remedy: remedy})
	}
	id := sha256.New()
	fmt.Fprintf(id, "ferrule iso 1 %q", c.Identity)
	use := func(field string, f *os.File, limit int64) *source {
		s, err := b.use(f, limit)
		if err != nil {
			bad(field, err, "give a file that is not empty")
		}
		return s
	}
	kernel, ramdisk := use("Config.Kernel", c.Kernel, maxContent), use("Config.Ramdisk", c.Ramdisk, maxContent)
	loaders := map[string]*source{}
	for _, name := range slices.Sorted(maps.Keys(c.Loaders)) {
		field := fmt.Sprintf("Config.Loaders[%q]", name)
		if !fs.ValidPath(name) || strings.Contains(name, "/") || len(name) > maxName || (name != isolinux && !strings.HasSuffix(name, module) && !strings.HasSuffix(name, efi)) {
			bad(field, fmt.Errorf("%w: a name that no loader here has", task.ErrInvalidParameter), "name it isolinux.bin, or with .c32 or .efi at the end")
			continue
		}
		f, err := os.Open(c.Loaders[name])
		if err != nil {
			bad(field, fmt.Errorf("%w: %w", task.ErrInvalidParameter, err), "give the path of the loader's file")
			continue
		}
		loaders[name] = use(field, f, maxLoader)
	}
	if len(b.modes) == 0 {
		bad("Config.Loaders", task.ErrMissingParameter, "give isolinux.bin for BIOS or bootx64.efi for UEFI")
	}
	if err := task.Join(errs...); err != nil {
		return err
	}
	b.watched = []*source{kernel, ramdisk}
	if c.Identity == "" {
		fmt.Fprintf(id, " %d %d", kernel.info.ModTime().UnixNano(), ramdisk.info.ModTime().UnixNano())
	}
	fmt.Fprintf(id, " %d %d", kernel.size, ramdisk.size)
	return b.layOut(id, kernel, ramdisk, loaders)
}

// use takes a file over.
func (b *Base) use(f *os.File, limit int64) (*source, error) {
	if f == nil {
		return nil, task.ErrMissingParameter
	}
	s := &source{file: f}
	b.files = append(b.files, s)
	var err error
	if s.info, err = f.Stat(); err != nil {
		return nil, fmt.Errorf("%w: %w", task.ErrInvalidParameter, err)
	}
	s.size = s.info.Size()
	if !s.info.Mode().IsRegular() || s.size == 0 || s.size > limit {
		return nil, fmt.Errorf("%w: no regular file of 1 to %d bytes", task.ErrInvalidParameter, limit)
	}
	return s, nil
}

// layOut decides where everything is.
func (b *Base) layOut(id hash.Hash, kernel, ramdisk *source, loaders map[string]*source) error {
	root := newRoot()
	var order []*content // behind the folders
	add := func(path string, from io.ReaderAt, size int64) *content {
		c := &content{from: from, size: size}
		root.add(path, c)
		order = append(order, c)
		return c
	}
	b.isolinux = add(isolinuxPath, nil, configRoom)
	b.grub = add(grubPaths[0], nil, configRoom)
	for _, path := range grubPaths[1:] {
		root.add(path, b.grub)
	}
	var boots []bootImage
	var biosLoader []byte
	var esp []fat.File
	for _, name := range slices.Sorted(maps.Keys(loaders)) {
		s := loaders[name]
		data := make([]byte, s.size)
		if _, err := s.file.ReadAt(data, 0); err != nil {
			return err
		}
		fmt.Fprintf(id, " %q %x", name, sha256.Sum256(data))
		path, inEFI := loaderPath(name)
		switch {
		case inEFI:
			esp = append(esp, fat.File{Name: path, Content: s, Size: s.size})
		case name == isolinux:
			if biosLoader = data; len(data) < 64 {
				return &task.Error{Op: "iso.Open", Field: fmt.Sprintf("Config.Loaders[%q]", name), Err: fmt.Errorf("%w: too short for isolinux", task.ErrInvalidParameter)}
			}
			boots = append(boots, bootImage{platformBIOS, 4, add(path, bytes.NewReader(data), s.size)})
		default:
			add(path, s, s.size)
		}
	}
	if slices.Contains(b.modes, task.UEFI) {
		partition, err := fat.New(fat.Config{Label: "EFI", Files: esp})
		if err != nil {
			return err
		}
		c := add(efiPath, partition, partition.Size())
		boots = append(boots, bootImage{platformEFI, uint16(min(partition.Size()/512, 1<<16-1)), c})
	}
	b.id = hex.EncodeToString(id.Sum(nil)[:12])
	// grub for CDs takes the first disc with /.disk/info for its own.
	add("/.disk/info", strings.NewReader("ferrule "+b.id+"\n"), int64(len("ferrule \n")+len(b.id)))
	add(b.marker(), strings.NewReader("\n"), 1)
	add(kernelPath, kernel, kernel.size)
	add(ramdiskPath, ramdisk, ramdisk.size)
	return b.write(root, order, boots, biosLoader)
}

// marker is a file that no other disc has.
func (b *Base) marker() string { return "/.disk/" + b.id }

// write gives everything its place and encodes what says so.
func (b *Base) write(root *dir, order []*content, boots []bootImage, biosLoader []byte) error {
	dirs := root.level()
	tableSize := len(pathTable(dirs, binary.LittleEndian))
	tableSectors := uint32(roundUp(int64(tableSize)) / sector)
	const catalogLBA = descriptorLBA + 3 // after the descriptors of volume, boot record and end
	v := volume{label: Label, root: root, tableSize: uint32(tableSize), tableL: catalogLBA + 1}
	v.tableBE = v.tableL + tableSectors
	next := v.tableBE + tableSectors
	for _, d := range dirs {
		d.lba, d.size = next, len(d.records())
		next += uint32(d.size / sector)
	}
	headSize := int64(next) * sector
	pieces := extent.List{}
	for _, c := range order {
		c.lba = next
		if c.from != nil {
			pieces = append(pieces, extent.Piece{Off: int64(next) * sector, Size: c.size, From: c.from})
		}
		end := int64(next) + roundUp(c.size)/sector
		if end > 1<<32-1 {
			return &task.Error{Op: "iso.Open", Field: "Config", Err: fmt.Errorf("%w: more than an ISO can hold", task.ErrInvalidParameter)}
		}
		next = uint32(end)
	}
	v.sectors = next
	for _, image := range boots {
		if image.platform == platformBIOS {
			patchInfo(biosLoader, image.content.lba)
		}
	}
	head := make([]byte, headSize)
	put := func(lba uint32, data []byte) { copy(head[int64(lba)*sector:], data) }
	put(descriptorLBA, v.descriptor())
	put(descriptorLBA+1, bootRecord(catalogLBA))
	put(descriptorLBA+2, terminator())
	put(catalogLBA, catalog(boots))
	put(v.tableL, pathTable(dirs, binary.LittleEndian))
	put(v.tableBE, pathTable(dirs, binary.BigEndian))
	for _, d := range dirs {
		put(d.lba, d.records())
	}
	b.head, b.size = head[descriptorLBA*sector:], int64(next)*sector
	b.fixed = append(pieces, extent.Piece{Off: b.size}) // the last sector is a whole one
	return b.fixed.Check()
}

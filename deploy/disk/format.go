package disk

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// FormatSwap makes d a swap area, with the label if it is not "", and returns
// its UUID.
func FormatSwap(d *Disk, label string) (uuid string, err error) {
	pages := d.Size / page
	if pages < 10 || len(label) > 15 {
		return "", fmt.Errorf("a swap area of %d bytes labelled %q", d.Size, label)
	}
	b := make([]byte, page)
	id := newUUID()
	raw, err := parseUUID(id)
	if err != nil {
		return "", err
	}
	binary.LittleEndian.PutUint32(b[1024:], 1)
	binary.LittleEndian.PutUint32(b[1028:], uint32(min(pages-1, 1<<32-1)))
	copy(b[1036:], raw[:])
	copy(b[1052:], label)
	copy(b[page-10:], "SWAPSPACE2")
	if _, err := d.WriteAt(b, 0); err != nil {
		return "", err
	}
	return id, d.Sync()
}

const (
	fatReserved = 32 // sectors before the first table
	fatMinimum  = 65525
)

// FormatFAT makes d an empty FAT32 file system, as an EFI system partition has
// it, and returns its volume id as blkid shows it. The label has up to 11
// characters. It takes 33 MiB at least.
func FormatFAT(d *Disk, label string) (id string, err error) {
	bs := d.blockSize()
	perCluster := int64(1) // sectors
	for d.Size/(bs*perCluster) > 1<<18 && perCluster*bs < 32<<10 {
		perCluster *= 2
	}
	sectors := d.Size / bs
	// Each cluster takes 4 bytes in each of the two tables.
	table := ((sectors-fatReserved)*4 + 8*perCluster + bs*perCluster + 8 - 1) / (bs*perCluster + 8)
	clusters := (sectors - fatReserved - 2*table) / perCluster
	label = strings.ToUpper(label)
	switch {
	case clusters < fatMinimum || sectors > 1<<32-1:
		return "", fmt.Errorf("a FAT32 file system of %d bytes", d.Size)
	case len(label) > 11:
		return "", fmt.Errorf("FAT label %q has more than 11 characters", label)
	}
	var serial [4]byte
	_, _ = rand.Read(serial[:]) // it never fails
	if err := d.Zero(0, (fatReserved+2*table+perCluster)*bs); err != nil {
		return "", err
	}
	boot, info, fat, root := make([]byte, bs), make([]byte, bs), make([]byte, bs), make([]byte, bs)
	name := fmt.Appendf(nil, "%-11s", label)
	fatBoot(boot, fatGeometry{sectors, table, perCluster, bs}, serial, name)
	fatInfo(info, clusters-1)
	le := binary.LittleEndian
	for i, v := range []uint32{0x0ffffff8, 0x0fffffff, 0x0fffffff} {
		le.PutUint32(fat[4*i:], v)
	}
	if label != "" {
		copy(root, name)
		root[11] = 8 // the volume's label
		le.PutUint16(root[24:], 1<<5|1)
	}
	for _, w := range []struct {
		b  []byte
		at int64
	}{{info, 1}, {info, 7}, {fat, fatReserved}, {fat, fatReserved + table}, {root, fatReserved + 2*table}, {boot, 6}, {boot, 0}} {
		if _, err := d.WriteAt(w.b, w.at*bs); err != nil {
			return "", err
		}
	}
	n := le.Uint32(serial[:])
	return fmt.Sprintf("%04X-%04X", n>>16, n&0xffff), d.Sync()
}

type fatGeometry struct{ sectors, table, perCluster, block int64 }

func fatBoot(b []byte, g fatGeometry, serial [4]byte, name []byte) {
	le := binary.LittleEndian
	copy(b, "\xeb\x58\x90FERRULE ")
	le.PutUint16(b[11:], uint16(g.block))
	b[13] = byte(g.perCluster)
	le.PutUint16(b[14:], fatReserved)
	b[16] = 2 // tables
	b[21] = 0xf8
	le.PutUint16(b[24:], 63)
	le.PutUint16(b[26:], 255)
	le.PutUint32(b[32:], uint32(g.sectors))
	le.PutUint32(b[36:], uint32(g.table))
	le.PutUint32(b[44:], 2) // the root's first cluster
	le.PutUint16(b[48:], 1) // the information sector
	le.PutUint16(b[50:], 6) // the copy of this one
	b[64], b[66] = 0x80, 0x29
	copy(b[67:], serial[:])
	if strings.TrimSpace(string(name)) == "" {
		name = []byte("NO NAME    ")
	}
	copy(b[71:], name)
	copy(b[82:], "FAT32   ")
	b[510], b[511] = 0x55, 0xaa
}

func fatInfo(b []byte, free int64) {
	le := binary.LittleEndian
	le.PutUint32(b, 0x41615252)
	le.PutUint32(b[484:], 0x61417272)
	le.PutUint32(b[488:], uint32(free))
	le.PutUint32(b[492:], 3)
	le.PutUint32(b[508:], 0xaa550000)
}

// ErrNoTool is a file system that only a tool makes, which is not installed.
var ErrNoTool = errors.New("the tool that makes it is not installed")

// formatters are the tools that make file systems, with what has them write
// little; the file and the label come behind.
var formatters = map[string][]string{
	"ext2":  {"mkfs.ext2", "-q", "-F", "-L"},
	"ext3":  {"mkfs.ext3", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", "-L"},
	"ext4":  {"mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", "-L"},
	"xfs":   {"mkfs.xfs", "-q", "-f", "-K", "-L"},
	"btrfs": {"mkfs.btrfs", "-q", "-f", "-K", "-L"},
}

// Format makes d a file system of that kind (ext2, ext3, ext4, xfs, btrfs, vfat
// or swap), with the label, and returns its UUID. Its tool writes to a sparse
// file in dir, "" for the usual place for such, and what it wrote goes to d.
func Format(ctx context.Context, d *Disk, kind, label, dir string) (uuid string, err error) {
	switch kind {
	case "vfat":
		return FormatFAT(d, label)
	case "swap":
		return FormatSwap(d, label)
	}
	args, ok := formatters[kind]
	if !ok {
		return "", fmt.Errorf("file system %q is unknown", kind)
	}
	tool, err := exec.LookPath(args[0])
	if err != nil {
		return "", fmt.Errorf("file system %s: %w: %s", kind, ErrNoTool, args[0])
	}
	dir, err = os.MkdirTemp(dir, "ferrule-format-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	f, err := os.Create(filepath.Join(dir, "disk"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := f.Truncate(d.Size); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, tool, append(args[1:len(args):len(args)], label, f.Name())...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", args[0], err, bytes.TrimSpace(out))
	}
	if err := copyData(ctx, d, f); err != nil {
		return "", err
	}
	uuid, _, err = Identify(d)
	return uuid, err
}

// copyData copies what a sparse file holds. What it does not hold a new file
// system does not look at, but for its first MiB, where other labels may be.
func copyData(ctx context.Context, d *Disk, f *os.File) error {
	if err := WipeEnds(d); err != nil {
		return err
	}
	b := make([]byte, mib)
	for off := int64(0); off < d.Size; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		start, end, err := nextData(f, off)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		for ; start < end; start += int64(len(b)) {
			part := b[:min(int64(len(b)), end-start)]
			if _, err := f.ReadAt(part, start); err != nil {
				return err
			}
			if _, err := d.WriteAt(part, start); err != nil {
				return err
			}
		}
		off = end
	}
	return d.Sync()
}

package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// ErrNoFileSystem is a disk or a partition on which none is known.
var ErrNoFileSystem = errors.New("no known file system")

// Identify returns the UUID and the label of the file system on d, as blkid
// shows them: ext2 to ext4, XFS, btrfs, FAT, swap and ISO 9660, which has no
// UUID.
func Identify(d *Disk) (uuid, label string, err error) {
	head := make([]byte, min(68<<10, d.Size))
	if n, err := d.ReadAt(head, 0); n < len(head) {
		return "", "", err
	}
	head = append(head, make([]byte, 68<<10-len(head))...)
	super, tree := head[1024:], head[64<<10:]
	switch {
	case super[56] == 0x53 && super[57] == 0xef:
		return formatUUID([16]byte(super[104:])), text(super[120:136]), nil
	case bytes.HasPrefix(head, []byte("XFSB")):
		return formatUUID([16]byte(head[32:])), text(head[108:120]), nil
	case bytes.Equal(tree[64:72], []byte("_BHRfS_M")):
		return formatUUID([16]byte(tree[32:])), text(tree[299 : 299+256]), nil
	case bytes.Equal(head[4086:4096], []byte("SWAPSPACE2")):
		return formatUUID([16]byte(super[12:])), text(super[28:44]), nil
	}
	if uuid, label, ok := identifyFAT(head); ok {
		return uuid, label, nil
	}
	if label, ok := isoLabel(d); ok {
		return "", label, nil
	}
	return "", "", ErrNoFileSystem
}

func identifyFAT(head []byte) (uuid, label string, ok bool) {
	at := 0
	switch {
	case head[510] != 0x55 || head[511] != 0xaa:
		return "", "", false
	case bytes.HasPrefix(head[82:], []byte("FAT32")):
		at = 67
	case bytes.HasPrefix(head[54:], []byte("FAT1")):
		at = 39
	default:
		return "", "", false
	}
	id := binary.LittleEndian.Uint32(head[at:])
	label = text(head[at+4 : at+15])
	if label == "NO NAME" {
		label = ""
	}
	return fmt.Sprintf("%04X-%04X", id>>16, id&0xffff), label, true
}

// text ends at the first zero.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return strings.TrimRight(string(b), " ")
}

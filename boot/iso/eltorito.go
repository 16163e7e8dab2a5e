package iso

import (
	"encoding/binary"
)

// The encodings of the El Torito specification 1.0, with the platform that UEFI
// (13.3.2.1) adds.

const (
	platformBIOS = 0x00
	platformEFI  = 0xef
)

// bootRecord returns the volume descriptor that says where the catalog is.
func bootRecord(catalog uint32) []byte {
	b := make([]byte, sector)
	copy(b, "\x00CD001\x01EL TORITO SPECIFICATION")
	binary.LittleEndian.PutUint32(b[71:], catalog)
	return b
}

// A bootImage is one that firmware loads, without emulation of a disk.
type bootImage struct {
	platform byte
	sectors  uint16 // of 512 bytes, to load
	content  *content
}

// catalog returns the boot catalog of some images, the first of which is the
// default one.
func catalog(images []bootImage) []byte {
	b := make([]byte, sector)
	b[0], b[1], b[30], b[31] = 1, images[0].platform, 0x55, 0xaa
	copy(b[4:28], "FERRULE")
	var sum uint16
	for i := 0; i < 32; i += 2 {
		sum += binary.LittleEndian.Uint16(b[i:])
	}
	binary.LittleEndian.PutUint16(b[28:], -sum)
	at := 32
	for i, image := range images {
		if i > 0 {
			b[at], b[at+1], b[at+2] = 0x90, image.platform, 1
			if i == len(images)-1 {
				b[at] = 0x91
			}
			at += 32
		}
		b[at] = 0x88 // bootable
		binary.LittleEndian.PutUint16(b[at+6:], image.sectors)
		binary.LittleEndian.PutUint32(b[at+8:], image.content.lba)
		at += 32
	}
	return b
}

// patchInfo writes into isolinux where it is: the boot information table at byte
// 8, which mkisofs -boot-info-table made known.
func patchInfo(loader []byte, lba uint32) {
	le := binary.LittleEndian
	clear(loader[8:64])
	var sum uint32
	for i := 64; i < len(loader); i += 4 {
		var word [4]byte
		copy(word[:], loader[i:])
		sum += le.Uint32(word[:])
	}
	le.PutUint32(loader[8:], descriptorLBA)
	le.PutUint32(loader[12:], lba)
	le.PutUint32(loader[16:], uint32(len(loader)))
	le.PutUint32(loader[20:], sum)
}

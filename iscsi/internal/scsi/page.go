package scsi

import (
	"encoding/binary"
	"errors"
	"strings"
)

// Pages of vital product data.
const (
	PageSupported    = 0x00
	PageSerial       = 0x80
	PageID           = 0x83
	PageLimits       = 0xb0
	PageBlockDevice  = 0xb1
	PageProvisioning = 0xb2
)

var errShort = errors.New("answer is too short")

// Identity is what a logical unit says it is.
type Identity struct {
	Vendor, Product, Revision string
	Type                      byte // peripheral qualifier and device type: 0 is a disk
}

// Bytes are the standard inquiry data.
func (i *Identity) Bytes() []byte {
	b := make([]byte, 96)
	b[0], b[2], b[3], b[4], b[7] = i.Type, 6, 0x12, byte(len(b)-5), 0x02
	pad(b[8:16], i.Vendor)
	pad(b[16:32], i.Product)
	pad(b[32:36], i.Revision)
	for n, v := range []uint16{0x00a0, 0x0960, 0x0460, 0x04c0} { // SAM-5, iSCSI, SPC-4, SBC-3
		binary.BigEndian.PutUint16(b[58+2*n:], v)
	}
	return b
}

func pad(b []byte, text string) {
	for i := copy(b, text); i < len(b); i++ {
		b[i] = ' '
	}
}

// ParseIdentity reads standard inquiry data.
func ParseIdentity(b []byte) (i Identity, err error) {
	if len(b) < 36 {
		return i, errShort
	}
	text := func(b []byte) string {
		return strings.TrimSpace(strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' {
				return ' '
			}
			return r
		}, string(b)))
	}
	return Identity{text(b[8:16]), text(b[16:32]), text(b[32:36]), b[0]}, nil
}

// PageBytes makes a page of vital product data.
func PageBytes(page byte, content []byte) []byte {
	b := []byte{0, page, 0, 0}
	binary.BigEndian.PutUint16(b[2:], uint16(len(content)))
	return append(b, content...)
}

// ParsePage returns the content of a page.
func ParsePage(page byte, b []byte) ([]byte, error) {
	if len(b) < 4 || b[1] != page {
		return nil, errShort
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	return b[4:min(len(b), 4+n)], nil
}

// Capacity is the answer to READ CAPACITY (16).
type Capacity struct {
	LastLBA      uint64
	BlockSize    uint32
	Provisioning bool // LBPME: blocks may be unmapped
	ReadsZeros   bool // LBPRZ: and read as zeros then
}

// Bytes are the answer.
func (c *Capacity) Bytes() []byte {
	b := make([]byte, 32)
	binary.BigEndian.PutUint64(b, c.LastLBA)
	binary.BigEndian.PutUint32(b[8:], c.BlockSize)
	if c.Provisioning {
		b[14] |= 0x80
	}
	if c.ReadsZeros {
		b[14] |= 0x40
	}
	return b
}

// ParseCapacity reads the answer.
func ParseCapacity(b []byte) (c Capacity, err error) {
	if len(b) < 12 {
		return c, errShort
	}
	c.LastLBA, c.BlockSize = binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:])
	if len(b) >= 15 {
		c.Provisioning, c.ReadsZeros = b[14]&0x80 != 0, b[14]&0x40 != 0
	}
	return c, nil
}

// BlockLimits are the page PageLimits, in blocks; 0 is no limit said.
type BlockLimits struct {
	MaxTransfer     uint32
	MaxUnmapBlocks  uint32
	MaxUnmapExtents uint32
	Granularity     uint32
	MaxWriteSame    uint64
}

// Bytes are the page's content.
func (l *BlockLimits) Bytes() []byte {
	b := make([]byte, 60)
	binary.BigEndian.PutUint32(b[4:], l.MaxTransfer)
	binary.BigEndian.PutUint32(b[16:], l.MaxUnmapBlocks)
	binary.BigEndian.PutUint32(b[20:], l.MaxUnmapExtents)
	binary.BigEndian.PutUint32(b[24:], l.Granularity)
	binary.BigEndian.PutUint64(b[32:], l.MaxWriteSame)
	return b
}

// ParseBlockLimits reads the page's content, as much of it as there is.
func ParseBlockLimits(content []byte) BlockLimits {
	b := make([]byte, 60)
	copy(b, content)
	return BlockLimits{binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint32(b[20:]), binary.BigEndian.Uint32(b[24:]), binary.BigEndian.Uint64(b[32:])}
}

// Provisioning is the page PageProvisioning.
type Provisioning struct {
	Unmap       bool // LBPU: UNMAP
	WriteSame16 bool // LBPWS: WRITE SAME (16) with UNMAP
	ReadsZeros  bool // LBPRZ
}

// Bytes are the page's content.
func (p *Provisioning) Bytes() []byte {
	b := []byte{0, 0, 2, 0} // thin
	for bit, on := range map[byte]bool{0x80: p.Unmap, 0x40: p.WriteSame16, 0x04: p.ReadsZeros} {
		if on {
			b[1] |= bit
		}
	}
	return b
}

// ParseProvisioning reads the page's content.
func ParseProvisioning(content []byte) Provisioning {
	if len(content) < 2 {
		return Provisioning{}
	}
	return Provisioning{content[1]&0x80 != 0, content[1]&0x40 != 0, content[1]&0x1c == 4}
}

// LUNList is the answer to REPORT LUNS.
func LUNList(luns []int) []byte {
	b := make([]byte, 8+8*len(luns))
	binary.BigEndian.PutUint32(b, uint32(8*len(luns)))
	for i, n := range luns {
		binary.BigEndian.PutUint64(b[8+8*i:], LUN(n))
	}
	return b
}

// ParseLUNList reads the answer, as much of it as there is; numbers that LUN does
// not make are left out.
func ParseLUNList(b []byte) (luns []int, err error) {
	if len(b) < 8 {
		return nil, errShort
	}
	n := int(min(binary.BigEndian.Uint32(b), uint32(len(b)-8)))
	for b = b[8 : 8+n]; len(b) >= 8; b = b[8:] {
		if lun := ParseLUN(binary.BigEndian.Uint64(b)); lun >= 0 {
			luns = append(luns, lun)
		}
	}
	return luns, nil
}

package scsi

import "encoding/binary"

// Operation codes.
const (
	TestUnitReady    = 0x00
	RequestSense     = 0x03
	Inquiry          = 0x12
	ModeSense6       = 0x1a
	StartStop        = 0x1b
	ReadCapacity10   = 0x25
	Read10           = 0x28
	Write10          = 0x2a
	Verify10         = 0x2f
	SyncCache10      = 0x35
	WriteSame10      = 0x41
	Unmap            = 0x42
	ModeSense10      = 0x5a
	Read16           = 0x88
	Write16          = 0x8a
	Verify16         = 0x8f
	SyncCache16      = 0x91
	WriteSame16      = 0x93
	ServiceIn16      = 0x9e // with ReadCapacity16 as its service action
	ReportLUNs       = 0xa0
	MaintenanceIn    = 0xa3
	ReadCapacity16   = 0x10
	UnmapFlag        = 0x08 // in the second byte of a WRITE SAME
	ReportedSenseLen = 252
)

// Status of a command.
const (
	Good                = 0x00
	CheckCondition      = 0x02
	Busy                = 0x08
	ReservationConflict = 0x18
	TaskSetFull         = 0x28
	TaskAborted         = 0x40
)

// A CDB is a command descriptor block.
type CDB [16]byte

// Range returns a command on n blocks from lba: the 10-byte one where that
// reaches them, else the 16-byte one.
func Range(op10, op16 byte, lba uint64, n uint32) (c CDB) {
	if lba+uint64(n) <= 1<<32 && n < 1<<16 {
		c[0] = op10
		binary.BigEndian.PutUint32(c[2:], uint32(lba))
		binary.BigEndian.PutUint16(c[7:], uint16(n))
		return c
	}
	return Range16(op16, lba, n)
}

// Range16 returns a 16-byte command on n blocks from lba.
func Range16(op byte, lba uint64, n uint32) (c CDB) {
	c[0] = op
	binary.BigEndian.PutUint64(c[2:], lba)
	binary.BigEndian.PutUint32(c[10:], n)
	return c
}

// Blocks returns what a command made by Range is on.
func (c *CDB) Blocks() (lba uint64, n uint32) {
	if c[0]>>5 == 4 {
		return binary.BigEndian.Uint64(c[2:]), binary.BigEndian.Uint32(c[10:])
	}
	return uint64(binary.BigEndian.Uint32(c[2:])), uint32(binary.BigEndian.Uint16(c[7:]))
}

// InquiryCDB asks for a page of vital product data, or the standard data if page is
// below 0.
func InquiryCDB(page int, n uint16) (c CDB) {
	c[0] = Inquiry
	if page >= 0 {
		c[1], c[2] = 1, byte(page)
	}
	binary.BigEndian.PutUint16(c[3:], n)
	return c
}

// ReadCapacity16CDB asks for size and provisioning.
func ReadCapacity16CDB() (c CDB) {
	c[0], c[1], c[13] = ServiceIn16, ReadCapacity16, 32
	return c
}

// ReportLUNsCDB asks for all LUNs in n bytes.
func ReportLUNsCDB(n uint32) (c CDB) {
	c[0] = ReportLUNs
	binary.BigEndian.PutUint32(c[6:], n)
	return c
}

// UnmapCDB comes with n bytes of parameters.
func UnmapCDB(n int) (c CDB) {
	c[0] = Unmap
	binary.BigEndian.PutUint16(c[7:], uint16(n))
	return c
}

// An Extent is a range of blocks.
type Extent struct {
	LBA uint64
	N   uint32
}

// UnmapParams lists what is to be unmapped.
func UnmapParams(all []Extent) []byte {
	b := make([]byte, 8+16*len(all))
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-8))
	for i, e := range all {
		binary.BigEndian.PutUint64(b[8+16*i:], e.LBA)
		binary.BigEndian.PutUint32(b[16+16*i:], e.N)
	}
	return b
}

// ParseUnmapParams reads what UnmapParams writes; ok is false if it is cut short.
func ParseUnmapParams(b []byte) (all []Extent, ok bool) {
	if len(b) < 8 {
		return nil, false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n > len(b)-8 {
		return nil, false
	}
	for b = b[8 : 8+n]; len(b) >= 16; b = b[16:] {
		all = append(all, Extent{binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:])})
	}
	return all, true
}

// LUN encodes a logical unit number from 0 to 16383 (SAM-5, 4.7).
func LUN(n int) uint64 {
	if n < 256 {
		return uint64(n) << 48
	}
	return (0x4000 | uint64(n)) << 48
}

// ParseLUN decodes one, or returns -1 where it is none that LUN makes.
func ParseLUN(v uint64) int {
	if v<<16 != 0 {
		return -1
	}
	switch v >> 62 {
	case 0:
		if v>>56 == 0 {
			return int(v >> 48)
		}
	case 1:
		return int(v >> 48 & 0x3fff)
	}
	return -1
}

package target

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"

	"github.com/ferrule/ferrule/iscsi/internal/scsi"
)

// noDevice is the peripheral qualifier and type of a logical unit that is not there.
const noDevice = 0x7f

// inquiry says what the disk is.
func (q *request) inquiry() ([]byte, error) {
	if q.cdb[1]&1 == 0 {
		if q.cdb[2] != 0 {
			return nil, scsi.InvalidField
		}
		id := scsi.Identity{Vendor: "FERRULE", Product: "DISK", Revision: "1"}
		if q.disk == nil {
			id.Type = noDevice
		}
		return id.Bytes(), nil
	}
	if q.disk == nil {
		return nil, scsi.InvalidField
	}
	serial := cmp.Or(q.disk.Serial, fmt.Sprintf("%016x", q.number()))
	var content []byte
	switch q.cdb[2] {
	case scsi.PageSupported:
		content = []byte{scsi.PageSupported, scsi.PageSerial, scsi.PageID, scsi.PageLimits, scsi.PageBlockDevice, scsi.PageProvisioning}
	case scsi.PageSerial:
		content = []byte(serial)
	case scsi.PageID:
		content = q.designators(serial)
	case scsi.PageLimits:
		limits := scsi.BlockLimits{MaxTransfer: uint32((16 << 20) / q.disk.blockSize()), MaxWriteSame: uint64(maxWriteSame / q.disk.blockSize())}
		if _, ok := q.disk.Store.(zeroer); ok {
			limits.MaxUnmapBlocks, limits.MaxUnmapExtents, limits.Granularity = math.MaxUint32, maxUnmapExtents, 1
		}
		content = limits.Bytes()
	case scsi.PageBlockDevice:
		content = make([]byte, 60)
		content[1] = 1 // does not rotate
	case scsi.PageProvisioning:
		_, ok := q.disk.Store.(zeroer)
		p := scsi.Provisioning{Unmap: ok, WriteSame16: ok, ReadsZeros: ok}
		content = p.Bytes()
	default:
		return nil, scsi.InvalidField
	}
	return scsi.PageBytes(q.cdb[2], content), nil
}

// number tells this disk from those of other targets.
func (q *request) number() uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s,%d", q.s.t.Name, scsi.ParseLUN(q.h.LUN()))
	return h.Sum64()
}

// designators are the disk's names: one by its vendor and serial number, and a
// locally assigned NAA.
func (q *request) designators(serial string) []byte {
	name := "FERRULE " + serial
	b := []byte{0x02, 0x01, 0, byte(len(name))} // ASCII, T10 vendor ID
	b = append(b, name...)
	b = append(b, 0x01, 0x03, 0, 8) // binary, NAA
	return binary.BigEndian.AppendUint64(b, 3<<60|q.number()>>4)
}

// luns lists the logical units.
func (q *request) luns() ([]byte, error) {
	if q.allocated() < 16 {
		return nil, scsi.InvalidField
	}
	return scsi.LUNList(slices.Sorted(maps.Keys(q.s.t.Disks))), nil
}

// capacity says how large the disk is.
func (q *request) capacity() ([]byte, error) {
	_, zeros := q.disk.Store.(zeroer)
	c := scsi.Capacity{LastLBA: q.disk.blocks() - 1, BlockSize: uint32(q.disk.blockSize()), Provisioning: zeros, ReadsZeros: zeros}
	if q.cdb[0] == scsi.ServiceIn16 {
		if q.cdb[1]&0x1f != scsi.ReadCapacity16 {
			return nil, scsi.InvalidField
		}
		return c.Bytes(), nil
	}
	b := make([]byte, 8)
	binary.BigEndian.PutUint32(b, uint32(min(c.LastLBA, math.MaxUint32)))
	binary.BigEndian.PutUint32(b[4:], c.BlockSize)
	return b, nil
}

// Mode pages.
const (
	pageCaching = 0x08
	pageControl = 0x0a
	pageAll     = 0x3f
)

// modeSense says whether the disk has a write cache and may be written.
func (q *request) modeSense() ([]byte, error) {
	var pages []byte
	page, changeable := q.cdb[2]&0x3f, q.cdb[2]>>6 == 1
	if q.cdb[2]>>6 == 3 {
		return nil, scsi.Sense{Key: scsi.IllegalRequest, ASC: 0x39} // nothing is saved
	}
	if page == pageCaching || page == pageAll {
		b := make([]byte, 20)
		b[0], b[1] = pageCaching, 18
		if _, ok := q.disk.Store.(syncer); ok && !changeable {
			b[2] = 4 // write cache
		}
		pages = append(pages, b...)
	}
	if page == pageControl || page == pageAll {
		b := make([]byte, 12)
		b[0], b[1] = pageControl, 10
		pages = append(pages, b...)
	}
	if pages == nil {
		return nil, scsi.InvalidField
	}
	flags := byte(0x10) // FUA is honoured; DPO is a hint
	if q.disk.ReadOnly {
		flags |= 0x80
	}
	if q.cdb[0] == scsi.ModeSense6 {
		return append([]byte{byte(3 + len(pages)), 0, flags, 0}, pages...), nil
	}
	b := []byte{0, 0, 0, flags, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(b, uint16(6+len(pages)))
	return append(b, pages...), nil
}

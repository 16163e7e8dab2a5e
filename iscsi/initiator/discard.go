package initiator

import "github.com/ferrule/ferrule/iscsi/internal/scsi"

// maxDiscard bounds what one command discards or zeroes, in bytes: a target may
// take its time for it.
const maxDiscard = 256 << 20

var zeros [maxTransfer]byte // never written to

// CanDiscard reports whether Discard does anything.
func (d *Disk) CanDiscard() bool { return d.unit.unmap || d.unit.writeSame }

// DiscardZeroes reports whether the disk promises that a block which it has
// discarded reads as zeros.
func (d *Disk) DiscardZeroes() bool { return d.unit.zeroes }

// Discard tells the disk that the content of n bytes from off on is not needed any
// more; the parts of blocks at their ends are left alone. Without CanDiscard it
// does nothing. A disk may keep what it was told to discard; [Disk.Zero] is for
// those who need zeros.
func (d *Disk) Discard(off, n int64) error {
	if err := d.within(off, n); err != nil {
		return d.failed("discard", err)
	}
	if !d.CanDiscard() {
		return nil
	}
	bs := int64(d.BlockSize())
	from, end := (off+bs-1)/bs, (off+n)/bs
	if !d.unit.unmap {
		return d.failed("discard", d.writeSame(from, end, scsi.UnmapFlag))
	}
	most := d.most(uint64(d.unit.limits.MaxUnmapBlocks))
	for from < end {
		count := min(most, end-from)
		params := scsi.UnmapParams([]scsi.Extent{{LBA: uint64(from), N: uint32(count)}})
		c := scsiCommand(d.cfg.LUN, scsi.UnmapCDB(len(params)), params, nil)
		if err := d.do(d.ctx, c, d.cfg.CommandTimeout); err != nil {
			return d.failed("discard", err)
		}
		from += count
	}
	return nil
}

// most is how many blocks one command may discard or zero.
func (d *Disk) most(limit uint64) int64 {
	most := int64(maxDiscard / d.BlockSize())
	if limit > 0 && limit < uint64(most) {
		most = int64(limit)
	}
	return most
}

// Zero makes n bytes from off on read as zeros: by having the disk unmap blocks
// where it promises that they read as zeros then, else by having it write them,
// and where it cannot do that, by sending them.
func (d *Disk) Zero(off, n int64) error {
	if err := d.within(off, n); err != nil {
		return d.failed("zero", err)
	}
	bs := int64(d.BlockSize())
	from, end := (off+bs-1)/bs, (off+n)/bs
	if from >= end || d.noWriteSame.Load() {
		return d.sendZeros(off, n)
	}
	var flags byte
	if d.unit.writeSame && d.unit.zeroes {
		flags = scsi.UnmapFlag
	}
	err := d.writeSame(from, end, flags)
	if isUnsupported(err) {
		d.noWriteSame.Store(true)
		return d.sendZeros(off, n)
	}
	if err != nil {
		return d.failed("zero", err)
	}
	if err := d.sendZeros(off, from*bs-off); err != nil {
		return err
	}
	return d.sendZeros(end*bs, off+n-end*bs)
}

// writeSame has the disk write zeros to blocks, or unmap them.
func (d *Disk) writeSame(from, end int64, flags byte) error {
	most := d.most(d.unit.limits.MaxWriteSame)
	for from < end {
		count := min(most, end-from)
		cdb := scsi.Range16(scsi.WriteSame16, uint64(from), uint32(count))
		cdb[1] = flags
		c := scsiCommand(d.cfg.LUN, cdb, zeros[:d.BlockSize()], nil)
		if err := d.do(d.ctx, c, syncFactor*d.cfg.CommandTimeout); err != nil {
			return err
		}
		from += count
	}
	return nil
}

func (d *Disk) sendZeros(off, n int64) error {
	for n > 0 {
		count := min(n, int64(len(zeros)))
		if _, err := d.WriteAt(zeros[:count], off); err != nil {
			return err
		}
		off, n = off+count, n-count
	}
	return nil
}

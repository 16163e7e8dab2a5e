package target

import (
	"bytes"
	"encoding/binary"

	"github.com/ferrule/ferrule/iscsi/internal/pdu"
	"github.com/ferrule/ferrule/iscsi/internal/scsi"
)

// collect takes the parameters of a command and has run work with them in the
// background.
func (q *request) collect(n int, run func(params []byte) error) error {
	if int(q.h.TransferLen()) != n || q.h.Flags()&pdu.Write == 0 {
		return q.fail(scsi.InvalidField)
	}
	params := make([]byte, n)
	w := &write{h: q.h, want: n}
	w.sink = func(at int, p []byte) error { copy(params[at:], p); return nil }
	w.done = func(s *session, h *pdu.Header) { s.inBackground(*h, func() error { return run(params) }) }
	return q.s.begin(w, q.data)
}

func (q *request) writeSame() error {
	off, n, err := q.mayWrite()
	bs := q.disk.blockSize()
	if n == 0 && err == nil {
		n = q.disk.Size/bs*bs - off // SBC-3, 5.43: to the end
		if q.disk.blocks() > maxWriteSame/uint64(bs) {
			err = scsi.InvalidField
		}
	}
	zero, canZero := q.disk.Store.(zeroer)
	unmap := q.cdb[1]&scsi.UnmapFlag != 0
	unmap10 := unmap && q.cdb[0] == scsi.WriteSame10 // not offered
	if err == nil && (unmap10 || q.cdb[1]&0xf7 != 0 || unmap && !canZero || n > maxWriteSame) {
		err = scsi.InvalidField // protection, ANCHOR, NDOB
	}
	if err != nil {
		return q.fail(err)
	}
	store := q.disk.Store
	return q.collect(int(bs), func(block []byte) error {
		if canZero && len(bytes.Trim(block, "\x00")) == 0 {
			return zero.Zero(off, n)
		}
		p := bytes.Repeat(block, int(min(n, 1<<20)/bs))
		for n > 0 {
			part := p[:min(n, int64(len(p)))]
			if _, err := store.WriteAt(part, off); err != nil {
				return err
			}
			off, n = off+int64(len(part)), n-int64(len(part))
		}
		return nil
	})
}

const (
	maxWriteSame    = 1 << 30 // bytes
	maxUnmapExtents = 256
)

func (q *request) unmap() error {
	zero, ok := q.disk.Store.(zeroer)
	switch {
	case !ok:
		return q.fail(scsi.InvalidOpcode)
	case q.disk.ReadOnly:
		return q.fail(scsi.WriteProtected)
	}
	n := int(binary.BigEndian.Uint16(q.cdb[7:]))
	if n == 0 {
		q.s.respond(&q.h, result{})
		return nil
	}
	disk := q.disk
	return q.collect(n, func(params []byte) error {
		all, ok := scsi.ParseUnmapParams(params)
		if !ok || len(all) > maxUnmapExtents {
			return scsi.InvalidParam
		}
		for _, e := range all {
			if e.LBA > disk.blocks() || uint64(e.N) > disk.blocks()-e.LBA {
				return scsi.OutOfRange
			}
		}
		for _, e := range all {
			if e.N == 0 {
				continue
			}
			if err := zero.Zero(int64(e.LBA)*disk.blockSize(), int64(e.N)*disk.blockSize()); err != nil {
				return err
			}
		}
		return nil
	})
}

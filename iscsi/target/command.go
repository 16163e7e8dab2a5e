package target

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/ferrule/ferrule/iscsi/internal/pdu"
	"github.com/ferrule/ferrule/iscsi/internal/scsi"
)

// senseOf is what an initiator is told about a store's error.
func senseOf(err error) scsi.Sense {
	var own Sense
	var sense scsi.Sense
	switch {
	case errors.As(err, &own):
		return scsi.Sense(own)
	case errors.As(err, &sense):
		return sense
	case errors.Is(err, syscall.ENOSPC):
		return scsi.NoSpace
	case errors.Is(err, errRead):
		return scsi.ReadError
	}
	return scsi.WriteError
}

var errRead = errors.New("read")

// A request is a SCSI command on its disk.
type request struct {
	s    *session
	h    pdu.Header
	cdb  scsi.CDB
	disk *Disk // nil if there is none
	data []byte
}

// command starts a SCSI command.
func (s *session) command(h *pdu.Header) error {
	data, err := s.r.Data()
	if err != nil {
		return err
	}
	if s.tasks[h.ITT()] != nil {
		return protocolError("task %08xh is under way", h.ITT())
	}
	s.mu.Lock()
	s.active++
	busy := s.active > window
	s.mu.Unlock()
	if busy {
		return protocolError("more than %d commands at once", window)
	}
	q := &request{s: s, h: *h, cdb: *h.CDB(), data: data}
	if d, ok := s.t.Disks[scsi.ParseLUN(h.LUN())]; ok {
		q.disk = &d
	}
	return q.run()
}

func (q *request) run() error {
	if q.disk == nil && q.cdb[0] != scsi.Inquiry && q.cdb[0] != scsi.ReportLUNs && q.cdb[0] != scsi.RequestSense {
		return q.fail(scsi.NoSuchUnit)
	}
	switch q.cdb[0] {
	case scsi.TestUnitReady, scsi.StartStop, scsi.Verify10, scsi.Verify16:
		return q.quick()
	case scsi.Inquiry:
		return q.reply(q.inquiry())
	case scsi.RequestSense:
		return q.reply(scsi.Sense{}.Bytes(), nil)
	case scsi.ReportLUNs:
		return q.reply(q.luns())
	case scsi.ReadCapacity10, scsi.ServiceIn16:
		return q.reply(q.capacity())
	case scsi.ModeSense6, scsi.ModeSense10:
		return q.reply(q.modeSense())
	case scsi.Read10, scsi.Read16:
		return q.read()
	case scsi.Write10, scsi.Write16:
		return q.write()
	case scsi.SyncCache10, scsi.SyncCache16:
		return q.sync()
	case scsi.WriteSame10, scsi.WriteSame16:
		return q.writeSame()
	case scsi.Unmap:
		return q.unmap()
	}
	return q.fail(scsi.InvalidOpcode)
}

// fail answers with sense data, once the data that comes with the command has come.
func (q *request) fail(err error) error {
	if q.h.Flags()&pdu.Write != 0 {
		return q.s.begin(&write{h: q.h, want: int(q.h.TransferLen()), err: err}, q.data)
	}
	q.s.respond(&q.h, result{err: err})
	return nil
}

// quick is a command that does nothing but look at its range.
func (q *request) quick() error {
	if op := q.cdb[0]; op == scsi.Verify10 || op == scsi.Verify16 {
		if _, _, err := q.span(); err != nil {
			return q.fail(err)
		}
		if q.cdb[1]&0x06 != 0 {
			return q.fail(scsi.InvalidField)
		}
	}
	q.s.respond(&q.h, result{})
	return nil
}

// span is the range of a command in bytes.
func (q *request) span() (off, n int64, err error) {
	lba, count := q.cdb.Blocks()
	if all := q.disk.blocks(); lba > all || uint64(count) > all-lba {
		return 0, 0, scsi.OutOfRange
	}
	bs := q.disk.blockSize()
	return int64(lba) * bs, int64(count) * bs, nil
}

// reply sends an answer that is cut to what the command and the initiator have room for.
func (q *request) reply(b []byte, err error) error {
	if err != nil {
		return q.fail(err)
	}
	b = b[:min(len(b), q.allocated())]
	res := result{moved: min(len(b), int(q.h.TransferLen())), whole: len(b)}
	if q.h.Flags()&pdu.Read == 0 {
		res.moved = 0
	}
	if res.moved == 0 {
		q.s.respond(&q.h, res)
		return nil
	}
	return q.s.sendData(&q.h, b[:res.moved], res)
}

// allocated is the length of the answer that the command has room for.
func (q *request) allocated() int {
	c := &q.cdb
	switch c[0] {
	case scsi.Inquiry:
		return int(binary.BigEndian.Uint16(c[3:]))
	case scsi.RequestSense, scsi.ModeSense6:
		return int(c[4])
	case scsi.ModeSense10:
		return int(binary.BigEndian.Uint16(c[7:]))
	case scsi.ReportLUNs:
		return int(binary.BigEndian.Uint32(c[6:]))
	case scsi.ServiceIn16:
		return int(binary.BigEndian.Uint32(c[10:]))
	}
	return 8
}

// sendData sends all of an answer, with status GOOD in the last PDU. b may be
// used again when it returns.
func (s *session) sendData(h *pdu.Header, b []byte, res result) error {
	var out stream
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dataLocked(h, &out, b, &res)
	return s.b.Flush(s.conn)
}

// A stream is where the data of a command stands.
type stream struct {
	off, burst int
	dataSN     uint32
}

// dataLocked queues a part of what a command reads; res is the result if it is the last.
func (s *session) dataLocked(h *pdu.Header, out *stream, b []byte, res *result) {
	for len(b) > 0 {
		part := b[:min(len(b), s.limits.MaxSend, s.limits.MaxBurst-out.burst)]
		b = b[len(part):]
		d := pdu.New(pdu.DataIn, 0, h.ITT())
		d.SetTTT(pdu.None)
		d.SetDataSN(out.dataSN)
		d.SetOffset(uint32(out.off))
		out.dataSN++
		out.off += len(part)
		out.burst += len(part)
		last := len(b) == 0 && res != nil
		if out.burst == s.limits.MaxBurst || last {
			d[1] |= pdu.Final
			out.burst = 0
		}
		if last {
			s.active--
			d[1] |= pdu.HasStatus
			setResidual(&d, h, *res)
		}
		s.sendLocked(&d, part, last)
	}
}

// readAhead is how much is read from the store at once.
const readAhead = 256 << 10

func (q *request) read() error {
	off, n, err := q.span()
	if err != nil || q.h.Flags()&pdu.Read == 0 && n > 0 {
		return q.fail(cmpErr(err, scsi.InvalidField))
	}
	res := result{moved: int(min(n, int64(q.h.TransferLen()))), whole: int(n)}
	if res.moved == 0 {
		q.s.respond(&q.h, res)
		return nil
	}
	s := q.s
	if s.room == nil {
		s.room = make([]byte, readAhead)
	}
	var out stream
	for out.off < res.moved {
		b := s.room[:min(res.moved-out.off, readAhead)]
		if n, err := q.disk.Store.ReadAt(b, off+int64(out.off)); n < len(b) {
			s.t.log().Warn("iSCSI read failed", "err", err)
			s.respond(&q.h, result{err: fmt.Errorf("%w: %w", errRead, err), moved: out.off})
			return s.flush()
		}
		var end *result
		if out.off+len(b) == res.moved {
			end = &res
		}
		s.mu.Lock()
		s.dataLocked(&q.h, &out, b, end)
		err := s.b.Flush(s.conn)
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

func cmpErr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// forceUnit is the bit of a write that is on the medium before it is answered.
const forceUnit = 0x08

// mayWrite checks a command that changes n bytes from off on.
func (q *request) mayWrite() (off, n int64, err error) {
	off, n, err = q.span()
	if err == nil && q.disk.ReadOnly {
		err = scsi.WriteProtected
	}
	return off, n, err
}

func (q *request) write() error {
	off, n, err := q.mayWrite()
	if err == nil && n > 0 && q.h.Flags()&pdu.Write == 0 {
		err = scsi.InvalidField
	}
	if err != nil {
		return q.fail(err)
	}
	moved := int(min(n, int64(q.h.TransferLen())))
	store := q.disk.Store
	w := &write{h: q.h, want: moved}
	w.sink = func(at int, p []byte) error {
		_, err := store.WriteAt(p, off+int64(at))
		if err != nil {
			q.s.t.log().Warn("iSCSI write failed", "err", err)
		}
		return err
	}
	w.done = func(s *session, h *pdu.Header) { s.respond(h, result{moved: moved, whole: int(n)}) }
	if durable, ok := store.(syncer); ok && q.cdb[1]&forceUnit != 0 {
		w.done = func(s *session, h *pdu.Header) { s.inBackground(*h, durable.Sync) }
	}
	return q.s.begin(w, q.data)
}

func (q *request) sync() error {
	if _, _, err := q.span(); err != nil {
		return q.fail(err)
	}
	store, ok := q.disk.Store.(syncer)
	if !ok {
		q.s.respond(&q.h, result{})
		return nil
	}
	q.s.inBackground(q.h, store.Sync)
	return nil
}

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
	if err == nil && (q.cdb[1]&0xf7 != 0 || unmap && !canZero || n > maxWriteSame) {
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

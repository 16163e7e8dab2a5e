package initiator

import (
	"github.com/ferrule/ferrule/iscsi/internal/pdu"
)

const (
	batchBytes  = 1 << 20 // of data in one write, about
	batchPieces = 1000    // of one write: the system takes 1024
)

// send writes what is queued, as much as there is at a time.
func (s *session) send() error {
	b := pdu.Batch{HeaderDigest: s.limits.HeaderDigest, DataDigest: s.limits.DataDigest}
	var work []transfer
	for {
		var err error
		if work, err = s.take(work); err != nil || len(work) == 0 {
			return err
		}
		for _, t := range work {
			if err = s.add(&b, &t); err != nil {
				break
			}
		}
		if err == nil {
			err = b.Flush(s.conn)
		}
		s.sent(work)
		if err != nil {
			return err
		}
	}
}

// take waits for transfers and returns all, in the room of the last ones. It
// returns none when the session has ended.
func (s *session) take(room []transfer) ([]transfer, error) {
	for {
		s.mu.Lock()
		if s.err != nil {
			s.mu.Unlock()
			return nil, nil
		}
		work := s.queue
		if len(work) > 0 {
			s.queue = room[:0]
		}
		for i := range work {
			t := &work[i]
			t.h.SetExpStatSN(s.expStatSN)
			switch {
			case t.cmd == nil || !t.cmd.isSCSI():
			case t.data == nil:
				t.cmd.next = s.unasked(len(t.cmd.out))
			default:
				t.cmd.bursts--
			}
		}
		s.mu.Unlock()
		if len(work) > 0 {
			return work, nil
		}
		select {
		case <-s.wake:
		case <-s.ended:
			return nil, nil
		}
	}
}

// sent gives up the data of what was sent.
func (s *session) sent(work []transfer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range work {
		if c := work[i].cmd; c != nil {
			s.release(c)
		}
	}
	clear(work)
}

// unasked is how much of n bytes may be sent before the target asks for them.
func (s *session) unasked(n int) int {
	switch {
	case !s.limits.InitialR2T:
		return min(n, s.limits.FirstBurst)
	case s.limits.ImmediateData:
		return min(n, s.limits.FirstBurst, s.limits.MaxSend)
	}
	return 0
}

// add puts a transfer into the batch, which is written in between if it is long.
func (s *session) add(b *pdu.Batch, t *transfer) error {
	switch {
	case t.cmd == nil:
		b.Add(&t.h, t.data)
		return s.flushIfLong(b)
	case t.data != nil:
		return s.addData(b, t, t.data)
	case !t.cmd.isSCSI():
		b.Add(&t.h, t.cmd.out)
		return s.flushIfLong(b)
	}
	first := t.cmd.out[:s.unasked(len(t.cmd.out))]
	immediate := 0
	if s.limits.ImmediateData {
		immediate = min(len(first), s.limits.MaxSend)
	}
	if immediate < len(first) {
		t.h[1] &^= pdu.Final // Data-Out PDUs follow
	}
	b.Add(&t.h, first[:immediate])
	if immediate == len(first) {
		return s.flushIfLong(b)
	}
	t.h.SetTTT(pdu.None)
	t.off = immediate
	return s.addData(b, t, first[immediate:])
}

// addData adds a burst, in as many PDUs as the target wants it.
func (s *session) addData(b *pdu.Batch, t *transfer, data []byte) error {
	h := pdu.New(pdu.DataOut, 0, t.h.ITT())
	h.SetLUN(t.h.LUN())
	h.SetTTT(t.h.TTT())
	h.SetExpStatSN(t.h.ExpStatSN())
	off := t.off
	for n := uint32(0); len(data) > 0; n++ {
		part := data[:min(len(data), s.limits.MaxSend)]
		data = data[len(part):]
		if len(data) == 0 {
			h[1] = pdu.Final
		}
		h.SetDataSN(n)
		h.SetOffset(uint32(off))
		off += len(part)
		b.Add(&h, part)
		if err := s.flushIfLong(b); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) flushIfLong(b *pdu.Batch) error {
	if b.Size() < batchBytes && b.Pieces() < batchPieces {
		return nil
	}
	return b.Flush(s.conn)
}

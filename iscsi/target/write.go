package target

import (
	"github.com/ferrule/ferrule/iscsi/internal/pdu"
)

// A write is a command whose data is still to come.
type write struct {
	h    pdu.Header
	want int                             // bytes that come, or would if nothing goes wrong
	sink func(off int, p []byte) error   // takes data; nil drops it
	done func(s *session, h *pdu.Header) // answers when all has come
	err  error                           // what went wrong; the rest is dropped then

	unasked  bool // data without a request goes on
	next     int  // of that data, and then the end of what was asked for
	asked    []r2t
	requests uint32
}

// An r2t is a request for data.
type r2t struct {
	ttt       uint32
	next, end int
	dataSN    uint32
}

// begin takes a write with the data that came along.
func (s *session) begin(w *write, immediate []byte) error {
	if len(immediate) > 0 && (!s.limits.ImmediateData || len(immediate) > s.unasked(w)) {
		return protocolError("%d bytes of immediate data", len(immediate))
	}
	w.take(0, immediate)
	w.next = len(immediate)
	if w.h.Flags()&pdu.Final == 0 {
		if s.limits.InitialR2T {
			return protocolError("data that was not asked for")
		}
		w.unasked = true
	}
	s.tasks[w.h.ITT()] = w
	s.goOn(w)
	return nil
}

// unasked is how much an initiator may send that was not asked for: what it means
// to send, which may be more than the command is about.
func (s *session) unasked(w *write) int {
	return min(int(w.h.TransferLen()), s.limits.FirstBurst)
}

func (w *write) take(off int, p []byte) {
	p = p[:max(0, min(len(p), w.want-off))]
	if w.err == nil && w.sink != nil && len(p) > 0 {
		w.err = w.sink(off, p)
	}
}

// goOn asks for more data, or ends the command.
func (s *session) goOn(w *write) {
	if w.unasked {
		return
	}
	for w.err == nil && w.next < w.want && len(w.asked) < s.limits.MaxR2T {
		n := min(w.want-w.next, s.limits.MaxBurst)
		s.ttt++
		if s.ttt == pdu.None {
			s.ttt = 0
		}
		w.asked = append(w.asked, r2t{ttt: s.ttt, next: w.next, end: w.next + n})
		h := pdu.New(pdu.R2T, pdu.Final, w.h.ITT())
		h.SetLUN(w.h.LUN())
		h.SetTTT(s.ttt)
		h.SetDataSN(w.requests)
		h.SetOffset(uint32(w.next))
		h.SetDesired(uint32(n))
		s.send(&h, nil, false)
		w.requests++
		w.next += n
	}
	if len(w.asked) > 0 {
		return
	}
	delete(s.tasks, w.h.ITT())
	if w.err != nil {
		s.respond(&w.h, result{err: w.err, moved: w.next, whole: w.next})
		return
	}
	w.done(s, &w.h)
}

// dataOut takes a part of a write's data.
func (s *session) dataOut(h *pdu.Header) error {
	w := s.tasks[h.ITT()]
	if w == nil {
		return nil // of a command that was aborted, or has failed
	}
	off, n := int(h.Offset()), h.DataLen()
	if h.TTT() == pdu.None {
		if !w.unasked || off != w.next || off+n > s.unasked(w) {
			return protocolError("%d bytes at %d that were not asked for", n, off)
		}
		w.next += n
		w.unasked = h.Flags()&pdu.Final == 0
	} else if err := w.fulfil(h, off, n); err != nil {
		return err
	}
	data, err := s.r.Data()
	if err != nil {
		return err
	}
	w.take(off, data)
	s.goOn(w)
	return nil
}

// fulfil checks data that was asked for.
func (w *write) fulfil(h *pdu.Header, off, n int) error {
	for i := range w.asked {
		a := &w.asked[i]
		if a.ttt != h.TTT() {
			continue
		}
		final := h.Flags()&pdu.Final != 0
		if off != a.next || n > a.end-a.next || h.DataSN() != a.dataSN || final != (off+n == a.end) {
			return protocolError("data %d to %d, number %d, where %d to %d was asked for", off, off+n, h.DataSN(), a.next, a.end)
		}
		a.next += n
		a.dataSN++
		if final {
			w.asked = append(w.asked[:i], w.asked[i+1:]...)
		}
		return nil
	}
	return protocolError("data for transfer %08xh, which was not asked for", h.TTT())
}

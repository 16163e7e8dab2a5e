package tftp

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

const (
	memory = 256 << 10 // that a loop reads files into
	atOnce = 64 << 10  // bytes of one file
)

// A loop serves the transfers of one socket, on one goroutine.
type loop struct {
	v        *service
	port     port
	sessions map[netip.AddrPort]*session
	next     time.Time // no deadline of a session is earlier; zero without any
	armed    time.Time // read deadline of the port
	known    bool      // that armed is
	buf      []byte
	used     int // of buf, until the port is flushed

	mu    sync.Mutex // over notes
	notes []note
}

// A note is what a loop is told about a session: that its file is open, or why
// not, or that it is to be dropped.
type note struct {
	se   *session
	err  error // a *refusal
	drop bool
}

func newLoop(v *service, p port) *loop {
	return &loop{v: v, port: p, sessions: map[netip.AddrPort]*session{}}
}

// tell leaves a note and wakes the loop.
func (l *loop) tell(n note) {
	l.mu.Lock()
	l.notes = append(l.notes, n)
	l.mu.Unlock()
	l.port.setReadDeadline(time.Unix(1, 0))
}

// run serves until ctx ends, after which the port must be interrupted.
func (l *loop) run(ctx context.Context) error {
	for {
		// A note that comes before the deadline is set is seen here, one that comes
		// after it ends the wait.
		for l.arm(); l.readNotes(); l.arm() {
		}
		if ctx.Err() != nil {
			return nil
		}
		l.flush()
		got, err := l.port.receive()
		now := time.Now()
		switch {
		case isTimeout(err):
			l.known = false
			l.expire(now)
		case err != nil && ctx.Err() == nil:
			return err
		}
		for _, d := range got {
			l.handle(d, now)
		}
	}
}

// arm has the port wait no longer than to the next deadline.
func (l *loop) arm() {
	if l.known && (l.next.IsZero() || !l.armed.IsZero() && !l.next.Before(l.armed)) {
		return // at worst it wakes early, and looks
	}
	l.armed, l.known = l.next, true
	l.port.setReadDeadline(l.next)
}

// readNotes does what notes say and reports whether there were any.
func (l *loop) readNotes() bool {
	l.mu.Lock()
	notes := l.notes
	l.notes = nil
	l.mu.Unlock()
	now := time.Now()
	for _, n := range notes {
		switch {
		case n.drop:
			l.end(n.se, "dropped")
		case n.err != nil:
			l.refuse(n.se, n.err.(*refusal))
		default:
			l.begin(n.se, now)
		}
	}
	return len(notes) > 0
}

// begin answers a request.
func (l *loop) begin(se *session, now time.Time) {
	l.sessions[se.addr] = se
	l.v.opened(se)
	b := se.transfer.begin(l.v.negotiate(se.options, se.size), se.size, l.v.retries(), now)
	se.options = nil
	l.send(se, b)
}

// refuse answers a request or ends its transfer with an error.
func (l *loop) refuse(se *session, r *refusal) {
	l.port.send(&se.peer, r.packet())
	l.end(se, "refused: "+r.text)
}

// handle takes a datagram.
func (l *loop) handle(d datagram, now time.Time) {
	if d.broadcast {
		return // RFC 1123, 4.2.3.4
	}
	op, listening := opcode(d.data), l == l.v.listen
	if listening && (op == opRead || op == opWrite) {
		l.v.request(d, now)
		return
	}
	se := l.sessions[d.from]
	switch {
	case se != nil && op == opAck:
		l.acknowledge(se, d.data, now)
	case se != nil && op == opError:
		l.end(se, "client aborted: "+parseError(d.data))
	case se != nil, op == opError, len(d.data) < headerSize:
		// Nothing to be said: an answer to an error could go on for ever.
	case listening && (op == 0 || op > opOptionAck):
		l.v.request(d, now)
	default:
		l.port.send(&peer{addr: d.from, local: d.local}, (&refusal{codeUnknownTID, "unknown transfer"}).packet())
	}
}

func (l *loop) acknowledge(se *session, data []byte, now time.Time) {
	number, ok := parseAck(data)
	if !ok {
		return
	}
	fresh, busy := !se.transfer.open, !se.done
	b := se.transfer.acknowledge(number, now)
	if fresh && se.transfer.open {
		l.v.answered(se)
	}
	if busy && se.done {
		l.complete(se, now)
	}
	l.send(se, b)
}

// complete closes the file of a transfer whose client has everything. The
// session stays for a while to swallow late packets.
func (l *loop) complete(se *session, now time.Time) {
	se.close()
	l.v.finished(se)
	l.v.logger.Info("sent", "client", se.addr, "file", se.name, "bytes", se.size, "took", now.Sub(se.began))
}

// send sends blocks of a session, and sees to its deadline.
func (l *loop) send(se *session, b blocks) {
	if l.next.IsZero() || se.deadline.Before(l.next) {
		l.next = se.deadline
	}
	if b.first == 0 && b.last == 0 {
		l.port.send(&se.peer, se.oack)
		return
	}
	for b.first <= b.last {
		count := min(b.last-b.first+1, max(atOnce/int64(se.block), 1))
		size := int(count) * se.block
		data, err := se.read(l.space(size), b.first, count)
		if err != nil {
			l.v.logger.Warn("cannot read", "client", se.addr, "file", se.name, "err", err)
			l.refuse(se, &refusal{codeUndefined, "cannot read the file"})
			return
		}
		l.port.sendBlocks(&se.peer, run{first: uint16(b.first), count: int(count), size: se.block, data: data})
		b.first += count
	}
}

// space returns memory that stays as it is until the port is flushed.
func (l *loop) space(size int) []byte {
	if l.buf == nil {
		l.buf = make([]byte, memory)
	}
	if l.used+size > len(l.buf) {
		l.flush()
	}
	l.used += size
	return l.buf[l.used-size : l.used]
}

func (l *loop) flush() {
	l.port.flush()
	l.used = 0
}

// expire does what is due.
func (l *loop) expire(now time.Time) {
	l.next = time.Time{}
	for _, se := range l.sessions {
		b, over := se.transfer.expire(now)
		if over {
			l.giveUp(se)
			continue
		}
		l.send(se, b)
	}
}

func (l *loop) giveUp(se *session) {
	if se.transfer.open && !se.done {
		l.port.send(&se.peer, (&refusal{codeUndefined, "no acknowledgement came"}).packet())
	}
	l.end(se, "client vanished")
}

// end closes and forgets a session.
func (l *loop) end(se *session, why string) {
	if l.sessions[se.addr] == se {
		delete(l.sessions, se.addr)
	}
	l.v.forget(se)
	se.close()
	if !se.done {
		l.v.logger.Info("not sent", "client", se.addr, "file", se.name, "reason", why, "acknowledged", max(se.acked, 0)*int64(se.block))
	}
}

// stop ends what is left after run.
func (l *loop) stop() {
	l.mu.Lock()
	notes := l.notes
	l.notes = nil
	l.mu.Unlock()
	for _, n := range notes {
		n.se.close()
	}
	for _, se := range l.sessions {
		if !se.done {
			l.port.send(&se.peer, (&refusal{codeUndefined, "server stops"}).packet())
		}
		se.close()
	}
	l.flush()
}

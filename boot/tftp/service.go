package tftp

import (
	"container/list"
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// A service is one call of Serve. One goroutine does all but opening files: the
// packets of lock-step clients are many and small, and handing them from one
// goroutine to another would cost as much as they do.
type service struct {
	*Server
	logger    *slog.Logger
	ports     ports
	sessions  map[netip.AddrPort]*session
	perClient map[netip.Addr]int
	idle      list.List // of *session: who may be dropped for others, oldest first
	lastPort  int
	next      time.Time // no session is due earlier; zero without any
	buf       []byte
	used      int // of buf, until the ports are flushed
	flushes   uint64

	opening sync.WaitGroup
	mu      sync.Mutex // over results
	results []result
}

// A result is what became of opening a session's file.
type result struct {
	se  *session
	err error // a *refusal
}

func newService(s *Server, p ports) *service {
	return &service{Server: s, logger: s.log(), ports: p, sessions: map[netip.AddrPort]*session{},
		perClient: map[netip.Addr]int{}, buf: make([]byte, memory)}
}

// run serves until ctx ends, or a socket fails.
func (v *service) run(ctx context.Context) error {
	end := make(chan struct{})
	v.opening.Go(func() {
		select {
		case <-ctx.Done():
			v.ports.wake()
		case <-end:
		}
	})
	defer v.stop()
	defer close(end)
	for {
		now := time.Now()
		if !v.next.IsZero() && !now.Before(v.next) {
			v.expire(now)
		}
		v.takeResults(now)
		v.flush()
		if ctx.Err() != nil {
			return nil
		}
		got, err := v.ports.receive(v.next)
		if err != nil {
			return err
		}
		now = time.Now()
		for _, d := range got {
			v.handle(d, now)
		}
	}
}

// stop tells clients, and closes what is open.
func (v *service) stop() {
	v.opening.Wait()
	v.takeResults(time.Now())
	for _, se := range v.sessions {
		if !se.done {
			v.refuse(se, &refusal{codeUndefined, "server stops"})
		}
		se.close()
	}
	v.flush()
}

// handle takes a datagram.
func (v *service) handle(d datagram, now time.Time) {
	if d.broadcast {
		return // RFC 1123, 4.2.3.4
	}
	op := opcode(d.data)
	if d.port == 0 && (op == opRead || op == opWrite) {
		v.request(d, now)
		return
	}
	se := v.sessions[d.from]
	switch {
	case se != nil && (se.opening || d.port != se.port):
		// Late, for the client's last transfer.
	case se != nil && op == opAck:
		v.acknowledge(se, d.data, now)
	case se != nil && op == opError:
		v.end(se, "client aborted: "+parseError(d.data))
	case se != nil, op == opError, len(d.data) < headerSize:
		// Nothing to be said: an answer to an error could go on for ever.
	case op == 0 || op > opOptionAck:
		v.answer(d, &refusal{codeIllegal, "no such operation"})
	default:
		v.answer(d, &refusal{codeUnknownTID, "unknown transfer"})
	}
}

// answer answers a datagram that is no part of a transfer.
func (v *service) answer(d datagram, r *refusal) {
	v.ports.send(&peer{addr: d.from, port: d.port, local: d.local}, r.packet())
}

// request begins what a datagram asks for.
func (v *service) request(d datagram, now time.Time) {
	req, err := parseRequest(d.data)
	name := ""
	if err == nil {
		name, err = v.path(req.name)
	}
	var se *session
	if err == nil {
		se, err = v.admit(d, now)
	}
	switch {
	case err != nil:
		r := err.(*refusal)
		v.logger.Debug("refused", "client", d.from, "file", req.name, "reason", r.text)
		v.answer(d, r)
	case se != nil:
		se.name, se.options = name, req.options
		v.opening.Go(func() {
			err := v.open(se)
			v.mu.Lock()
			v.results = append(v.results, result{se, err})
			v.mu.Unlock()
			v.ports.wake()
		})
	}
}

// takeResults answers the requests whose files were opened.
func (v *service) takeResults(now time.Time) {
	v.mu.Lock()
	results := v.results
	v.results = nil
	v.mu.Unlock()
	for _, r := range results {
		se := r.se
		se.opening = false
		if r.err != nil {
			v.refuse(se, r.err.(*refusal))
			continue
		}
		v.setIdle(se, true)
		v.send(se, se.begin(v.negotiate(se.options, se.size), se.size, v.retries(), now))
		se.options = nil
	}
}

// refuse ends a session with an error.
func (v *service) refuse(se *session, r *refusal) {
	v.ports.send(&se.peer, r.packet())
	v.end(se, r.text)
}

func (v *service) acknowledge(se *session, data []byte, now time.Time) {
	number, ok := parseAck(data)
	if !ok {
		return
	}
	before := se.transfer
	b := se.acknowledge(number, now)
	switch {
	case se.done && !before.done:
		// The session stays for a while to swallow late packets.
		se.close()
		v.setIdle(se, true)
		v.logger.Info("sent", "client", se.addr, "file", se.name, "bytes", se.size, "took", now.Sub(se.began))
	case se.answered && !before.answered:
		v.setIdle(se, false)
	}
	v.send(se, b)
}

// send sends blocks of a session, and sees to its deadline.
func (v *service) send(se *session, b blocks) {
	if v.next.IsZero() || se.deadline.Before(v.next) {
		v.next = se.deadline
	}
	if b.first == 0 && b.last == 0 {
		v.ports.send(&se.peer, se.oack)
		return
	}
	for b.first <= b.last {
		count := min(b.last-b.first+1, max(atOnce/int64(se.block), 1))
		data, err := v.read(se, b.first, count)
		if err != nil {
			v.logger.Warn("cannot read", "client", se.addr, "file", se.name, "err", err)
			v.refuse(se, &refusal{codeUndefined, "cannot read the file"})
			return
		}
		v.ports.sendBlocks(&se.peer, run{first: uint16(b.first), count: int(count), size: se.block, data: data})
		b.first += count
	}
}

// expire does what is due.
func (v *service) expire(now time.Time) {
	v.next = time.Time{}
	for _, se := range v.sessions {
		if se.opening {
			continue
		}
		b, over := se.expire(now)
		switch {
		case !over:
			v.send(se, b)
		case se.answered && !se.done:
			v.refuse(se, &refusal{codeUndefined, "no acknowledgement came"})
		default:
			v.end(se, "client vanished")
		}
	}
}

// end closes and forgets a session.
func (v *service) end(se *session, why string) {
	v.setIdle(se, false)
	delete(v.sessions, se.addr)
	addr := se.addr.Addr()
	if v.perClient[addr]--; v.perClient[addr] == 0 {
		delete(v.perClient, addr)
	}
	se.close()
	if !se.done {
		v.logger.Info("not sent", "client", se.addr, "file", se.name, "reason", why, "acknowledged", max(se.acked, 0)*int64(se.block))
	}
}

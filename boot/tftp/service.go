package tftp

import (
	"container/list"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// transferPorts is how many sockets the transfers share.
const transferPorts = 2

// A service is one call of Serve.
type service struct {
	*Server
	logger *slog.Logger
	listen *loop   // takes requests
	loops  []*loop // carry transfers; just listen with SinglePort
	wg     sync.WaitGroup

	mu        sync.Mutex // over what follows
	next      int        // loop
	sessions  map[netip.AddrPort]*session
	perClient map[netip.Addr]int
	idle      list.List // sessions that may be dropped for others, oldest first
}

func newService(s *Server, conn net.PacketConn) (*service, error) {
	v := &service{Server: s, logger: s.log(), sessions: map[netip.AddrPort]*session{}, perClient: map[netip.Addr]int{}}
	p, err := newPort(conn)
	if err != nil {
		return nil, err
	}
	v.listen = newLoop(v, p)
	udp, ok := conn.(*net.UDPConn)
	if s.SinglePort || !ok {
		v.loops = []*loop{v.listen}
		return v, nil
	}
	for range transferPorts {
		l, err := v.transferLoop(udp)
		if err != nil {
			v.closePorts()
			return nil, err
		}
		v.loops = append(v.loops, l)
	}
	return v, nil
}

// transferLoop returns a loop on a port of its own, with the address of conn.
func (v *service) transferLoop(conn *net.UDPConn) (*loop, error) {
	local := *conn.LocalAddr().(*net.UDPAddr)
	local.Port = 0
	own, err := net.ListenUDP("udp", &local)
	if err != nil {
		return nil, err
	}
	p, err := newPort(own)
	if err != nil {
		own.Close()
		return nil, err
	}
	return newLoop(v, p), nil
}

// closePorts closes those that are our own.
func (v *service) closePorts() {
	for _, l := range v.loops {
		if l != v.listen {
			l.port.close()
		}
	}
}

// serve runs until ctx ends, or a socket fails.
func (v *service) serve(ctx context.Context) error {
	all := v.loops
	if v.listen != v.loops[0] {
		all = append([]*loop{v.listen}, v.loops...)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(all))
	for i, l := range all {
		v.wg.Go(func() {
			defer cancel()
			errs[i] = l.run(ctx)
		})
	}
	<-ctx.Done()
	for _, l := range all {
		l.port.interrupt()
	}
	v.wg.Wait()
	for _, l := range v.loops {
		l.stop()
	}
	v.closePorts()
	return errors.Join(errs...)
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
		v.refuse(d, req.name, err)
	case se != nil:
		se.name = name
		v.wg.Go(func() { se.loop.tell(note{se: se, err: v.open(se, req.options)}) })
	}
}

// refuse answers a datagram of the listening socket.
func (v *service) refuse(d datagram, name string, err error) {
	r := err.(*refusal)
	v.logger.Debug("refused", "client", d.from, "file", name, "reason", r.text)
	v.listen.port.send(&peer{addr: d.from, local: d.local}, r.packet())
}

// admit makes room for a session and returns it, or none if the request is a
// repetition of one that is being answered.
func (v *service) admit(d datagram, now time.Time) (*session, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if old := v.sessions[d.from]; old != nil {
		if old.opening || string(d.data) == old.request && !old.finished && now.Sub(old.began) < v.timeout() {
			return nil, nil
		}
		v.drop(old)
	}
	addr := d.from.Addr()
	if v.perClient[addr] >= v.maxPerClient() && !v.dropIdle(func(se *session) bool { return se.addr.Addr() == addr }) {
		return nil, &refusal{codeUndefined, "too many transfers of this client"}
	}
	if len(v.sessions) >= v.maxTransfers() && !v.dropIdle(func(*session) bool { return true }) {
		return nil, &refusal{codeUndefined, "server is busy"}
	}
	se := &session{peer: peer{addr: d.from, local: d.local}, request: string(d.data), began: now, opening: true, loop: v.loops[v.next%len(v.loops)]}
	v.next++
	v.sessions[d.from] = se
	v.perClient[addr]++
	return se, nil
}

// dropIdle drops the oldest idle session that fits; v.mu is held.
func (v *service) dropIdle(fits func(*session) bool) bool {
	for e := v.idle.Front(); e != nil; e = e.Next() {
		if se := e.Value.(*session); fits(se) {
			v.drop(se)
			return true
		}
	}
	return false
}

// drop forgets a session and has its loop end it; v.mu is held.
func (v *service) drop(se *session) {
	v.remove(se)
	se.loop.tell(note{se: se, drop: true})
}

// remove forgets a session; v.mu is held.
func (v *service) remove(se *session) {
	if v.sessions[se.addr] != se {
		return
	}
	v.setIdle(se, false)
	delete(v.sessions, se.addr)
	addr := se.addr.Addr()
	if v.perClient[addr]--; v.perClient[addr] == 0 {
		delete(v.perClient, addr)
	}
}

// opened is told that a file is open, whether or not it can be read.
func (v *service) opened(se *session) {
	v.mu.Lock()
	defer v.mu.Unlock()
	se.opening = false
	v.setIdle(se, true)
}

// answered is told that the client has said something.
func (v *service) answered(se *session) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.setIdle(se, false)
}

// finished is told that the client has everything.
func (v *service) finished(se *session) {
	v.mu.Lock()
	defer v.mu.Unlock()
	se.finished = true
	v.setIdle(se, true)
}

// forget is told that a session has ended.
func (v *service) forget(se *session) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.remove(se)
}

// setIdle says whether a session may be dropped for others; v.mu is held.
func (v *service) setIdle(se *session, idle bool) {
	switch {
	case v.sessions[se.addr] != se || idle == (se.idle != nil):
	case idle:
		se.idle = v.idle.PushBack(se)
	default:
		v.idle.Remove(se.idle)
		se.idle = nil
	}
}

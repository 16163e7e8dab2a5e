package tftp

import "time"

// admit makes room for a session and returns it, or none if the request is a
// repetition of one that is being answered. The error is a *refusal.
func (v *service) admit(d datagram, now time.Time) (*session, error) {
	port := v.nextPort()
	if old := v.sessions[d.from]; old != nil {
		if old.opening || old.repeats(d, now) {
			return nil, nil
		}
		v.end(old, "client asked again")
		if port == old.port {
			port = v.nextPort()
		}
	}
	addr := d.from.Addr()
	if v.perClient[addr] >= v.maxPerClient() && !v.dropIdle(func(se *session) bool { return se.addr.Addr() == addr }) {
		return nil, &refusal{codeUndefined, "too many transfers of this client"}
	}
	if len(v.sessions) >= v.maxTransfers() && !v.dropIdle(func(*session) bool { return true }) {
		return nil, &refusal{codeUndefined, "server is busy"}
	}
	se := &session{peer: peer{addr: d.from, local: d.local, port: port}, request: string(d.data), began: now, opening: true}
	v.sessions[d.from] = se
	v.perClient[addr]++
	return se, nil
}

// nextPort returns the port for a transfer: all but the first take turns.
func (v *service) nextPort() int {
	n := v.ports.count()
	if n == 1 {
		return 0
	}
	v.lastPort = v.lastPort%(n-1) + 1
	return v.lastPort
}

// dropIdle drops the oldest idle session that fits.
func (v *service) dropIdle(fits func(*session) bool) bool {
	for e := v.idle.Front(); e != nil; e = e.Next() {
		if se := e.Value.(*session); fits(se) {
			v.end(se, "dropped for another request")
			return true
		}
	}
	return false
}

// setIdle says whether a session may be dropped for others: those whose client
// has answered nothing yet or has everything.
func (v *service) setIdle(se *session, idle bool) {
	switch {
	case idle == (se.idle != nil):
	case idle:
		se.idle = v.idle.PushBack(se)
	default:
		v.idle.Remove(se.idle)
		se.idle = nil
	}
}

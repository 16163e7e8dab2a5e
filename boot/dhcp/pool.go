package dhcp

import (
	"container/list"
	"hash/fnv"
	"net/netip"
	"time"
)

// How long an address is kept for a machine that was offered it, and from
// everybody after a machine found another one that has it.
const (
	offerTime   = time.Minute
	declineTime = 10 * time.Minute
)

type leaseState int

const (
	offered leaseState = iota
	leased
	declined
	leaseStates
)

// A pool gives a range of addresses to machines, by their keys. What it keeps is
// bounded by the range, and so is its work: a flood of made up machines can use
// the range up, and no more. Which address a machine gets depends on its key, so
// it tends to get the same one after a restart, which forgets all leases.
type pool struct {
	first netip.Addr
	size  uint32
	taken func(netip.Addr) bool // the address is somebody's for good

	// A lease that ended stays until its address is given to another machine.
	addrs  map[netip.Addr]*list.Element
	keys   map[string]*list.Element
	queues [leaseStates]*list.List // of *lease, the first to end in front
	fresh  uint32                  // below it no address is without a lease or taken
}

type lease struct {
	addr  netip.Addr
	key   string // of the machine; "" when declined
	named bool   // somebody named the machine
	state leaseState
	ends  time.Time
}

func newPool(s *Subnet, taken func(netip.Addr) bool) *pool {
	p := &pool{first: s.First, taken: taken, addrs: map[netip.Addr]*list.Element{}, keys: map[string]*list.Element{}}
	for i := range p.queues {
		p.queues[i] = list.New()
	}
	if s.First.IsValid() {
		p.size = number4(s.Last) - number4(s.First) + 1
	}
	return p
}

func (p *pool) has(a netip.Addr) bool {
	return p.size > 0 && a.Is4() && number4(a)-number4(p.first) < p.size
}

func (p *pool) at(i uint32) netip.Addr { return addr4(number4(p.first) + i%p.size) }

// find returns the address that the machine with that key has or was offered.
func (p *pool) find(key string, now time.Time) (netip.Addr, bool) {
	e := p.keys[key]
	if e == nil {
		return netip.Addr{}, false
	}
	l := e.Value.(*lease)
	return l.addr, now.Before(l.ends) && !p.taken(l.addr)
}

// offer keeps an address for the machine: the one it has or had, else another.
// false: there is none.
func (p *pool) offer(key string, named bool, now time.Time) (netip.Addr, bool) {
	if e := p.keys[key]; e != nil {
		l := e.Value.(*lease)
		if !p.taken(l.addr) {
			if l.state == offered || !now.Before(l.ends) {
				p.give(l.addr, key, named, offered, now.Add(offerTime))
			}
			return l.addr, true
		}
	}
	a, ok := p.free(key, now)
	if !ok && named {
		a, ok = p.takeOver()
	}
	if ok {
		p.give(a, key, named, offered, now.Add(offerTime))
	}
	return a, ok
}

// grants reports whether the machine could have a: it is its own, or nobody's.
func (p *pool) grants(key string, a netip.Addr, now time.Time) bool {
	if !p.has(a) || p.taken(a) {
		return false
	}
	e := p.addrs[a]
	return e == nil || e.Value.(*lease).key == key || !now.Before(e.Value.(*lease).ends)
}

// bind gives the machine a until ends, where [pool.grants] allows it.
func (p *pool) bind(key string, named bool, a netip.Addr, now, ends time.Time) bool {
	if !p.grants(key, a, now) {
		return false
	}
	p.give(a, key, named, leased, ends)
	return true
}

// end ends the machine's lease of a, or the offer of it.
func (p *pool) end(key string, a netip.Addr) {
	if e := p.keys[key]; e != nil && e.Value.(*lease).addr == a {
		p.finish(e)
	}
}

// forget ends an offer that the machine did not take.
func (p *pool) forget(key string) {
	if e := p.keys[key]; e != nil && e.Value.(*lease).state == offered {
		p.finish(e)
	}
}

// decline keeps a from everybody for a while. Only the machine that was given it
// can have that done.
func (p *pool) decline(key string, a netip.Addr, now time.Time) {
	if e := p.keys[key]; e != nil && e.Value.(*lease).addr == a {
		p.give(a, "", false, declined, now.Add(declineTime))
	}
}

// give makes a the machine's, whoever had it. In each queue all leases are for
// the same time, so the new one ends last.
func (p *pool) give(a netip.Addr, key string, named bool, s leaseState, ends time.Time) {
	if e := p.keys[key]; e != nil && e.Value.(*lease).addr != a {
		p.finish(e)
	}
	if e := p.addrs[a]; e != nil {
		p.remove(e)
	}
	e := p.queues[s].PushBack(&lease{a, key, named, s, ends})
	p.addrs[a] = e
	if key != "" {
		p.keys[key] = e
	}
}

// finish leaves e's address to the next machine that needs one.
func (p *pool) finish(e *list.Element) {
	l := e.Value.(*lease)
	p.remove(e)
	p.addrs[l.addr] = p.queues[offered].PushFront(&lease{addr: l.addr})
}

func (p *pool) remove(e *list.Element) {
	l := e.Value.(*lease)
	p.queues[l.state].Remove(e)
	delete(p.addrs, l.addr)
	if l.key != "" {
		delete(p.keys, l.key)
	}
}

// free returns an address that nobody has now.
func (p *pool) free(key string, now time.Time) (netip.Addr, bool) {
	if p.size == 0 {
		return netip.Addr{}, false
	}
	h := fnv.New32a()
	h.Write([]byte(key))
	for i := range min(p.size, 32) {
		if a := p.at(h.Sum32()%p.size + i); p.addrs[a] == nil && !p.taken(a) {
			return a, true
		}
	}
	for _, q := range p.queues {
		// Few addresses are taken while they are leased: those are passed over.
		for e := q.Front(); e != nil && !now.Before(e.Value.(*lease).ends); e = q.Front() {
			l := e.Value.(*lease)
			if !p.taken(l.addr) {
				return l.addr, true
			}
			p.remove(e)
		}
	}
	for ; p.fresh < p.size; p.fresh++ {
		if a := p.at(p.fresh); p.addrs[a] == nil && !p.taken(a) {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// takeOver returns an address that was offered to a machine that nobody named
// and that has not taken it up, as a flood of made up machines does not.
func (p *pool) takeOver() (netip.Addr, bool) {
	for e := p.queues[offered].Front(); e != nil; e = e.Next() {
		if l := e.Value.(*lease); !l.named && !p.taken(l.addr) {
			return l.addr, true
		}
	}
	return netip.Addr{}, false
}

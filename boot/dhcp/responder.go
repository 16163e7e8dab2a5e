package dhcp

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ferrule/ferrule/task"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// A Responder answers DHCP from a table in memory, and is the [Provider] that
// fills the table. Its methods may be called from many goroutines. Use
// [NewResponder].
//
// After a restart the table is empty and the leases are forgotten: SetBoot is
// called again for nodes that wait, and machines keep the addresses they have,
// as long as nobody else was given them.
type Responder struct {
	cfg Config

	mu       sync.Mutex            // over what follows; never held while packets or findings go out
	hosts    map[string]*entry     // by key
	nodes    map[string][]*entry   // those with a boot, by node
	reserved map[netip.Addr]string // whose an address is for good, by key
	pools    []*pool               // of the subnets
	told     map[Kind]time.Time    // when a finding about nobody was logged last
}

// An entry is one port of a machine that somebody named.
type entry struct {
	key      string // its hardware address
	alias    string // a second key, on InfiniBand
	node     string
	boot     *Boot // nil when it only has reserved addresses
	reserved []netip.Addr
	loop     loopWatch
	told     map[Kind]time.Time // when a finding was logged last
}

var (
	_ Provider  = (*Responder)(nil)
	_ Addresser = (*Responder)(nil)
)

// NewResponder returns a Responder that knows no machine. The error reports
// everything that is wrong with c.
func NewResponder(c Config) (*Responder, error) {
	c.Subnets = slices.Clone(c.Subnets)
	for i := range c.Subnets {
		c.Subnets[i].DNS = slices.Clone(c.Subnets[i].DNS)
	}
	if err := c.check("dhcp.NewResponder"); err != nil {
		return nil, err
	}
	if len(c.DUID) == 0 {
		c.DUID = machineDUID()
	}
	r := &Responder{cfg: c, hosts: map[string]*entry{}, nodes: map[string][]*entry{}, reserved: map[netip.Addr]string{}, told: map[Kind]time.Time{}}
	for i := range c.Subnets {
		s := &c.Subnets[i]
		r.pools = append(r.pools, newPool(s, func(a netip.Addr) bool { return r.reserved[a] != "" || a == s.Router }))
	}
	return r, nil
}

// machineDUID is made of the first hardware address that this machine has.
func machineDUID() []byte {
	mac := make(net.HardwareAddr, 6)
	if all, err := net.Interfaces(); err == nil {
		for _, i := range all {
			if len(i.HardwareAddr) == len(mac) && !isZero(i.HardwareAddr) {
				mac = i.HardwareAddr
				break
			}
		}
	}
	return (&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: mac}).ToBytes()
}

// CheckBoot returns what [Boot.Check] finds: the Responder has no limits of its
// own.
func (r *Responder) CheckBoot(b Boot) error { return b.Check() }

// SetBoot implements [Provider].
func (r *Responder) SetBoot(ctx context.Context, t *task.Task, b Boot) error {
	const op = "dhcp.SetBoot"
	ports, err := bootPorts(op, t, b.Check())
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	for _, p := range r.set(t.Node.UUID, ports, &b) {
		r.cfg.logger().Warn("a port's boot is set for another node now", "mac", p.mac, "node", t.Node.UUID, "before", p.node)
	}
	return nil
}

// moved is a port that was another node's.
type moved struct{ mac, node string }

func (r *Responder) set(node string, ports []*task.Port, b *Boot) []moved {
	r.mu.Lock()
	defer r.mu.Unlock()
	var taken []moved
	old := r.nodes[node]
	delete(r.nodes, node)
	for _, p := range ports {
		e := r.entry(keyOf(p.Address))
		if e.node != "" && e.node != node {
			taken = append(taken, moved{p.Address, e.node})
			r.nodes[e.node] = slices.DeleteFunc(r.nodes[e.node], func(o *entry) bool { return o == e })
		}
		e.node, e.boot, e.loop, e.told = node, b, loopWatch{}, nil
		r.setAlias(e, p.ClientID())
		r.nodes[node] = append(r.nodes[node], e)
	}
	for _, e := range old {
		if !slices.Contains(r.nodes[node], e) {
			r.unset(e)
		}
	}
	return taken
}

// ClearBoot implements [Provider]. A machine that has a reserved address, or
// that still holds one from the pool, goes on getting that, without anything to
// boot.
func (r *Responder) ClearBoot(_ context.Context, node string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.nodes[node] {
		r.unset(e)
	}
	delete(r.nodes, node)
	return nil
}

// Reserve gives the machine with that hardware address these addresses, and
// nobody else, from its next request on; none takes its reserved addresses
// back. At most one of each subnet is of use. An address that another machine
// has reserved is task.ErrExists. A machine with a reserved address is answered
// also while it has nothing to boot.
func (r *Responder) Reserve(mac string, addrs ...netip.Addr) error {
	const op = "dhcp.Reserve"
	clean, err := task.ParseMAC(mac)
	if err != nil {
		return &task.Error{Op: op, Field: "mac", Err: err}
	}
	key := keyOf(clean)
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, a := range addrs {
		s := r.cfg.subnetOf(a)
		if s == nil || !s.host(a) || a == s.Router {
			errs = append(errs, &task.Error{Op: op, Field: a.String(), Err: fmt.Errorf("%w: no address of a machine in a network that is served", task.ErrInvalidParameter),
				Remedy: "reserve an address of one of Config.Subnets"})
		}
		if other := r.reserved[a]; other != "" && other != key {
			errs = append(errs, &task.Error{Op: op, Field: a.String(), Err: fmt.Errorf("%w: reserved for %s", task.ErrExists, macOf(other)), Remedy: "choose another address"})
		}
	}
	if err := task.Join(errs...); err != nil {
		return err
	}
	e := r.entry(key)
	for _, a := range e.reserved {
		delete(r.reserved, a)
	}
	e.reserved = slices.Clone(addrs)
	for _, a := range addrs {
		r.reserved[a] = key
	}
	for _, p := range r.pools {
		p.fresh = 0 // an address may have become free
	}
	r.dropIdle(e)
	return nil
}

// Addresses implements [Addresser].
func (r *Responder) Addresses(_ context.Context, node string) ([]netip.Addr, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []netip.Addr
	for _, e := range r.nodes[node] {
		all = append(all, e.reserved...)
		for _, p := range r.pools {
			if l := p.keys[e.key]; l != nil && l.Value.(*lease).state == leased {
				if a, ok := p.find(e.key, time.Now()); ok {
					all = append(all, a)
				}
			}
		}
	}
	return all, nil
}

func (r *Responder) entry(key string) *entry {
	e := r.hosts[key]
	if e == nil {
		e = &entry{key: key}
		r.hosts[key] = e
	}
	return e
}

func (r *Responder) setAlias(e *entry, clientID string) {
	if e.alias != "" && r.hosts[e.alias] == e {
		delete(r.hosts, e.alias)
	}
	e.alias = ""
	if id, err := parseClientID(clientID); err == nil {
		e.alias = infiniBandKey(id)
		r.hosts[e.alias] = e
	}
}

func (r *Responder) unset(e *entry) {
	e.node, e.boot, e.loop, e.told = "", nil, loopWatch{}, nil
	r.dropIdle(e)
}

func (r *Responder) dropIdle(e *entry) {
	if e.boot != nil || len(e.reserved) > 0 {
		return
	}
	r.setAlias(e, "")
	delete(r.hosts, e.key)
}

// keyOf returns the key of a hardware address in task.ParseMAC's form.
func keyOf(mac string) string {
	b, _ := net.ParseMAC(mac)
	return string(b)
}

// ourKey is whose the server's own addresses are.
const ourKey = "\x00server"

// macOf is key for people.
func macOf(key string) string {
	if key == ourKey {
		return "this server"
	}
	if len(key) == 6 || len(key) == 20 {
		return net.HardwareAddr(key).String()
	}
	return hex.EncodeToString([]byte(key))
}

package dhcp

import (
	"context"
	"net/netip"

	"github.com/ferrule/ferrule/task"
)

// A Provider makes a site's DHCP tell nodes what to boot. Boot implementations
// are given one; it serves every node at once.
//
// Implementations may also have [Addresser].
type Provider interface {
	// CheckBoot reports why b could not be told to a machine, every problem at
	// once: what [Boot.Check] finds, and limits of the provider's own. It talks
	// to nobody.
	CheckBoot(b Boot) error

	// SetBoot makes DHCP tell the ports of t's node that may boot from the
	// network (pxe_enabled) to boot b, from the node's next request on. The last
	// call counts, also for a port that was another node's before. Ports that
	// the node has no more are told nothing more. A node without such a port is
	// task.ErrMissingParameter. After an error, or a crash in between, the node
	// is told what it was told before, b or nothing, and the same call or
	// ClearBoot can be made next.
	SetBoot(ctx context.Context, t *task.Task, b Boot) error

	// ClearBoot makes DHCP tell the node with that UUID nothing more to boot. It
	// needs neither ports nor parameters, and succeeds when nothing was set and
	// when called twice.
	ClearBoot(ctx context.Context, node string) error
}

// An Addresser is a [Provider] that knows the addresses of nodes.
type Addresser interface {
	// Addresses returns the addresses that DHCP gave the ports of the node with
	// that UUID, none when it gave none yet.
	Addresses(ctx context.Context, node string) ([]netip.Addr, error)
}

// Addresses returns the addresses that p's DHCP gave the node with that UUID. A
// provider that does not know any is task.ErrUnsupported.
func Addresses(ctx context.Context, p Provider, node string) ([]netip.Addr, error) {
	if a, ok := task.As[Addresser](p); ok {
		return a.Addresses(ctx, node)
	}
	return nil, &task.Error{Op: "dhcp.Addresses", Node: node, Err: task.ErrUnsupported, Remedy: "use a DHCP provider that knows the leases"}
}

// None is the provider of a site whose DHCP was set up by hand and tells every
// machine the same. It checks, and does nothing.
type None struct{}

var _ Provider = None{}

// CheckBoot returns what [Boot.Check] finds.
func (None) CheckBoot(b Boot) error { return b.Check() }

// SetBoot checks b and that the node has a port to boot from.
func (None) SetBoot(_ context.Context, t *task.Task, b Boot) error {
	_, err := bootPorts("dhcp.SetBoot", t, b.Check())
	return err
}

// ClearBoot has nothing to clear.
func (None) ClearBoot(context.Context, string) error { return nil }

const macLength = len("52:54:00:00:00:00")

// bootPorts returns the ports of t's node that it boots from, their addresses
// in task.ParseMAC's form. wrong is what is wrong with the boot that is for them.
func bootPorts(op string, t *task.Task, wrong error) ([]*task.Port, error) {
	node := t.Node.String()
	errs := []error{wrong}
	var ports []*task.Port
	for _, p := range t.Ports {
		if !p.BootsFromNetwork() {
			continue
		}
		mac, err := task.ParseMAC(p.Address)
		if err != nil {
			errs = append(errs, &task.Error{Op: op, Node: node, Field: "port.address", Err: err, Remedy: "correct the port's address"})
			continue
		}
		if p.ClientID() != "" {
			if _, err := parseClientID(p.ClientID()); err != nil {
				errs = append(errs, &task.Error{Op: op, Node: node, Field: "port.extra.client-id", Err: err, Remedy: "write it as bytes in hex with colons between them"})
				continue
			}
		}
		if len(mac) > macLength && p.ClientID() == "" {
			errs = append(errs, &task.Error{Op: op, Node: node, Field: "port.extra.client-id", Err: task.ErrMissingParameter, Remedy: "set it for an InfiniBand port: requests have nothing else to know it by"})
			continue
		}
		c := p.Clone()
		c.Address = mac
		ports = append(ports, c)
	}
	if t.Node.UUID == "" {
		errs = append(errs, &task.Error{Op: op, Node: node, Field: "uuid", Err: task.ErrMissingParameter})
	}
	if err := task.Join(errs...); err != nil {
		return nil, err
	}
	if len(ports) == 0 {
		return nil, &task.Error{Op: op, Node: node, Field: "port", Err: task.ErrMissingParameter,
			Remedy: "create a port with the MAC address that the node boots from, and pxe_enabled not false"}
	}
	return ports, nil
}

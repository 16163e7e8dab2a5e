//go:build linux

package linux

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
)

// A Network brings the machine's interfaces up, and gives them the addresses that
// DHCP offers. Addresses of IPv6 the kernel takes from routers by itself.
type Network struct {
	// Logger is told of addresses and of what fails; nil discards.
	Logger *slog.Logger

	// Ready is called whenever an interface got an address; nil is not.
	Ready func()
}

// Run works until ctx ends, and returns ctx's cause then. An interface that has
// no answer is asked for again for as long, and a lease is renewed when half of it
// is over; an address that is not renewed stays, for a deploy in its middle is
// better off with it than without. What Run has configured stays configured.
func (n Network) Run(ctx context.Context) error {
	if n.Logger == nil {
		n.Logger = slog.New(slog.DiscardHandler)
	}
	var interfaces sync.WaitGroup
	defer interfaces.Wait()
	started := map[string]bool{}
	for {
		found, err := Host{}.Interfaces(ctx)
		if err != nil {
			return err
		}
		for _, i := range found {
			if !started[i.Name] {
				started[i.Name] = true
				interfaces.Go(func() { n.configure(ctx, i.Name) })
			}
		}
		if !pause(ctx, 2*time.Second) { // drivers may take a while to find their cards
			return context.Cause(ctx)
		}
	}
}

// configure gives one interface its addresses until ctx ends.
func (n Network) configure(ctx context.Context, name string) {
	log := n.Logger.With("interface", name)
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		lease, err := n.lease(ctx, name)
		if err == nil {
			log.Info("address by DHCP", "address", lease.ACK.YourIPAddr.String())
			if n.Ready != nil {
				n.Ready()
			}
			wait = max(lease.ACK.IPAddressLeaseTime(time.Hour)/2, 30*time.Second)
		} else if ctx.Err() == nil {
			log.Warn("no address by DHCP", "error", err)
		}
		if !pause(ctx, wait) {
			return
		}
		if err == nil {
			wait = time.Second
		}
	}
}

// lease asks for an address and gives it to the interface.
func (n Network) lease(ctx context.Context, name string) (*nclient4.Lease, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return nil, fmt.Errorf("set it up: %w", err)
	}
	client, err := nclient4.New(name, nclient4.WithTimeout(2*time.Second), nclient4.WithRetry(3))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	lease, err := client.Request(ctx, dhcpv4.WithRequestedOptions(dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer))
	if err != nil {
		return nil, err
	}
	return lease, assign(link, lease.ACK)
}

// assign gives link what ack says.
func assign(link netlink.Link, ack *dhcpv4.DHCPv4) error {
	mask := ack.SubnetMask()
	if mask == nil {
		mask = ack.YourIPAddr.DefaultMask()
	}
	if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: &net.IPNet{IP: ack.YourIPAddr, Mask: mask}}); err != nil {
		return fmt.Errorf("assign %s: %w", ack.YourIPAddr, err)
	}
	if routers := ack.Router(); len(routers) > 0 {
		route := netlink.Route{LinkIndex: link.Attrs().Index, Gw: routers[0], Priority: 100 + link.Attrs().Index}
		if err := netlink.RouteReplace(&route); err != nil {
			return fmt.Errorf("route by %s: %w", routers[0], err)
		}
	}
	if servers := ack.DNS(); len(servers) > 0 {
		var text strings.Builder
		for _, s := range servers {
			fmt.Fprintf(&text, "nameserver %s\n", s)
		}
		if err := os.WriteFile("/etc/resolv.conf", []byte(text.String()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// pause waits for d, and reports whether ctx did not end.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

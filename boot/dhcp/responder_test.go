package dhcp_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/task"
)

// The types of DHCPv4 messages.
const (
	discover = 1
	offer    = 2
	request  = 3
	decline  = 4
	ack      = 5
	nak      = 6
	release  = 7
)

// client is a machine that asks s.
type client struct {
	*site
	mac []byte
	xid uint32
	now time.Time
}

func (s *site) client(mac ...byte) *client {
	return &client{site: s, mac: mac, now: time.Now()}
}

var (
	askUEFI = []option{{93, []byte{0, 7}}, {60, []byte("PXEClient:Arch:00007:UNDI:003000")}}
	askIPXE = []option{{93, []byte{0, 7}}, {60, []byte("PXEClient:Arch:00007:UNDI:003010")}, {77, []byte("iPXE")}}
)

// ask sends one message and returns the answer, nil for silence.
func (c *client) ask(t testing.TB, kind byte, ci netip.Addr, more ...option) *packet4 {
	t.Helper()
	p := &packet4{op: 1, htype: 1, hlen: 6, chaddr: c.mac, xid: c.xid, ci: ci, options: append([]option{{53, []byte{kind}}}, more...)}
	data, to := c.Handle4(p.bytes(), netip.AddrPortFrom(netip.IPv4Unspecified(), 68), server, false, c.now)
	if data == nil {
		return nil
	}
	require.True(t, to.IsValid())
	reply, err := read4(data)
	require.NoError(t, err)
	require.Equal(t, p.xid, reply.xid)
	return reply
}

func (p *packet4) kind() byte {
	if v := p.get(53); len(v) == 1 {
		return v[0]
	}
	return 0
}

func addrOption(code int, a netip.Addr) option { return option{code, a.AsSlice()} }

// boot goes through discover and request, and returns the acknowledgement, nil
// where the discover got no answer.
func (c *client) boot(t testing.TB, who ...option) *packet4 {
	t.Helper()
	c.xid++
	o := c.ask(t, discover, netip.Addr{}, who...)
	if o == nil {
		return nil
	}
	require.Equal(t, byte(offer), o.kind())
	a := c.ask(t, request, netip.Addr{}, append([]option{addrOption(50, o.yi), addrOption(54, server)}, who...)...)
	require.NotNil(t, a)
	require.Equal(t, byte(ack), a.kind())
	require.Equal(t, o.yi, a.yi)
	require.Equal(t, uint32(3600), binary.BigEndian.Uint32(a.get(51)))
	return a
}

func TestUnknownMachinesGetSilence(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	require.Nil(t, s.client(2, 0, 0, 0, 0, 9).boot(t, askUEFI...))
	require.Nil(t, s.client(0, 0, 0, 0, 0, 0).boot(t, askUEFI...), "no hardware address")
	require.Empty(t, s.told())

	found := dhcp.Boot{IPv4: dhcp.Files{Script: script}}
	s = newSite(t, func(c *dhcp.Config) { c.Unknown = &found })
	a := s.client(2, 0, 0, 0, 0, 9).boot(t, askIPXE...)
	require.Equal(t, script, string(a.get(67)))
	require.Empty(t, s.told(), "it is no node yet")

	s = newSite(t, func(c *dhcp.Config) { c.Unknown = new(dhcp.Boot) })
	a = s.client(2, 0, 0, 0, 0, 9).boot(t, askUEFI...)
	require.Nil(t, a.get(67), "an address and no more")
}

func TestSetAndClear(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.client(mac1...)
	s.set(t, "n1", aBoot(), port1, "52:54:00:77:00:02")
	a := c.boot(t, askUEFI...)
	require.Equal(t, "snponly.efi", string(a.get(67)))
	seen := s.told()
	require.Len(t, seen, 2)
	require.Equal(t, task.Evidence{Node: "n1", Stage: boot.StageDHCP, Detail: "uefi x86_64 by tftp: given " + a.yi.String() + " and tftp://192.0.2.2/snponly.efi"}, seen[1])
	got, err := dhcp.Addresses(context.Background(), s, "n1")
	require.NoError(t, err)
	require.Equal(t, []netip.Addr{a.yi}, got)

	changed := aBoot()
	changed.IPv4.Loaders = map[dhcp.Client]string{uefi: "tftp://192.0.2.3/grub.efi"}
	s.set(t, "n1", changed, port1)
	require.Equal(t, "grub.efi", string(c.boot(t, askUEFI...).get(67)), "the last call counts")
	require.Nil(t, s.client(0x52, 0x54, 0, 0x77, 0, 2).boot(t, askUEFI...), "the port is gone")

	require.NoError(t, s.ClearBoot(context.Background(), "n1"))
	s.told()
	b := c.boot(t, askUEFI...)
	require.Nil(t, b.get(67))
	require.Equal(t, a.yi, b.yi, "who holds a lease keeps it, with nothing to boot")
	require.Empty(t, s.told())
	c.now = c.now.Add(2 * time.Hour)
	require.Nil(t, c.boot(t, askUEFI...), "until it ends")
	got, err = dhcp.Addresses(context.Background(), s, "n1")
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestPortMovesToAnotherNode(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := newSite(t, func(c *dhcp.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	s.set(t, "n1", aBoot(), port1)
	other := aBoot()
	other.IPv4.Script = "http://192.0.2.1/other"
	s.set(t, "n2", other, port1)
	require.Contains(t, log.String(), "n2")
	require.NoError(t, s.ClearBoot(context.Background(), "n1"))
	require.Equal(t, "http://192.0.2.1/other", string(s.client(mac1...).boot(t, askIPXE...).get(67)))
	require.Equal(t, "n2", s.told()[0].Node)
}

func TestReserve(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	require.NoError(t, s.Reserve(port1, addr1, addr6))
	a := s.client(mac1...).boot(t, askUEFI...)
	require.Equal(t, addr1, a.yi)
	require.Nil(t, a.get(67), "there is nothing to boot")

	require.ErrorIs(t, s.Reserve("52:54:00:77:00:02", addr1), task.ErrExists)
	err := s.Reserve("52:54:00:77:00:02", netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("192.0.2.255"), netip.MustParseAddr("192.0.2.254"))
	require.ErrorIs(t, err, task.ErrInvalidParameter)
	require.Len(t, task.Problems(err), 3)
	require.ErrorIs(t, s.Reserve("nobody", addr1), task.ErrInvalidParameter)

	require.NoError(t, s.Reserve(port1))
	require.Nil(t, s.client(mac1...).boot(t, askUEFI...), "taken back")
	require.NoError(t, s.Reserve("52:54:00:77:00:02", addr1))
	n, _ := s.Kept()
	require.Equal(t, 1, n)
}

func TestNoAddressForIt(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *dhcp.Config) { c.Subnets[0].First, c.Subnets[0].Last = netip.Addr{}, netip.Addr{} })
	s.set(t, "n1", aBoot(), port1)
	c := s.client(mac1...)
	require.Nil(t, c.ask(t, discover, netip.Addr{}, askUEFI...))
	require.Equal(t, "uefi x86_64 by tftp asks, and has no reserved address in 192.0.2.0/24", s.told()[0].Detail)
	p := &packet4{op: 1, htype: 1, hlen: 6, chaddr: mac1, options: append([]option{{53, []byte{discover}}}, askUEFI...)}
	reply, _ := s.Handle4(p.bytes(), netip.MustParseAddrPort("0.0.0.0:68"), netip.MustParseAddr("198.51.100.1"), false, c.now)
	require.Nil(t, reply)
	require.Equal(t, "uefi x86_64 by tftp asks from a network that is not served", s.told()[0].Detail)

	six, err := parse6("type 1\noption 1 0001000131df50b0525400770001\noption 3 000000010000000000000000\n")
	require.NoError(t, err)
	reply, _ = s.Handle6(six.bytes(), from6, link6, c.now)
	require.Nil(t, reply)
	require.Equal(t, "a system asks over IPv6, and has no reserved address there", s.told()[0].Detail)
	reply, _ = s.Handle6(six.bytes(), netip.MustParseAddrPort("[2001:db8::9]:546"), link6, c.now)
	require.Nil(t, reply)
	require.Empty(t, s.told(), "not from a link of ours")
}

func TestReservedAddressOfThePool(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *dhcp.Config) { c.Unknown = new(dhcp.Boot) })
	first := s.client(2, 0, 0, 0, 0, 1).boot(t).yi
	require.NoError(t, s.Reserve(port1, first))
	require.Equal(t, first, s.client(mac1...).boot(t).yi, "a reservation goes before a lease")
	c := s.client(2, 0, 0, 0, 0, 1)
	n := c.ask(t, request, first)
	require.Equal(t, byte(nak), n.kind(), "who had it must leave it")
	require.NotEqual(t, first, c.boot(t).yi)
	for i := range byte(9) {
		if a := s.client(2, 0, 0, 0, 1, i).boot(t); a != nil {
			require.NotEqual(t, first, a.yi)
		}
	}
}

func TestLeases(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	all := []string{port1, "52:54:00:77:00:02", "52:54:00:77:00:03", "52:54:00:77:00:04", "52:54:00:77:00:05"}
	var clients []*client
	for i, port := range all {
		s.set(t, fmt.Sprint("n", i), aBoot(), port)
		clients = append(clients, s.client(0x52, 0x54, 0, 0x77, 0, byte(i+1)))
	}
	var given []netip.Addr
	for _, c := range clients[:4] {
		given = append(given, c.boot(t, askUEFI...).yi)
	}
	slices.SortFunc(given, netip.Addr.Compare)
	require.Equal(t, "[192.0.2.100 192.0.2.101 192.0.2.102 192.0.2.103]", fmt.Sprint(given))
	s.told()
	require.Nil(t, clients[4].boot(t, askUEFI...))
	seen := s.told()
	require.Len(t, seen, 1)
	require.True(t, seen[0].Failed)
	require.Contains(t, seen[0].Detail, "every address from 192.0.2.100 to 192.0.2.103 is in use")

	c := clients[0]
	own := c.boot(t).yi
	require.Equal(t, byte(ack), c.ask(t, request, own).kind(), "renew")
	require.Equal(t, byte(nak), c.ask(t, request, netip.Addr{}, addrOption(50, clients[1].boot(t).yi)).kind(), "another machine's")
	require.Equal(t, byte(nak), c.ask(t, request, netip.Addr{}, addrOption(50, netip.MustParseAddr("10.0.0.5"))).kind(), "of another network")

	require.Nil(t, c.ask(t, release, own, addrOption(54, netip.MustParseAddr("192.0.2.9"))), "to another server")
	require.Nil(t, clients[4].boot(t))
	require.Nil(t, clients[1].ask(t, release, own, addrOption(54, server)), "of another machine's")
	require.Nil(t, clients[4].boot(t))
	require.Nil(t, c.ask(t, release, own, addrOption(54, server)))
	require.Equal(t, own, clients[4].boot(t).yi, "what was given back is given again")
	require.Nil(t, c.boot(t))

	for _, c := range clients {
		c.now = c.now.Add(time.Hour + time.Second)
	}
	require.NotNil(t, c.boot(t), "leases end")
}

// A client renews at the server that gave the lease, from wherever it is, and
// rebinds on the link that it is on.
func TestMovedMachine(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *dhcp.Config) {
		c.Subnets = append(c.Subnets, dhcp.Subnet{Prefix: netip.MustParsePrefix("198.51.100.0/24")})
	})
	there := netip.MustParseAddr("198.51.100.50")
	require.NoError(t, s.Reserve(port1, addr1, there))
	p := &packet4{op: 1, htype: 1, hlen: 6, chaddr: mac1, ci: there, options: []option{{53, []byte{request}}}}
	for _, row := range []struct {
		from string
		want byte
		to   string
	}{
		{"198.51.100.50:68", ack, "198.51.100.50:68"},
		{"0.0.0.0:68", nak, "255.255.255.255:68"}, // by broadcast, on 192.0.2.0/24
	} {
		data, to := s.Handle4(p.bytes(), netip.MustParseAddrPort(row.from), server, false, time.Now())
		reply, err := read4(data)
		require.NoError(t, err)
		require.Equal(t, row.want, reply.kind())
		require.Equal(t, row.to, to.String())
	}
}

func TestServersOwnAddress(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *dhcp.Config) { c.Subnets[0].First, c.Subnets[0].Last = server, server })
	s.set(t, "n1", aBoot(), port1)
	require.Nil(t, s.client(mac1...).boot(t), "the only address of the pool is the server's")
	require.ErrorContains(t, s.Reserve(port1, server), "reserved for this server")
}

func TestDeclinedAddress(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *dhcp.Config) { c.Subnets[0].Last = c.Subnets[0].First })
	s.set(t, "n1", aBoot(), port1)
	c := s.client(mac1...)
	a := c.boot(t, askUEFI...)
	other := s.client(2, 0, 0, 0, 0, 2)
	require.Nil(t, other.ask(t, decline, netip.Addr{}, addrOption(50, a.yi), addrOption(54, server)), "a stranger declines")
	require.NotNil(t, c.boot(t), "and nothing happens")
	s.told()
	require.Nil(t, c.ask(t, decline, netip.Addr{}, addrOption(50, a.yi), addrOption(54, server)))
	require.Contains(t, s.told()[0].Detail, "found another machine that has its address 192.0.2.100")
	require.Nil(t, c.boot(t), "nobody gets it for now")
	c.now = c.now.Add(10*time.Minute + time.Second)
	require.Equal(t, a.yi, c.boot(t).yi)
}

func TestOtherServersOffer(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *dhcp.Config) { c.Subnets[0].Last = c.Subnets[0].First })
	s.set(t, "n1", aBoot(), port1)
	s.set(t, "n2", aBoot(), "52:54:00:77:00:02")
	c, second := s.client(mac1...), s.client(0x52, 0x54, 0, 0x77, 0, 2)
	require.NotNil(t, c.ask(t, discover, netip.Addr{}))
	require.Nil(t, second.ask(t, discover, netip.Addr{}))
	s.told()
	require.Nil(t, c.ask(t, request, netip.Addr{}, addrOption(50, netip.MustParseAddr("192.0.2.200")), addrOption(54, netip.MustParseAddr("192.0.2.3"))))
	seen := s.told()
	require.True(t, seen[0].Failed)
	require.Equal(t, "took the offer of the DHCP server 192.0.2.3", seen[0].Detail)
	require.NotNil(t, second.ask(t, discover, netip.Addr{}), "the offer is free again")
}

func TestRestartKeepsAddresses(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.set(t, "n1", aBoot(), port1)
	had := s.client(mac1...).boot(t, askUEFI...).yi

	s = newSite(t)
	c := s.client(mac1...)
	require.Nil(t, c.ask(t, request, had), "nobody knows it yet")
	s.set(t, "n1", aBoot(), port1)
	require.Equal(t, byte(ack), c.ask(t, request, had).kind(), "renewed, though nothing is known of the lease")
	s = newSite(t)
	s.set(t, "n1", aBoot(), port1)
	require.Equal(t, had, s.client(mac1...).boot(t, askUEFI...).yi, "chosen by who it is")
	require.Nil(t, s.client(0x52, 0x54, 0, 0x77, 0, 2).ask(t, request, had), "a stranger")
}

// A flood of made up machines takes what the pool has, and nothing else.
func TestFlood(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := newSite(t, func(c *dhcp.Config) {
		c.Unknown = new(dhcp.Boot)
		c.Subnets[0].Last = netip.MustParseAddr("192.0.2.199")
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	answered := 0
	for i := range 20000 {
		c := s.client(2, 0, 0, byte(i>>16), byte(i>>8), byte(i))
		if c.ask(t, discover, netip.Addr{}) != nil {
			answered++
		}
	}
	require.Equal(t, 100, answered)
	machines, leases := s.Kept()
	require.Zero(t, machines)
	require.Equal(t, 100, leases)
	require.Equal(t, 1, strings.Count(log.String(), "is in use"), "told, once: %s", log.String())

	s.set(t, "n1", aBoot(), port1)
	require.NotNil(t, s.client(mac1...).boot(t, askUEFI...), "a machine that somebody named goes before offers to others")
}

func TestLoop(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := newSite(t, func(c *dhcp.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	s.set(t, "n1", aBoot(), port1)
	c := s.client(mac1...)
	round := func(who []option) string {
		c.now = c.now.Add(15 * time.Second)
		require.NotNil(t, c.boot(t, who...))
		seen := s.told()
		last := seen[len(seen)-1]
		require.Equal(t, strings.Contains(last.Detail, "times in"), last.Failed)
		return last.Detail
	}
	for range 3 {
		require.NotContains(t, round(askUEFI), "times in")
	}
	require.Contains(t, round(askUEFI), "asked for its loader 4 times in 45s: the loader does not start, or DHCP cannot tell that it is iPXE; uefi x86_64 by tftp: given")
	require.Contains(t, round(askUEFI), "4 times")
	require.Equal(t, 1, strings.Count(log.String(), "4 times"), "logged once a minute")
	require.NotContains(t, round(askIPXE), "times in", "iPXE itself got on")
	require.Contains(t, round(askUEFI), "it came back as iPXE in between")

	c.now = c.now.Add(5 * time.Minute)
	require.NotContains(t, round(askUEFI), "times in", "it has been quiet")
	for range 2 {
		round(askUEFI)
	}
	s.set(t, "n1", aBoot(), port1)
	require.NotContains(t, round(askUEFI), "times in", "it is to boot anew")
}

// What a client repeats of one attempt is no loop.
func TestRetransmissionsAreNoLoop(t *testing.T) {
	t.Parallel()
	for _, mode := range []dhcp.Mode{dhcp.Full, dhcp.Proxy} {
		s := newSite(t, func(c *dhcp.Config) { c.Mode = mode })
		s.set(t, "n1", aBoot(), port1)
		c := s.client(mac1...)
		for range 10 {
			o := c.ask(t, discover, netip.Addr{}, askUEFI...)
			require.NotNil(t, o)
			c.ask(t, request, netip.Addr{}, append(askUEFI, addrOption(50, o.yi), addrOption(54, server))...)
		}
		for _, e := range s.told() {
			require.False(t, e.Failed, e.Detail)
		}
	}
}

// Whatever machines do, no two have one address at the same time.
func TestNoAddressTwice(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *dhcp.Config) { c.Unknown = new(dhcp.Boot) })
	type holding struct {
		who   int
		until time.Time
	}
	held := map[netip.Addr]holding{}
	rnd := rand.New(rand.NewPCG(1, 2))
	now := time.Now()
	last := map[int]netip.Addr{} // what each was offered or given last
	take := func(i int, a *packet4) {
		if a == nil || a.kind() != ack {
			return
		}
		h, ok := held[a.yi]
		require.True(t, !ok || h.who == i || !now.Before(h.until), "%s is %d's", a.yi, h.who)
		held[a.yi], last[i] = holding{i, now.Add(time.Hour)}, a.yi
	}
	for range 20000 {
		i := rnd.IntN(10)
		c := s.client(2, 0, 0, 0, 0, byte(i))
		c.now, c.xid = now, rnd.Uint32()
		switch rnd.IntN(8) {
		case 0, 1:
			if o := c.ask(t, discover, netip.Addr{}); o != nil {
				last[i] = o.yi
			}
		case 2, 3:
			take(i, c.ask(t, request, netip.Addr{}, addrOption(50, netip.AddrFrom4([4]byte{192, 0, 2, 100 + byte(rnd.IntN(6))}))))
		case 4:
			if last[i].IsValid() {
				take(i, c.ask(t, request, last[i]))
			}
		case 5:
			if last[i].IsValid() {
				c.ask(t, release, last[i])
				if held[last[i]].who == i {
					delete(held, last[i])
				}
			}
		case 6:
			now = now.Add(time.Duration(rnd.IntN(90)) * time.Second)
		case 7:
			if rnd.IntN(50) == 0 {
				now = now.Add(time.Hour)
			}
		}
		_, leases := s.Kept()
		require.LessOrEqual(t, leases, 4)
	}
}

func TestNewResponderReportsEverything(t *testing.T) {
	t.Parallel()
	prefix := netip.MustParsePrefix
	addr := netip.MustParseAddr
	_, err := dhcp.NewResponder(dhcp.Config{
		Mode: 7, Lease: time.Second, DUID: []byte{1}, Unknown: &dhcp.Boot{Firmware: "x"},
		Subnets: []dhcp.Subnet{
			{Prefix: prefix("192.0.2.1/24")},
			{Prefix: prefix("198.51.100.0/24"), First: addr("198.51.100.9"), Last: addr("198.51.100.8"), Router: addr("192.0.2.1"), DNS: make([]netip.Addr, 9)},
			{Prefix: prefix("198.51.100.0/25")},
			{Prefix: prefix("2001:db8::/64"), First: addr("2001:db8::1"), Last: addr("2001:db8::2"), DNS: []netip.Addr{addr("192.0.2.1")}},
			{Prefix: prefix("10.0.0.0/8"), First: addr("10.0.0.1"), Last: addr("10.1.0.1")},
		},
	})
	require.ErrorIs(t, err, task.ErrInvalidParameter)
	for _, want := range []string{"Mode(7)", "Config.Lease", "Config.DUID", "boot.Check"[5:], "Subnets[0]", "range 198.51.100.9", "the router 192.0.2.1", "9 name servers", "overlaps", "a range of IPv6", "the name server 192.0.2.1", "more than 65536 addresses"} {
		require.ErrorContains(t, err, want)
	}
	_, err = dhcp.NewResponder(dhcp.Config{})
	require.ErrorContains(t, err, "Config.Subnets")
	_, err = dhcp.NewResponder(dhcp.Config{Mode: dhcp.Proxy})
	require.NoError(t, err)
}

package dhcp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/task"
)

// DnsmasqConfig says how a [Dnsmasq] works. HostsDir and OptsDir are required.
type DnsmasqConfig struct {
	// HostsDir and OptsDir are existing directories that dnsmasq watches as
	// dhcp-hostsdir and dhcp-optsdir. Other files in them are left alone.
	HostsDir, OptsDir string

	// LeaseFile is dnsmasq's dhcp-leasefile. Empty: no addresses are known.
	LeaseFile string

	// Ignore makes dnsmasq ignore machines altogether that have nothing to boot
	// any more. Otherwise they get an address as every machine of the site does.
	Ignore bool

	// Logger is told of ports that change from node to node; nil discards.
	Logger *slog.Logger
}

// Dnsmasq is the [Provider] of a site whose DHCP server is dnsmasq; it is tried
// with 2.90. It writes a file of options for each node and a file for each port,
// which dnsmasq reads as they appear; [Dnsmasq.Conf] is what its configuration
// needs beside. Ranges of addresses stay the site's. Use [NewDnsmasq].
//
// Every change has a tag of its own, for dnsmasq keeps options that it has read
// until it is restarted or gets SIGHUP, and so has the files renamed into their
// places, options before ports. A process that dies in between leaves the node
// with what it was told before, or with nothing to boot. dnsmasq reads changes
// within milliseconds, after SetBoot has returned. For each node that is cleared
// it logs that a file of options is gone.
//
// What it cannot do is refused: dnsmasq has no way to write the vendor class
// that UEFI HTTP boot wants over IPv6. A wrong boot mode or architecture in the
// node's data is not noticed, as dnsmasq tells nobody what a client said.
type Dnsmasq struct {
	cfg  DnsmasqConfig
	slot chan struct{} // held by the one call that changes files
}

var (
	_ Provider  = (*Dnsmasq)(nil)
	_ Addresser = (*Dnsmasq)(nil)
)

// NewDnsmasq returns a Dnsmasq. The error reports everything that is wrong with c.
func NewDnsmasq(c DnsmasqConfig) (*Dnsmasq, error) {
	const op = "dhcp.NewDnsmasq"
	var errs []error
	for _, d := range []struct{ field, dir string }{{"HostsDir", c.HostsDir}, {"OptsDir", c.OptsDir}} {
		if err := checkDir(d.dir); err != nil {
			errs = append(errs, &task.Error{Op: op, Field: "DnsmasqConfig." + d.field, Err: err, Remedy: "create a directory that dnsmasq can read, and give its absolute path"})
		}
	}
	if c.HostsDir != "" && filepath.Clean(c.HostsDir) == filepath.Clean(c.OptsDir) {
		errs = append(errs, &task.Error{Op: op, Field: "DnsmasqConfig.OptsDir", Err: fmt.Errorf("%w: the same as HostsDir", task.ErrInvalidParameter), Remedy: "use two directories"})
	}
	if err := task.Join(errs...); err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	for _, dir := range []string{c.HostsDir, c.OptsDir} {
		if err := sweep(dir); err != nil {
			return nil, &task.Error{Op: op, Field: dir, Err: err, Remedy: "give this process the right to write there"}
		}
	}
	return &Dnsmasq{cfg: c, slot: make(chan struct{}, 1)}, nil
}

// CheckBoot returns what [Boot.Check] finds, and that dnsmasq cannot tell
// loaders for UEFI HTTP boot over IPv6.
func (d *Dnsmasq) CheckBoot(b Boot) error {
	errs := []error{b.Check()}
	for _, c := range b.IPv6.sorted() {
		if c.Transport == HTTP {
			errs = append(errs, &task.Error{Op: "dhcp.Dnsmasq.CheckBoot", Field: "IPv6.Loaders[" + c.String() + "]", Err: task.ErrUnsupported,
				Remedy: "leave the loader out, boot over IPv4, or use the Responder"})
		}
	}
	return task.Join(errs...)
}

// SetBoot implements [Provider].
func (d *Dnsmasq) SetBoot(ctx context.Context, t *task.Task, b Boot) error {
	const op = "dhcp.SetBoot"
	wrong := d.CheckBoot(b)
	if !safeName(t.Node.UUID) {
		wrong = task.Join(wrong, &task.Error{Op: op, Node: t.Node.String(), Field: "uuid", Err: fmt.Errorf("%w: %q is no name of a file", task.ErrInvalidParameter, t.Node.UUID)})
	}
	ports, err := bootPorts(op, t, wrong)
	if err != nil {
		return err
	}
	fail := func(err error) error { return &task.Error{Op: op, Node: t.Node.String(), Err: err} }
	release, err := d.acquire(ctx)
	if err != nil {
		return fail(err)
	}
	defer release()

	node := t.Node.UUID
	now := make([]dnsmasqPort, len(ports))
	for i, p := range ports {
		now[i] = dnsmasqPort{mac: p.Address, clientID: clientIDText(p.ClientID())}
	}
	before, err := d.portsOf(node)
	if err != nil {
		return fail(err)
	}
	gone := slices.DeleteFunc(before, func(p dnsmasqPort) bool {
		return slices.ContainsFunc(now, func(n dnsmasqPort) bool { return n.mac == p.mac })
	})
	tag := tagPrefix + strings.ToLower(rand.Text())
	if err := replace(d.optsFile(node), optsText(node, tag, append(slices.Clone(now), gone...), &b)); err != nil {
		return fail(err)
	}
	for _, p := range now {
		if owner, err := ownerOf(d.hostFile(p.mac)); err == nil && owner != "" && owner != node {
			d.cfg.Logger.Warn("a port's boot is set for another node now", "mac", p.mac, "node", node, "before", owner)
		}
		if err := replace(d.hostFile(p.mac), p.text(node, "set:"+tagPrefix+"boot,set:"+tag)); err != nil {
			return fail(err)
		}
	}
	if err := d.clearPorts(node, gone); err != nil {
		return fail(err)
	}
	return nil
}

// ClearBoot implements [Provider].
func (d *Dnsmasq) ClearBoot(ctx context.Context, node string) error {
	if !safeName(node) {
		return nil // SetBoot never accepted it
	}
	fail := func(err error) error { return &task.Error{Op: "dhcp.ClearBoot", Node: node, Err: err} }
	release, err := d.acquire(ctx)
	if err != nil {
		return fail(err)
	}
	defer release()
	ports, err := d.portsOf(node)
	if err == nil {
		err = d.clearPorts(node, ports)
	}
	if err == nil {
		err = remove(d.optsFile(node)) // last: it says which ports are to be cleared
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

// clearPorts makes dnsmasq forget what it read of ports. Removing their files
// would not: it is what it reads next about a port that counts.
func (d *Dnsmasq) clearPorts(node string, ports []dnsmasqPort) error {
	rest := "set:" + tagPrefix + "idle"
	if d.cfg.Ignore {
		rest = "ignore"
	}
	for _, p := range ports {
		owner, err := ownerOf(d.hostFile(p.mac))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if owner != node { // another node's by now, or nobody's
			continue
		}
		if err := replace(d.hostFile(p.mac), p.text("", rest)); err != nil {
			return err
		}
	}
	return nil
}

// Addresses implements [Addresser], from dnsmasq's lease file. IPv6 addresses
// are found only for clients whose identifier has their MAC address.
func (d *Dnsmasq) Addresses(_ context.Context, node string) ([]netip.Addr, error) {
	fail := func(err error) ([]netip.Addr, error) {
		return nil, &task.Error{Op: "dhcp.Addresses", Node: node, Err: err}
	}
	if d.cfg.LeaseFile == "" {
		return fail(fmt.Errorf("%w: no lease file is configured", task.ErrUnsupported))
	}
	if !safeName(node) {
		return nil, nil
	}
	ports, err := d.portsOf(node)
	if err != nil || len(ports) == 0 {
		return nil, err
	}
	all, err := leasesOf(d.cfg.LeaseFile, ports)
	if err != nil {
		return fail(err)
	}
	return all, nil
}

func (d *Dnsmasq) acquire(ctx context.Context) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case d.slot <- struct{}{}:
		return func() { <-d.slot }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

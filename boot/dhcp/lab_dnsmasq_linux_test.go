package dhcp_test

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/task"
)

// publicDir is a directory that every user can read: dnsmasq is not root.
func publicDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ferrule-dnsmasq-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}

// aDnsmasq is a provider, and the dnsmasq that reads what it writes.
type aDnsmasq struct {
	*dnsmasqDirs
	start func() (stop func() *os.ProcessState)
}

func runDnsmasq(t *testing.T, ns string, change ...func(*dhcp.DnsmasqConfig)) *aDnsmasq {
	t.Helper()
	dir := publicDir(t)
	d := newDnsmasq(t, append(change, func(c *dhcp.DnsmasqConfig) {
		c.HostsDir, c.OptsDir, c.LeaseFile = filepath.Join(dir, "hosts"), filepath.Join(dir, "opts"), filepath.Join(dir, "leases")
		require.NoError(t, os.Mkdir(c.HostsDir, 0o755))
		require.NoError(t, os.Mkdir(c.OptsDir, 0o755))
	})...)
	conf := filepath.Join(dir, "dnsmasq.conf")
	require.NoError(t, os.WriteFile(conf, []byte(d.Conf()), 0o644))
	require.NoError(t, os.WriteFile(d.cfg.LeaseFile, nil, 0o666))
	require.NoError(t, os.Chmod(d.cfg.LeaseFile, 0o666))
	a := &aDnsmasq{dnsmasqDirs: d, start: func() func() *os.ProcessState {
		return daemon(t, ns, nil, "dnsmasq", "--keep-in-foreground", "--log-facility=-", "--log-dhcp", "--conf-file="+conf, "--user=nobody", "--group=nogroup",
			"--port=0", "--interface=srv0", "--bind-interfaces", "--except-interface=lo", "--no-ping", "--dhcp-authoritative",
			"--dhcp-leasefile="+d.cfg.LeaseFile, "--dhcp-range=10.99.0.100,10.99.0.150,255.255.0.0,10m", "--dhcp-range=fd99::100,fd99::1ff,64,10m", "--pid-file=")
	}}
	return a
}

func TestLabDnsmasq(t *testing.T) {
	lab(t, "dnsmasq")
	ctx := context.Background()
	here, there := namespace(t), namespace(t)
	wire(t, here, "srv0", there, "nic0", "10.99.0.1/16", "fd99::1/64")
	d := runDnsmasq(t, here)
	stop := d.start()
	m := newMachine(t, there, "nic0")
	nothing4 := func(p *packet4) bool { return p.bootFile() == "" && p.get(150) == nil && !p.yi.IsUnspecified() }
	nothing6 := func(p *packet6) bool { return p.bootFile() == "" }
	pxe, http, arm := "PXEClient:Arch:00007:UNDI:003000", "HTTPClient:Arch:00016:UNDI:003000", "PXEClient:Arch:00011:UNDI:003000"

	m.ask4(askAs(discover, 7, pxe), nothing4)
	b := dnsmasqBoot()
	require.NoError(t, d.SetBoot(ctx, aTask("n1", port1), b))
	o := m.ask4(askAs(discover, 7, pxe), file4("snponly.efi"))
	require.Equal(t, "192.0.2.2", o.si.String())
	require.Equal(t, []byte{192, 0, 2, 2}, o.get(150))
	require.Equal(t, "192.0.2.2", string(o.get(66)[:9]))
	m.ask4(askAs(discover, 0, "PXEClient:Arch:00000:UNDI:002001"), file4("undionly.kpxe"))
	m.ask4(askAs(discover, 9, pxe), file4("snponly.efi"))
	m.ask4(askAs(discover, 11, arm), file4("arm64/snponly.efi"))
	o = m.ask4(askAs(discover, 16, http), file4("http://192.0.2.1:8080/snponly.efi"))
	require.Equal(t, "HTTPClient", string(o.get(60)), "in the offer of HTTP boot")
	require.NotEqual(t, "192.0.2.2", o.si.String())
	o = m.ask4(askAs(discover, 7, pxe, userIPXE), file4(script))
	require.Equal(t, []byte{176, 1, 1}, o.get(175)[:3])
	m.ask4(askAs(discover, 7, pxe, option{175, []byte{33, 1, 1}}), file4(script))
	m.ask4(askAs(discover, 6, pxe), nothing4)
	m.ask6(solicit(7), file6("tftp://[2001:db8::2]/snponly.efi"))
	m.ask6(solicit(7, option{15, []byte("\x00\x04iPXE")}), file6("http://[2001:db8::1]:8080/boot.ipxe"))
	m.ask6(solicit(11), nothing6)

	o = m.ask4(askAs(discover, 7, pxe), file4("snponly.efi"))
	m.ask4(askAs(request, 7, pxe, addrOption(50, o.yi), option{54, o.get(54)}), func(p *packet4) bool { return p.kind() == ack })
	require.Eventually(t, func() bool {
		got, err := d.Addresses(ctx, "n1")
		return err == nil && len(got) == 1 && got[0] == o.yi
	}, patience, 10*time.Millisecond, "the lease file")

	// An update leaves nothing of what it replaces.
	require.NoError(t, d.SetBoot(ctx, aTask("n1", port1), dhcp.Boot{IPv4: dhcp.Files{Loaders: map[dhcp.Client]string{uefi: "tftp://192.0.2.3/grub,x64.efi"}}}))
	o = m.ask4(askAs(discover, 7, pxe), file4("grub,x64.efi"))
	require.Equal(t, "192.0.2.3", o.si.String())
	m.ask4(askAs(discover, 7, pxe, userIPXE), file4("grub,x64.efi"))
	m.ask4(askAs(discover, 16, http), nothing4)
	m.ask4(askAs(discover, 0, pxe), nothing4)
	m.ask6(solicit(7), nothing6)

	// A restart reads it anew, and what a port no longer boots as well.
	stop()
	stop = d.start()
	m.ask4(askAs(discover, 7, pxe), file4("grub,x64.efi"))
	require.NoError(t, d.ClearBoot(ctx, "n1"))
	m.ask4(askAs(discover, 7, pxe), nothing4)
	stop()
	d.start()
	m.ask4(askAs(discover, 7, pxe), nothing4)

	// InfiniBand, by the client identifier.
	ib := aTask("n2", "52:54:00:77:00:09")
	ib.Ports[0].Extra = task.Info{"client-id": "ff:00:00:00:00:00:02:00:00:02:c9:00:52:54:00:03:00:77:00:09"}
	require.NoError(t, d.SetBoot(ctx, ib, b))
	id := []byte{0xff, 0, 0, 0, 0, 0, 2, 0, 0, 2, 0xc9, 0, 0x52, 0x54, 0, 3, 0, 0x77, 0, 9}
	p := askAs(discover, 7, pxe, option{61, id})
	p.htype = 32
	m.ask4(p, file4("snponly.efi"))
}

func TestLabDnsmasqIgnore(t *testing.T) {
	lab(t, "dnsmasq")
	ctx := context.Background()
	here, there := namespace(t), namespace(t)
	wire(t, here, "srv0", there, "nic0", "10.99.0.1/16", "fd99::1/64")
	d := runDnsmasq(t, here, func(c *dhcp.DnsmasqConfig) { c.Ignore = true })
	d.start()
	m := newMachine(t, there, "nic0")
	pxe := askAs(discover, 7, "PXEClient:Arch:00007:UNDI:003000")
	require.NoError(t, d.SetBoot(ctx, aTask("n1", port1), dnsmasqBoot()))
	m.ask4(pxe, file4("snponly.efi"))
	require.NoError(t, d.ClearBoot(ctx, "n1"))
	require.Eventually(t, func() bool { return m.silent(pxe) }, patience, 10*time.Millisecond, "ignored")
	other := pxe
	other.htype, other.hlen, other.chaddr = 1, 6, []byte{2, 0, 0, 0, 0, 9}
	m.ask4(other, func(p *packet4) bool { return netip.MustParsePrefix("10.99.0.0/16").Contains(p.yi) })
	require.NoError(t, d.SetBoot(ctx, aTask("n1", port1), dnsmasqBoot()))
	m.ask4(pxe, file4("snponly.efi"))
}

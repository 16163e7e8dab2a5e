package dhcp_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/task"
)

type dnsmasqDirs struct {
	*dhcp.Dnsmasq
	cfg dhcp.DnsmasqConfig
}

func newDnsmasq(t testing.TB, change ...func(*dhcp.DnsmasqConfig)) *dnsmasqDirs {
	t.Helper()
	dir := t.TempDir()
	c := dhcp.DnsmasqConfig{HostsDir: filepath.Join(dir, "hosts"), OptsDir: filepath.Join(dir, "opts"), LeaseFile: filepath.Join(dir, "leases")}
	require.NoError(t, os.Mkdir(c.HostsDir, 0o755))
	require.NoError(t, os.Mkdir(c.OptsDir, 0o755))
	for _, f := range change {
		f(&c)
	}
	d, err := dhcp.NewDnsmasq(c)
	require.NoError(t, err)
	return &dnsmasqDirs{d, c}
}

// files returns the content of all files by name, without the tag of the change.
func (d *dnsmasqDirs) files(t testing.TB) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, dir := range []string{d.cfg.HostsDir, d.cfg.OptsDir} {
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, e := range entries {
			data, err := os.ReadFile(filepath.Join(dir, e.Name()))
			require.NoError(t, err)
			all[filepath.Base(dir)+"/"+e.Name()] = string(data)
		}
	}
	return all
}

func tagOf(t testing.TB, host string) string {
	t.Helper()
	_, tag, ok := strings.Cut(strings.TrimSpace(host), ",set:ferrule-boot,set:")
	require.True(t, ok, host)
	return tag
}

func dnsmasqBoot() dhcp.Boot {
	b := aBoot()
	delete(b.IPv6.Loaders, uefiHTTP)
	return b
}

func TestDnsmasqFiles(t *testing.T) {
	t.Parallel()
	d := newDnsmasq(t)
	ctx := context.Background()
	ib := aTask("n1", port1, "52:54:00:77:00:02")
	ib.Ports[1].Extra = task.Info{"client-id": "FF:00:00:01"}
	require.NoError(t, d.SetBoot(ctx, ib, dnsmasqBoot()))

	files := d.files(t)
	host := files["hosts/ferrule-52-54-00-77-00-01.conf"]
	tag := tagOf(t, host)
	require.Equal(t, "# node n1\n52:54:00:77:00:01,set:ferrule-boot,set:"+tag+"\n", host)
	require.Equal(t, "# node n1\nid:ff:00:00:01,set:ferrule-boot,set:"+tag+"\n", files["hosts/ferrule-52-54-00-77-00-02.conf"])
	want := `# node n1
# port 52:54:00:77:00:01
# port 52:54:00:77:00:02 ff:00:00:01
tag:TAG,tag:ferrule-bios-x86_64-tftp,tag:!ferrule-ipxe,option:bootfile-name,undionly.kpxe
tag:TAG,tag:ferrule-bios-x86_64-tftp,tag:!ferrule-ipxe,option:tftp-server,192.0.2.2
tag:TAG,tag:ferrule-bios-x86_64-tftp,tag:!ferrule-ipxe,150,192.0.2.2
tag:TAG,tag:ferrule-bios-x86_64-tftp,tag:!ferrule-ipxe,option:server-ip-address,192.0.2.2
tag:TAG,tag:ferrule-uefi-aarch64-http,tag:!ferrule-ipxe,option:bootfile-name,http://192.0.2.1:8080/arm64/snponly.efi
`
	opts := strings.ReplaceAll(files["opts/ferrule-n1.conf"], tag, "TAG")
	require.True(t, strings.HasPrefix(opts, want), opts)
	for _, line := range []string{
		"tag:TAG,tag:ferrule-ipxe,option:bootfile-name,http://192.0.2.1:8080/boot.ipxe",
		"tag:TAG,tag:ferrule-uefi-x86_64-tftp,tag:!ferrule-ipxe,option6:bootfile-url,tftp://[2001:db8::2]/snponly.efi",
		"tag:TAG,tag:ferrule-ipxe,option6:bootfile-url,http://[2001:db8::1]:8080/boot.ipxe",
	} {
		require.Contains(t, opts, line+"\n")
	}
	info, err := os.Stat(filepath.Join(d.cfg.OptsDir, "ferrule-n1.conf"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o644), info.Mode().Perm(), "dnsmasq is another user")

	require.NoError(t, d.SetBoot(ctx, aTask("n1", port1), dhcp.Boot{IPv4: dhcp.Files{Loaders: map[dhcp.Client]string{uefi: "tftp://192.0.2.2/grub.efi"}}}))
	files = d.files(t)
	require.NotEqual(t, tag, tagOf(t, files["hosts/ferrule-52-54-00-77-00-01.conf"]), "a tag of its own for each change")
	require.Contains(t, files["opts/ferrule-n1.conf"], "tag:ferrule-uefi-x86_64-tftp,option:bootfile-name,grub.efi\n", "iPXE too gets the loader where there is no script")
	require.Equal(t, "# node \nid:ff:00:00:01,set:ferrule-idle\n", files["hosts/ferrule-52-54-00-77-00-02.conf"], "the port that is gone")

	require.NoError(t, d.ClearBoot(ctx, "n1"))
	require.Equal(t, map[string]string{
		"hosts/ferrule-52-54-00-77-00-01.conf": "# node \n52:54:00:77:00:01,set:ferrule-idle\n",
		"hosts/ferrule-52-54-00-77-00-02.conf": "# node \nid:ff:00:00:01,set:ferrule-idle\n",
	}, d.files(t))
}

func TestDnsmasqConf(t *testing.T) {
	t.Parallel()
	d := newDnsmasq(t)
	for _, line := range []string{
		"dhcp-hostsdir=" + d.cfg.HostsDir, "dhcp-optsdir=" + d.cfg.OptsDir,
		"dhcp-match=set:ferrule-bios-x86_64-tftp,option:client-arch,0",
		"dhcp-match=set:ferrule-uefi-x86_64-tftp,option:client-arch,7",
		"dhcp-match=set:ferrule-uefi-x86_64-tftp,option:client-arch,9",
		"dhcp-match=set:ferrule-uefi-x86_64-http,option6:61,00:10",
		"dhcp-userclass=set:ferrule-ipxe,iPXE", "dhcp-match=set:ferrule-ipxe,175",
		"dhcp-vendorclass=set:ferrule-http,HTTPClient", "dhcp-option-force=tag:ferrule-http,60,HTTPClient",
		"dhcp-option-force=tag:ferrule-ipxe,encap:175,176,1b",
	} {
		require.Contains(t, strings.Split(d.Conf(), "\n"), line)
	}
}

func TestDnsmasqDirectoryGone(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDnsmasq(t)
	require.NoError(t, os.Remove(d.cfg.HostsDir))
	err := d.SetBoot(ctx, aTask("n1", port1), dnsmasqBoot())
	var e *task.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "n1", e.Node)
	require.NoError(t, d.ClearBoot(ctx, "n1"), "what was begun is undone")
	require.NoError(t, os.Mkdir(d.cfg.HostsDir, 0o755))
	require.Empty(t, d.files(t))
	require.NoError(t, os.WriteFile(filepath.Join(d.cfg.OptsDir, "ferrule-n1.conf"), []byte("# port "+port1+"\n"), 0o600))
	require.NoError(t, os.Mkdir(d.hostFile(), 0o700))
	require.ErrorAs(t, d.ClearBoot(ctx, "n1"), &e)
	require.NoError(t, os.Remove(d.hostFile()))
	require.NoError(t, os.Mkdir(d.cfg.LeaseFile, 0o700))
	_, err = d.Addresses(ctx, "n1")
	require.ErrorAs(t, err, &e)
}

func (d *dnsmasqDirs) hostFile() string {
	return filepath.Join(d.cfg.HostsDir, "ferrule-52-54-00-77-00-01.conf")
}

func TestDnsmasqIgnore(t *testing.T) {
	t.Parallel()
	d := newDnsmasq(t, func(c *dhcp.DnsmasqConfig) { c.Ignore = true })
	require.NoError(t, d.SetBoot(context.Background(), aTask("n1", port1), dnsmasqBoot()))
	require.NoError(t, d.ClearBoot(context.Background(), "n1"))
	require.Equal(t, map[string]string{"hosts/ferrule-52-54-00-77-00-01.conf": "# node \n52:54:00:77:00:01,ignore\n"}, d.files(t))
}

// A process may die between any two files: what is there then is repaired by the
// next call, whichever it is.
func TestDnsmasqCrash(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, row := range []struct {
		name string
		undo func(d *dnsmasqDirs, before map[string]string)
	}{
		{"before the ports", func(d *dnsmasqDirs, before map[string]string) {
			for name, content := range before {
				if strings.HasPrefix(name, "hosts/") {
					os.WriteFile(filepath.Join(d.cfg.HostsDir, "../", name), []byte(content), 0o644)
				}
			}
		}},
		{"between two ports", func(d *dnsmasqDirs, before map[string]string) {
			os.Remove(filepath.Join(d.cfg.HostsDir, "ferrule-52-54-00-77-00-03.conf"))
		}},
		{"in the middle of a file", func(d *dnsmasqDirs, before map[string]string) {
			half := filepath.Join(d.cfg.OptsDir, ".ferrule-n1.conf.123")
			os.WriteFile(half, []byte("# node n"), 0o600)
			old := time.Now().Add(-time.Hour)
			os.Chtimes(half, old, old)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := newDnsmasq(t)
			require.NoError(t, d.SetBoot(ctx, aTask("n1", port1, "52:54:00:77:00:02"), dnsmasqBoot()))
			before := d.files(t)
			require.NoError(t, d.SetBoot(ctx, aTask("n1", port1, "52:54:00:77:00:03"), dnsmasqBoot()))
			row.undo(d, before)
			_, err := dhcp.NewDnsmasq(d.cfg) // sweeps
			require.NoError(t, err)
			require.NoError(t, d.ClearBoot(ctx, "n1"))
			for name, content := range d.files(t) {
				require.NotContains(t, content, "ferrule-boot", name)
				require.NotContains(t, name, "opts/")
			}

			require.NoError(t, d.SetBoot(ctx, aTask("n1", port1), dnsmasqBoot()))
			tagOf(t, d.files(t)["hosts/ferrule-52-54-00-77-00-01.conf"])
		})
	}
}

func TestDnsmasqPortMovesToAnotherNode(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDnsmasq(t)
	require.NoError(t, d.SetBoot(ctx, aTask("n1", port1), dnsmasqBoot()))
	require.NoError(t, d.SetBoot(ctx, aTask("n2", port1), dnsmasqBoot()))
	host := d.files(t)["hosts/ferrule-52-54-00-77-00-01.conf"]
	require.NoError(t, d.ClearBoot(ctx, "n1"))
	require.Equal(t, host, d.files(t)["hosts/ferrule-52-54-00-77-00-01.conf"])
	require.Contains(t, host, "# node n2\n")
}

func TestDnsmasqRefuses(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDnsmasq(t)
	require.ErrorIs(t, d.CheckBoot(aBoot()), task.ErrUnsupported, "HTTP boot over IPv6")
	require.ErrorIs(t, d.SetBoot(ctx, aTask("n1", port1), aBoot()), task.ErrUnsupported)
	require.ErrorIs(t, d.SetBoot(ctx, aTask("../n1", port1), dnsmasqBoot()), task.ErrInvalidParameter)
	require.NoError(t, d.ClearBoot(ctx, "../n1"))
	require.Empty(t, d.files(t))
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, d.SetBoot(canceled, aTask("n1", port1), dnsmasqBoot()), context.Canceled)
	require.ErrorIs(t, d.ClearBoot(canceled, "n1"), context.Canceled)
	require.Empty(t, d.files(t))

	_, err := dhcp.NewDnsmasq(dhcp.DnsmasqConfig{HostsDir: "relative", OptsDir: "/does/not/exist"})
	require.Len(t, task.Problems(err), 2)
	require.ErrorIs(t, err, task.ErrInvalidParameter)
	_, err = dhcp.NewDnsmasq(dhcp.DnsmasqConfig{})
	require.ErrorIs(t, err, task.ErrMissingParameter)
	_, err = dhcp.NewDnsmasq(dhcp.DnsmasqConfig{HostsDir: d.cfg.HostsDir, OptsDir: d.cfg.HostsDir + "/"})
	require.ErrorContains(t, err, "two directories")
}

func TestDnsmasqAddresses(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := newDnsmasq(t)
	got, err := d.Addresses(ctx, "n1")
	require.NoError(t, err)
	require.Empty(t, got)
	tk := aTask("n1", port1, "52:54:00:77:00:02")
	tk.Ports[1].Extra = task.Info{"client-id": "ff:00:01"}
	require.NoError(t, d.SetBoot(ctx, tk, dnsmasqBoot()))
	got, err = d.Addresses(ctx, "n1")
	require.NoError(t, err, "there is no lease file yet")
	require.Empty(t, got)
	leases := `4102444800 52:54:00:77:00:01 192.0.2.100 host 01:52:54:00:77:00:01
0 52:54:00:77:00:09 192.0.2.101 * *
1000000000 52:54:00:77:00:01 192.0.2.102 ended *
0 20- 192.0.2.103 * FF:00:01
garbage
duid 00:01:00:01:2a:2b:2c:2d:02:00:00:00:00:01
4102444800 1996488705 2001:db8::100 * 00:03:00:01:52:54:00:77:00:01
4102444800 1996488705 2001:db8::101 * 00:01:00:01:31:df:50:b0:52:54:00:77:00:01
4102444800 1996488705 2001:db8::102 * 00:04:00:11:22:33:44:55:66:77:88:99:52:54:00:77:00:01
4102444800 1996488705 2001:db8::103 * 00:03:00:01:52:54:00:77:00:09
`
	require.NoError(t, os.WriteFile(d.cfg.LeaseFile, []byte(leases), 0o600))
	got, err = dhcp.Addresses(ctx, d, "n1")
	require.NoError(t, err)
	texts := make([]string, len(got))
	for i, a := range got {
		texts[i] = a.String()
	}
	require.Equal(t, []string{"192.0.2.100", "192.0.2.103", "2001:db8::100", "2001:db8::101"}, texts)
}

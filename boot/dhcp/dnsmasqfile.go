package dhcp

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ferrule/ferrule/task"
	"github.com/insomniacslk/dhcp/iana"
)

// tagPrefix begins all tags and file names of ours.
const tagPrefix = "ferrule-"

const (
	ipxeTag = tagPrefix + "ipxe"
	httpTag = tagPrefix + "http"
)

func clientTag(c Client) string {
	return tagPrefix + string(c.Firmware) + "-" + string(c.Arch) + "-" + string(c.Transport)
}

// Conf returns the lines that dnsmasq's configuration must have, as a file for
// its conf-file: the two directories, and how clients are told apart. It needs
// a range of addresses beside them (dhcp-range), which is the site's. Two of the
// lines concern machines that are nobody's as well: every client of UEFI HTTP
// boot is sent the vendor class that it waits for, and every iPXE is told not to
// wait for a proxyDHCP server.
func (d *Dnsmasq) Conf() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("dhcp-hostsdir=%s", d.cfg.HostsDir)
	line("dhcp-optsdir=%s", d.cfg.OptsDir)
	numbers := make([]iana.Arch, 0, len(clients))
	for n := range clients {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		line("dhcp-match=set:%s,option:client-arch,%d", clientTag(clients[n]), n)
		line("dhcp-match=set:%s,option6:61,%02x:%02x", clientTag(clients[n]), uint16(n)>>8, uint16(n)&0xff)
	}
	line("dhcp-userclass=set:%s,iPXE", ipxeTag)
	line("dhcp-match=set:%s,175", ipxeTag)
	line("dhcp-vendorclass=set:%s,%s", httpTag, httpClient)
	line("dhcp-option-force=tag:%s,60,%s", httpTag, httpClient)
	line("dhcp-option-force=tag:%s,encap:175,176,1b", ipxeTag)
	return b.String()
}

// A dnsmasqPort is a port as its files name it.
type dnsmasqPort struct {
	mac      string
	clientID string // in hex with colons, "" for none
}

func clientIDText(s string) string {
	b, err := parseClientID(s)
	if err != nil {
		return ""
	}
	return colons(b)
}

func colons(b []byte) string {
	parts := make([]string, len(b))
	for i, c := range b {
		parts[i] = hex.EncodeToString([]byte{c})
	}
	return strings.Join(parts, ":")
}

const (
	nodeMark = "# node "
	portMark = "# port "
)

// text is the content of p's file. No address is in it: dnsmasq refuses to read
// a second time a host that has one.
func (p dnsmasqPort) text(node, rest string) string {
	who := p.mac
	if p.clientID != "" {
		who = "id:" + p.clientID
	}
	return nodeMark + node + "\n" + who + "," + rest + "\n"
}

// optsText is the content of a node's file of options.
func optsText(node, tag string, ports []dnsmasqPort, b *Boot) string {
	var w strings.Builder
	w.WriteString(nodeMark + node + "\n")
	for _, p := range ports {
		w.WriteString(strings.TrimSpace(portMark+p.mac+" "+p.clientID) + "\n")
	}
	for _, c := range b.IPv4.sorted() {
		when := "tag:" + tag + ",tag:" + clientTag(c) + notScripted(&b.IPv4)
		server, file, ok := splitTFTP(b.IPv4.Loaders[c])
		if !ok {
			fmt.Fprintf(&w, "%s,option:bootfile-name,%s\n", when, b.IPv4.Loaders[c])
			continue
		}
		fmt.Fprintf(&w, "%s,option:bootfile-name,%s\n", when, file)
		fmt.Fprintf(&w, "%s,option:tftp-server,%s\n", when, server)
		fmt.Fprintf(&w, "%s,%d,%s\n", when, opt4TFTPAddress, server)
		fmt.Fprintf(&w, "%s,option:server-ip-address,%s\n", when, server)
	}
	if b.IPv4.Script != "" {
		fmt.Fprintf(&w, "tag:%s,tag:%s,option:bootfile-name,%s\n", tag, ipxeTag, b.IPv4.Script)
	}
	for _, c := range b.IPv6.sorted() {
		fmt.Fprintf(&w, "tag:%s,tag:%s%s,option6:bootfile-url,%s\n", tag, clientTag(c), notScripted(&b.IPv6), b.IPv6.Loaders[c])
	}
	if b.IPv6.Script != "" {
		fmt.Fprintf(&w, "tag:%s,tag:%s,option6:bootfile-url,%s\n", tag, ipxeTag, b.IPv6.Script)
	}
	return w.String()
}

// notScripted keeps loaders from clients that get the script.
func notScripted(f *Files) string {
	if f.Script == "" {
		return ""
	}
	return ",tag:!" + ipxeTag
}

func (d *Dnsmasq) optsFile(node string) string {
	return filepath.Join(d.cfg.OptsDir, tagPrefix+node+".conf")
}

func (d *Dnsmasq) hostFile(mac string) string {
	return filepath.Join(d.cfg.HostsDir, tagPrefix+strings.ReplaceAll(mac, ":", "-")+".conf")
}

// portsOf reads which ports were set for node.
func (d *Dnsmasq) portsOf(node string) ([]dnsmasqPort, error) {
	data, err := os.ReadFile(d.optsFile(node))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var ports []dnsmasqPort
	for line := range strings.Lines(string(data)) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), portMark)
		mac, id, _ := strings.Cut(rest, " ")
		if _, err := task.ParseMAC(mac); ok && err == nil {
			ports = append(ports, dnsmasqPort{mac, id})
		}
	}
	return ports, nil
}

// ownerOf reads whose port the file is about, "" for nobody's.
func ownerOf(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(string(data), "\n")
	owner, _ := strings.CutPrefix(first, nodeMark)
	return owner, nil
}

// replace puts a file in its place whole. The temporary name begins with a dot:
// dnsmasq passes over those. Everybody may read it, whatever the umask, for
// dnsmasq reads it as a user of its own.
func replace(path, content string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// sweep removes what a process that died in replace left in dir. Another one may
// be at work there: what is new stays.
func sweep(dir string) error {
	old, err := filepath.Glob(filepath.Join(dir, "."+tagPrefix+"*.conf.*"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > time.Minute {
			if err := remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func checkDir(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case dir == "":
		return task.ErrMissingParameter
	case !filepath.IsAbs(dir) || strings.ContainsFunc(dir, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`",\`, r) }):
		return fmt.Errorf("%w: %q is no absolute path that dnsmasq's configuration can carry", task.ErrInvalidParameter, dir)
	case err != nil:
		return fmt.Errorf("%w: %w", task.ErrInvalidParameter, err)
	case !info.IsDir():
		return fmt.Errorf("%w: %q is no directory", task.ErrInvalidParameter, dir)
	}
	return nil
}

// safeName reports whether s can be a part of a file's name and of a comment.
func safeName(s string) bool {
	return s != "" && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("-_.", r))
	})
}

// leasesOf reads the addresses of ports from dnsmasq's lease file: a line for a
// lease, with its end, who has it and what; first IPv4, and behind a line with
// the server's identifier IPv6.
func leasesOf(path string, ports []dnsmasqPort) ([]netip.Addr, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []netip.Addr
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) != 5 {
			continue
		}
		ends, err := strconv.ParseInt(f[0], 10, 64)
		addr, err2 := netip.ParseAddr(f[2])
		if err != nil || err2 != nil || (ends != 0 && ends < time.Now().Unix()) {
			continue
		}
		if slices.ContainsFunc(ports, func(p dnsmasqPort) bool { return p.has(addr, f[1], f[4]) }) {
			all = append(all, addr)
		}
	}
	return all, nil
}

// has reports whether a lease is p's. Over IPv4 who is a hardware address;
// over IPv6 the client's identifier ends in one where it is made of it.
func (p dnsmasqPort) has(addr netip.Addr, who, client string) bool {
	if p.clientID != "" {
		return strings.EqualFold(client, p.clientID)
	}
	if addr.Is4() {
		return strings.EqualFold(who, p.mac)
	}
	const ll, llt = "00:03:00:01:", "00:01:00:01:"
	client = strings.ToLower(client)
	return strings.HasSuffix(client, ":"+p.mac) && (strings.HasPrefix(client, ll) || strings.HasPrefix(client, llt))
}

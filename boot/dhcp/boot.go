package dhcp

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/task"
)

// A Boot is what a node is to boot over the network. It is a value: nobody
// changes its maps once it was given away. The zero Boot boots nothing.
type Boot struct {
	// IPv4 and IPv6 are what is fetched over that version of IP. A version
	// without files is one that the node does not boot over.
	IPv4, IPv6 Files

	// Firmware and Arch are what the node's data says of it. Empty: nothing.
	// What the client itself says decides which loader it is told; where the two
	// differ, that is reported.
	Firmware task.BootMode
	Arch     Arch
}

// Files are the URLs of what a node fetches.
type Files struct {
	// Loaders are what firmware fetches, by kind of client: a tftp URL for
	// [TFTP], an http or https URL for [HTTP]. The path of a tftp URL is sent as
	// it is written, without the slash behind the host; over IPv4 the host must
	// be an address.
	Loaders map[Client]string

	// Script is what a client fetches that is iPXE already, in place of a
	// loader, whatever its kind. Empty: such a client gets the loader of its
	// kind.
	Script string
}

// What fits into an answer. An option has room for 255 bytes, the file field for
// 127 and a zero, and firmware that fetches by TFTP may read only that field.
const (
	maxURL  = 255
	maxFile = 127
)

// Check reports everything that is wrong with b, each problem a [*task.Error]
// around task.ErrInvalidParameter. Providers call it, and refuse more where they
// can tell less.
func (b *Boot) Check() error {
	errs := append(b.IPv4.check("IPv4", netip.Addr.Is4), b.IPv6.check("IPv6", is6)...)
	if b.Firmware != "" && b.Firmware != task.BIOS && b.Firmware != task.UEFI {
		errs = append(errs, badBoot("Firmware", fmt.Sprintf("%q", b.Firmware), "set it to bios or uefi, or leave it empty"))
	}
	if a, err := ParseArch(string(b.Arch)); b.Arch != "" && (err != nil || a != b.Arch) {
		errs = append(errs, badBoot("Arch", fmt.Sprintf("%q", b.Arch), "use what ParseArch returns, or leave it empty"))
	}
	return task.Join(errs...)
}

func is6(a netip.Addr) bool { return a.Is6() && !a.Is4In6() }

func badBoot(field, what, remedy string) error {
	return &task.Error{Op: "dhcp.Boot.Check", Field: field, Err: fmt.Errorf("%w: %s", task.ErrInvalidParameter, what), Remedy: remedy}
}

func (f *Files) empty() bool { return len(f.Loaders) == 0 && f.Script == "" }

// sorted returns the kinds of clients that have a loader, in a stable order.
func (f *Files) sorted() []Client {
	return slices.SortedFunc(maps.Keys(f.Loaders), func(a, b Client) int { return strings.Compare(a.String(), b.String()) })
}

func (f *Files) check(version string, family func(netip.Addr) bool) []error {
	var errs []error
	for _, c := range f.sorted() {
		field := version + ".Loaders[" + c.String() + "]"
		if !c.known() {
			errs = append(errs, badBoot(field, "no machine calls itself that", "use a kind of client that ClientOf returns"))
			continue
		}
		schemes := []string{"http", "https"}
		if c.Transport == TFTP {
			schemes = []string{"tftp"}
		}
		errs = append(errs, checkURL(field, f.Loaders[c], schemes, family)...)
	}
	if f.Script != "" {
		errs = append(errs, checkURL(version+".Script", f.Script, []string{"http", "https", "tftp"}, family)...)
	}
	return errs
}

// checkURL also refuses what an answer's readers would stumble over, be they
// firmware, iPXE or another server's configuration. No URL is in an error: what
// is wrong may be a password in it.
func checkURL(field, text string, schemes []string, family func(netip.Addr) bool) []error {
	bad := func(what, remedy string) []error { return []error{badBoot(field, what, remedy)} }
	u, err := url.Parse(text)
	switch {
	case err != nil || strings.ContainsFunc(text, unsafeInURL):
		return bad("no URL in plain ASCII without blanks, quotes and backslashes", "escape them with %")
	case !slices.Contains(schemes, u.Scheme) || u.Hostname() == "":
		return bad("no URL of "+strings.Join(schemes, " or ")+" with a host", "give the whole URL")
	case u.User != nil:
		return bad("has a user in it, which every machine on the network could read", "serve it without a password, or with a token in its path")
	case len(text) > maxURL:
		return bad(fmt.Sprintf("%d bytes are more than the %d of a DHCP option", len(text), maxURL), "shorten it")
	}
	host, err := netip.ParseAddr(u.Hostname())
	if err == nil && !family(host) {
		return bad("its host is an address of the other version of IP", "give files for IPv4 and IPv6 separately")
	}
	if u.Scheme != "tftp" {
		return nil
	}
	server, file, ok := splitTFTP(text)
	switch {
	case !ok || file == "":
		return bad("no URL of the form tftp://host/file", "leave out port, query and fragment")
	case len(file) > maxFile:
		return bad(fmt.Sprintf("a file name of %d bytes, firmware has room for %d", len(file), maxFile), "shorten it")
	case family(netip.IPv4Unspecified()) && !server.IsValid():
		return bad("its host is a name, firmware needs an address", "give the server's IPv4 address")
	}
	return nil
}

func unsafeInURL(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"\\`'<>", r)
}

// splitTFTP takes a tftp URL apart. The server is invalid where the host is a
// name. It is made for the answer to each request, so it does not use net/url.
func splitTFTP(text string) (server netip.Addr, file string, ok bool) {
	rest, ok := strings.CutPrefix(text, "tftp://")
	if !ok {
		return netip.Addr{}, "", false
	}
	host, file, ok := strings.Cut(rest, "/")
	if !ok || strings.ContainsAny(file, "?#") {
		return netip.Addr{}, "", false
	}
	if h, isV6 := strings.CutPrefix(host, "["); isV6 {
		if host, ok = strings.CutSuffix(h, "]"); !ok {
			return netip.Addr{}, "", false
		}
	} else if strings.Contains(host, ":") {
		return netip.Addr{}, "", false
	}
	server, _ = netip.ParseAddr(host)
	return server, file, true
}

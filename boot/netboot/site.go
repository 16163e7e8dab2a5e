package netboot

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/boot/imagecache"
	"github.com/ferrule/ferrule/boot/loader"
	"github.com/ferrule/ferrule/task"
)

// A Site is what network boot has to know of the place that it works in. Tree is
// required, and the addresses that the loaders in use need.
type Site struct {
	// Tree is where configurations and images are published.
	Tree artifact.Publisher

	// HTTP and HTTP6 are the http or https URLs at which machines reach Tree over
	// IPv4 and IPv6, with or without a slash at the end.
	HTTP, HTTP6 string

	// TFTP and TFTP6 are the addresses, without port, of the TFTP servers whose
	// root is Tree.
	TFTP, TFTP6 string

	// DHCP tells machines which loader to fetch. Nil means dhcp.None: the site's
	// DHCP server was set up by hand.
	DHCP dhcp.Provider

	// ImageDirs are the directories of which nodes' parameters may name files.
	// None: nodes may give http and https URLs only.
	ImageDirs artifact.Dirs

	// Cache downloads what nodes' parameters give URLs of, to be served from
	// Tree. Nil: machines whose loader can fetch it from there themselves.
	Cache *imagecache.Cache

	// KernelArgs are added to command lines, unless the node has its own. Empty
	// means "nofb nomodeset vga=normal"; one space means none.
	KernelArgs string
}

const defaultKernelArgs = "nofb nomodeset vga=normal"

// check returns s with its defaults, and every problem.
func (s Site) check(bad func(field string, err error, remedy string)) Site {
	if s.Tree == nil {
		bad("Tree", task.ErrMissingParameter, "give the artifact.Tree or artifact.Folder that machines fetch from")
	}
	for _, base := range []struct {
		field string
		text  *string
	}{{"HTTP", &s.HTTP}, {"HTTP6", &s.HTTP6}} {
		if *base.text == "" {
			continue
		}
		u, err := artifact.ParseBaseURL(*base.text)
		if err != nil {
			bad(base.field, err, "give the http or https URL at which machines reach the tree")
			continue
		}
		*base.text = u.String()
	}
	checkServer("TFTP", s.TFTP, netip.Addr.Is4, bad)
	checkServer("TFTP6", s.TFTP6, func(a netip.Addr) bool { return a.Is6() && !a.Is4In6() && a.Zone() == "" }, bad)
	if s.DHCP == nil {
		s.DHCP = dhcp.None{}
	}
	dirs, err := s.ImageDirs.Clean()
	for _, p := range task.Problems(err) {
		bad("ImageDirs", p, "give absolute paths")
	}
	s.ImageDirs = dirs
	if s.KernelArgs == "" {
		s.KernelArgs = defaultKernelArgs
	}
	return s
}

func checkServer(field, text string, family func(netip.Addr) bool, bad func(field string, err error, remedy string)) {
	if a, err := netip.ParseAddr(text); text != "" && (err != nil || !family(a)) {
		bad(field, fmt.Errorf("%w: %q", task.ErrInvalidParameter, text), "give the server's address in that version of IP, without port")
	}
}

// told reports whether DHCP is told what a node boots, and not set up by hand.
func (s *Site) told() bool {
	_, none := s.DHCP.(dhcp.None)
	return !none
}

// files returns what machines are told over one version of IP. The names are
// below the tree.
func files(httpBase, tftpServer string, loaders map[dhcp.Client]string, script string) dhcp.Files {
	var f dhcp.Files
	for client, name := range loaders {
		u := ""
		switch {
		case client.Transport == dhcp.HTTP && httpBase != "":
			u = httpBase + "/" + name
		case client.Transport == dhcp.TFTP && tftpServer != "":
			u = tftpURL(tftpServer, name)
		default:
			continue
		}
		if f.Loaders == nil {
			f.Loaders = map[dhcp.Client]string{}
		}
		f.Loaders[client] = u
	}
	if script != "" && httpBase != "" {
		f.Script = httpBase + "/" + script
	}
	return f
}

func tftpURL(server, name string) string {
	if strings.Contains(server, ":") {
		server = "[" + server + "]"
	}
	return "tftp://" + server + "/" + name
}

// parseArgs reads a command line that the loaders of f take as it is.
func (f *Family) parseArgs(line string) (boot.KernelArgs, error) {
	args, err := boot.ParseKernelArgs(line)
	if err != nil {
		return nil, err
	}
	return args, loader.Check(args, f.Rules...)
}

// Relative returns how a configuration in folder, a path below the tree, calls
// the image: by a path relative to it, or by the URL that it has elsewhere.
func (i Image) Relative(folder string) string {
	if i.URL != "" {
		return i.URL
	}
	return strings.Repeat("../", strings.Count(folder, "/")+1) + (&url.URL{Path: i.Name}).EscapedPath()
}

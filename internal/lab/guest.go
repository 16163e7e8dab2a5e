//go:build linux

package lab

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ferrule/ferrule/agent/ramdisk/builder"
	"github.com/ferrule/ferrule/examples/qemu/debian"
)

// A Guest is a machine without disks whose kernel has what this host's may not. It
// is on a network of its own, and needs no root. Methods fail its test.
type Guest struct {
	t       testing.TB
	ports   map[int]string // addresses on this host by ports of the guest
	client  *http.Client
	Console *Log
}

// NewGuest boots [KernelPackage] with modules until t ends, and has ports of the
// guest reached from this host.
func NewGuest(t testing.TB, modules []string, ports ...int) *Guest {
	t.Helper()
	dir := t.TempDir()
	kernel, modulesDir, err := debian.Kernel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ramdisk, err := os.Create(filepath.Join(dir, "ramdisk"))
	if err != nil {
		t.Fatal(err)
	}
	defer ramdisk.Close()
	err = builder.Write(ramdisk, builder.Config{
		Agent: Build(t, dir, "github.com/ferrule/ferrule/internal/lab/labguest"), ModulesDir: modulesDir,
		Modules: append([]string{"virtio_rng", "virtio_pci", "virtio_net", "af_packet", "configfs"}, modules...),
	})
	if err != nil {
		t.Fatal(err)
	}
	g := &Guest{t: t, ports: map[int]string{}, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}}
	netdev := "user,id=net,restrict=on"
	for _, port := range append(ports, 80) {
		g.ports[port] = freeAddress(t)
		netdev += fmt.Sprintf(",hostfwd=tcp:%s-:%d", g.ports[port], port)
	}
	g.Console = Daemon(t, "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "1024", "-nodefaults", "-nographic", "-no-reboot",
		"-kernel", kernel, "-initrd", ramdisk.Name(), "-append", "console=ttyS0 quiet panic=-1", "-serial", "stdio",
		"-netdev", netdev, "-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci")
	g.Console.Line(t, "LAB-READY: ", 2*time.Minute)
	return g
}

func freeAddress(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Addr is where this host reaches a port of the guest.
func (g *Guest) Addr(port int) string { return g.ports[port] }

func (g *Guest) do(method, path string, body io.Reader, header http.Header) ([]byte, error) {
	req, err := http.NewRequest(method, "http://"+g.ports[80]+path, body)
	if err != nil {
		return nil, err
	}
	req.Header = header
	res, err := g.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, res.Status, text)
	}
	return text, err
}

func (g *Guest) must(method, path, body string) string {
	g.t.Helper()
	text, err := g.do(method, path, strings.NewReader(body), nil)
	if err != nil {
		g.t.Fatalf("%v; console: %s", err, tail(g.Console.String(), 2000))
	}
	return string(text)
}

// Read returns a file of the guest's kernel.
func (g *Guest) Read(path string) string { g.t.Helper(); return g.must("GET", path, "") }

// Write writes to a file that is there.
func (g *Guest) Write(path, text string) { g.t.Helper(); g.must("PUT", path, text) }

// Create makes a file of zeros.
func (g *Guest) Create(path string, size int64) {
	g.t.Helper()
	g.must("POST", fmt.Sprintf("%s?%d", path, size), "")
}

// Mkdir makes a folder and those that it is in.
func (g *Guest) Mkdir(path string) { g.t.Helper(); g.must("MKCOL", path, "") }

// Link makes a symbolic link.
func (g *Guest) Link(target, path string) { g.t.Helper(); g.must("LINK", path+"?"+target, "") }

// Remove removes a file, a link or an empty folder.
func (g *Guest) Remove(path string) { g.t.Helper(); g.must("DELETE", path, "") }

// File returns a file that is no kernel's, to read from.
func (g *Guest) File(path string) io.ReaderAt { return guestFile{g, path} }

type guestFile struct {
	guest *Guest
	path  string
}

func (f guestFile) ReadAt(p []byte, off int64) (int, error) {
	text, err := f.guest.do("GET", f.path, nil, http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", off, off+int64(len(p))-1)}})
	n := copy(p, text)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

package ipxe_test

import (
	"context"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/driver"
	sim "github.com/ferrule/ferrule/driver/sim/ipxe"
	"github.com/ferrule/ferrule/ipxe"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	baseURL = "http://192.0.2.1:8080/boot"
	elf     = "KERNEL"
)

// site is a Boot, what it serves, and the BMCs of its nodes.
type site struct {
	tree *artifact.Tree
	boot *ipxe.Boot
	bmcs *bmcs
	dir  string // image directory with a kernel and a ramdisk

	mu    sync.Mutex
	nodes []string // UUIDs
}

func newSite(t testing.TB, change ...func(*ipxe.Config)) *site {
	t.Helper()
	s := &site{tree: new(artifact.Tree), bmcs: &bmcs{set: map[string]driver.BootSetting{}}, dir: t.TempDir()}
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "kernel"), []byte(elf), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "ramdisk"), []byte("RAMDISK"), 0o600))
	cfg := ipxe.Config{Tree: s.tree, BaseURL: baseURL, ImageDirs: []string{s.dir}}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	s.boot, err = ipxe.New(t.Context(), cfg)
	require.NoError(t, err)
	return s
}

// task returns a task on a node whose kernel and ramdisk are files.
func (s *site) task(t testing.TB, name string) *task.Task {
	n := tasktest.Node(name)
	n.DriverInfo["deploy_kernel"] = filepath.Join(s.dir, "kernel")
	n.DriverInfo["deploy_ramdisk"] = "file://" + filepath.Join(s.dir, "ramdisk")
	tk := tasktest.Task(t, n)
	tk.Driver = &driver.Driver{Boot: s.boot, Management: s.bmcs}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes = append(s.nodes, n.UUID)
	return tk
}

// published lists what is in the tree for all nodes.
func (s *site) published() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := s.tree.Names("ipxe")
	for _, uuid := range slices.Compact(slices.Sorted(slices.Values(s.nodes))) {
		names = append(names, s.tree.Names(uuid)...)
	}
	return names
}

// get fetches from the tree as a machine does.
func (s *site) get(rawURL string) ([]byte, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	http.StripPrefix("/boot", s.tree).ServeHTTP(w, httptest.NewRequest(http.MethodGet, u.Path, nil))
	if w.Code != http.StatusOK {
		return nil, fs.ErrNotExist
	}
	return io.ReadAll(w.Body)
}

func (s *site) script(t testing.TB, name string) string {
	t.Helper()
	data, err := s.get(baseURL + "/" + name)
	require.NoError(t, err, name)
	return string(data)
}

// A machine runs what the site's DHCP server sends it to.
type machine struct {
	nics     []string
	platform sim.Platform
	extra    map[string]string // URLs elsewhere
	down     bool              // kernel and ramdisk cannot be fetched

	printed []string
	slept   time.Duration
}

func (s *site) run(t testing.TB, m *machine) sim.Outcome {
	t.Helper()
	cfg := sim.Config{
		Platform: m.platform,
		Fetch: func(_ context.Context, url string) ([]byte, error) {
			if data, ok := m.extra[url]; ok {
				return []byte(data), nil
			}
			if m.down && strings.Contains(url, "/deploy_") {
				return nil, fs.ErrNotExist
			}
			return s.get(url)
		},
		Print: func(line string) { m.printed = append(m.printed, line) },
		Sleep: func(_ context.Context, d time.Duration) error { m.slept += d; return nil },
	}
	for _, mac := range m.nics {
		hw, err := net.ParseMAC(mac)
		require.NoError(t, err)
		cfg.NICs = append(cfg.NICs, hw)
	}
	entry, err := s.get(s.boot.EntryURL())
	require.NoError(t, err)
	out, err := sim.Run(t.Context(), cfg, s.boot.EntryURL(), entry)
	require.NoError(t, err)
	return out
}

// bmcs is a management interface over machines that have nothing else.
type bmcs struct {
	driver.ManagementInterface
	mu   sync.Mutex
	set  map[string]driver.BootSetting // by UUID
	fail error
	seen func(*task.Task) // called before each change
}

func (b *bmcs) SupportedBootDevices(*task.Task) []boot.Device {
	return []boot.Device{boot.PXE, boot.Disk}
}

func (b *bmcs) SetBootDevice(ctx context.Context, t *task.Task, s driver.BootSetting) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.seen != nil {
		b.seen(t)
	}
	if b.fail != nil {
		return b.fail
	}
	b.set[t.Node.UUID] = s
	return nil
}

func (b *bmcs) device(t *task.Task) driver.BootSetting {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.set[t.Node.UUID]
}

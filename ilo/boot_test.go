package ilo_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/boottest"
	"github.com/ferrule/ferrule/boot/vmedia"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/driver/sim/media"
	"github.com/ferrule/ferrule/ilo"
	"github.com/ferrule/ferrule/ilo/ilotest"
	"github.com/ferrule/ferrule/task"
)

// A site has iLOs, and discs that they fetch.
type site struct {
	rack
	dir    string
	discs  *vmedia.Discs
	server *httptest.Server
	bmcs   *ilo.BMCs
	boot   *ilo.Boot

	mu    sync.Mutex
	nodes map[string]bool // UUIDs
}

func newSite(t *testing.T, c ilotest.Config) *site {
	s := &site{rack: rack{c, map[string]*ilotest.ILO{}}, dir: t.TempDir(), discs: new(vmedia.Discs), bmcs: newBMCs(t), nodes: map[string]bool{}}
	s.server = httptest.NewServer(s.discs)
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		s.server.Close()
	})
	for _, name := range []string{"kernel", "ramdisk", "bootx64.efi", "grubx64.efi"} {
		require.NoError(t, os.WriteFile(filepath.Join(s.dir, name), []byte(strings.Repeat(name, 300)), 0o600))
	}
	var err error
	s.boot, err = s.bmcs.NewBoot(vmedia.Site{Discs: s.discs, URL: s.server.URL, ImageDirs: []string{s.dir}, Loaders: map[string]string{
		"bootx64.efi": filepath.Join(s.dir, "bootx64.efi"), "grubx64.efi": filepath.Join(s.dir, "grubx64.efi"),
	}})
	require.NoError(t, err)
	return s
}

func (s *site) task(t *testing.T, name string) *task.Task {
	known := s.ilos[name] != nil
	tk := s.rack.task(t, name)
	if !known {
		s.ilo(t, name).Machine.SetBoot(boot.PXE, false)
	}
	tk.Node.DriverInfo["deploy_kernel"] = filepath.Join(s.dir, "kernel")
	tk.Node.DriverInfo["deploy_ramdisk"] = filepath.Join(s.dir, "ramdisk")
	tk.Driver = &driver.Driver{Boot: s.boot, Management: s.bmcs.Management(), Power: s.bmcs.Power()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes[tk.Node.UUID] = true
	return tk
}

// booted does what the machine's firmware would do next.
func (s *site) booted(t *testing.T, tk *task.Task) boottest.Target {
	m := s.ilo(t, tk.Node.Name).Machine
	state, cd := m.State(), m.Media()["cd"]
	device := state.Persistent
	if state.Once != "" && !(state.Once == boot.CDROM && cd == "") { // firmware passes an empty drive
		device = state.Once
	}
	switch device {
	case boot.Disk:
		return boottest.Target{Kind: boottest.Instance}
	case boot.CDROM:
	default:
		return boottest.Target{}
	}
	r, err := http.Get(cd)
	if err != nil || r.StatusCode != http.StatusOK {
		return boottest.Target{Kind: boottest.Nowhere}
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	d, err := media.OpenISO(bytes.NewReader(data))
	require.NoError(t, err)
	f, err := d.Open("isolinux/isolinux.cfg")
	require.NoError(t, err)
	menu, err := io.ReadAll(f)
	require.NoError(t, err)
	_, line, _ := strings.Cut(string(menu), "append ")
	line, _, _ = strings.Cut(line, "\n")
	args, err := boot.ParseKernelArgs(line)
	require.NoError(t, err)
	params := boot.Params{}
	for _, a := range args {
		params[a.Key] = a.Value
	}
	return boottest.Target{Kind: boottest.Ramdisk, Params: params}
}

func TestBootConformance(t *testing.T) {
	var s *site
	boottest.Run(t, boottest.Harness{
		New: func(t *testing.T) boot.BootInterface {
			s = newSite(t, ilotest.Config{Generation: 4, Quirks: []ilotest.Quirk{ilotest.UEFIBootList, ilotest.EjectRefuses, ilotest.StaleMedium}})
			return s.boot
		},
		Task:   func(t *testing.T, name string) *task.Task { return s.task(t, name) },
		Booted: func(t *testing.T, tk *task.Task) boottest.Target { return s.booted(t, tk) },
		Leftovers: func(*testing.T) []string {
			s.mu.Lock()
			defer s.mu.Unlock()
			var all []string
			for uuid := range s.nodes {
				for _, name := range s.discs.Names(uuid) {
					all = append(all, uuid+" "+filepath.Ext(name))
				}
			}
			return all
		},
	})
}

func TestBootFaults(t *testing.T) {
	s := newSite(t, ilotest.Config{Generation: 4})
	tk, ctx := s.task(t, "n1"), t.Context()
	m := s.ilo(t, "n1").Machine
	m.Change(func(state *bmctest.State) { state.Unlicensed = true })
	err := s.boot.PrepareRamdisk(ctx, tk, nil)
	require.Equal(t, bmc.Licence, bmc.ClassOf(err))
	require.Contains(t, err.Error(), "install the BMC's licence")
	require.Empty(t, m.State().Once, "it is not told to start from an empty drive")
	m.Change(func(state *bmctest.State) { state.Unlicensed, state.Post, state.Down = false, 3, 3 })
	require.NoError(t, s.boot.PrepareRamdisk(ctx, tk, nil))
	require.Equal(t, boottest.Ramdisk, s.booted(t, tk).Kind)
	require.NoError(t, s.boot.CleanUpRamdisk(ctx, tk))
	require.Empty(t, m.Media())
}

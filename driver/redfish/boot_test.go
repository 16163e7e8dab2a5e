package redfish_test

import (
	"context"
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
	"github.com/ferrule/ferrule/driver/redfish"
	"github.com/ferrule/ferrule/driver/redfish/redfishtest"
	"github.com/ferrule/ferrule/driver/sim/media"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A site has BMCs, and discs that they fetch.
type site struct {
	rack
	dir    string
	discs  *vmedia.Discs
	server *httptest.Server
	bmcs   *redfish.BMCs
	boot   *vmedia.Boot

	mu    sync.Mutex
	nodes map[string]bool // UUIDs
}

func newSite(t *testing.T, p redfishtest.Personality) *site {
	s := &site{rack: rack{p, map[string]*redfishtest.BMC{}}, dir: t.TempDir(), discs: new(vmedia.Discs), bmcs: newBMCs(t), nodes: map[string]bool{}}
	s.server = httptest.NewServer(s.discs)
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		s.server.Close()
	})
	loaders := map[string]string{}
	for _, name := range []string{"kernel", "ramdisk", "isolinux.bin", "ldlinux.c32", "bootx64.efi", "grubx64.efi"} {
		path := filepath.Join(s.dir, name)
		require.NoError(t, os.WriteFile(path, []byte(strings.Repeat(name, 300)), 0o600))
		if strings.Contains(name, ".") {
			loaders[name] = path
		}
	}
	var err error
	s.boot, err = s.bmcs.NewBoot(vmedia.Site{Discs: s.discs, URL: s.server.URL, Loaders: loaders, ImageDirs: []string{s.dir}})
	require.NoError(t, err)
	return s
}

func (s *site) task(t *testing.T, name string) *task.Task {
	known := s.rack.bmcs[name] != nil
	tk := s.rack.task(t, name)
	if !known {
		s.bmc(t, name).Machine.SetBoot(boot.PXE, false)
	}
	tk.Node.DriverInfo["deploy_kernel"] = filepath.Join(s.dir, "kernel")
	tk.Node.DriverInfo["deploy_ramdisk"] = filepath.Join(s.dir, "ramdisk")
	tk.Driver = &driver.Driver{Boot: s.boot, Management: s.bmcs.Management(), Power: s.bmcs.Power()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes[tk.Node.UUID] = true
	return tk
}

// fetch reads what a BMC has in a drive; nil for what is not there.
func fetch(t *testing.T, url string) []byte {
	r, err := http.Get(url)
	require.NoError(t, err)
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	if r.StatusCode != http.StatusOK {
		return nil
	}
	return data
}

// booted does what the machine's firmware would do next.
func (s *site) booted(t *testing.T, tk *task.Task) boottest.Target {
	m := s.bmc(t, tk.Node.Name).Machine
	state := m.State()
	device := state.Persistent
	if state.Once != "" && !(state.Once == boot.CDROM && m.Media()["cd"] == "") { // firmware passes an empty drive
		device = state.Once
	}
	switch device {
	case boot.Disk:
		return boottest.Target{Kind: boottest.Instance}
	case boot.CDROM:
	default:
		return boottest.Target{}
	}
	url := m.Media()["cd"]
	if url == "" {
		return boottest.Target{Kind: boottest.Nowhere}
	}
	data := fetch(t, url)
	if data == nil {
		return boottest.Target{Kind: boottest.Nowhere}
	}
	d, err := media.OpenISO(strings.NewReader(string(data)))
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

func (s *site) leftovers(*testing.T) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for uuid := range s.nodes {
		for _, name := range s.discs.Names(uuid) {
			all = append(all, uuid+" "+filepath.Ext(name))
		}
	}
	return all
}

func TestBootConformance(t *testing.T) {
	for _, p := range []redfishtest.Personality{redfishtest.ILO5, redfishtest.LenovoXCC} {
		t.Run(p.Name, func(t *testing.T) {
			var s *site
			boottest.Run(t, boottest.Harness{
				New:       func(t *testing.T) boot.BootInterface { s = newSite(t, p); return s.boot },
				Task:      func(t *testing.T, name string) *task.Task { return s.task(t, name) },
				Booted:    func(t *testing.T, tk *task.Task) boottest.Target { return s.booted(t, tk) },
				Leftovers: func(t *testing.T) []string { return s.leftovers(t) },
			})
		})
	}
}

func TestDeployISOAndFloppy(t *testing.T) {
	s := newSite(t, redfishtest.ILO6)
	tk, ctx := s.task(t, "n1"), t.Context()
	tk.Ports = []*task.Port{tasktest.Port(tk.Node)}
	delete(tk.Node.DriverInfo, "deploy_kernel")
	delete(tk.Node.DriverInfo, "deploy_ramdisk")
	const deployISO = "https://images.example.com/ramdisk.iso"
	tk.Node.DriverInfo["deploy_iso"] = deployISO
	require.NoError(t, s.boot.Validate(ctx, tk))
	require.NoError(t, s.boot.PrepareRamdisk(ctx, tk, boot.Params{"ipa-api-url": "http://192.0.2.1:6385"}))
	m := s.bmc(t, "n1").Machine
	require.Equal(t, deployISO, m.Media()["cd"])
	require.True(t, strings.HasSuffix(m.Media()["floppy"], ".img"))
	data := fetch(t, m.Media()["floppy"])
	require.Len(t, data, 1440<<10)
	floppy, err := media.OpenFAT(strings.NewReader(string(data)))
	require.NoError(t, err)
	require.Equal(t, vmedia.FloppyLabel, floppy.Label)
	text, err := floppy.ReadFile(vmedia.FloppyFile)
	require.NoError(t, err)
	require.Contains(t, string(text), "BOOTIF=01-52-54-")
	require.Contains(t, string(text), "ipa-api-url=http://192.0.2.1:6385\n")

	err = s.boot.PrepareRamdisk(ctx, tk, boot.Params{"a": "two words"})
	require.ErrorIs(t, err, task.ErrInvalidParameter)
	require.NoError(t, s.boot.CleanUpRamdisk(ctx, tk))
	require.Empty(t, m.Media())
	require.Empty(t, s.leftovers(t))
}

func TestOthersMediaStay(t *testing.T) {
	s := newSite(t, redfishtest.Generic)
	tk, ctx := s.task(t, "n1"), t.Context()
	c, err := s.bmcs.Client(access(s.bmc(t, "n1")))
	require.NoError(t, err)
	require.NoError(t, s.boot.PrepareRamdisk(ctx, tk, nil))
	require.NoError(t, c.Insert(ctx, boot.CDROM, image), "somebody puts in something else")
	require.NoError(t, s.boot.CleanUpRamdisk(ctx, tk))
	require.NoError(t, s.boot.CleanUpInstance(ctx, tk))
	require.Equal(t, image, s.bmc(t, "n1").Machine.Media()["cd"])
}

func TestInstanceFromISO(t *testing.T) {
	s := newSite(t, redfishtest.Generic)
	tk, ctx := s.task(t, "n1"), t.Context()
	tk.Node.InstanceInfo = task.Info{
		"capabilities": "boot_option:netboot", "image_type": "partition",
		"kernel": tk.Node.DriverInfo["deploy_kernel"], "ramdisk": tk.Node.DriverInfo["deploy_ramdisk"],
	}
	require.NoError(t, s.boot.Validate(ctx, tk))
	require.NoError(t, s.boot.PrepareRamdisk(ctx, tk, nil))
	require.ErrorIs(t, s.boot.PrepareInstance(ctx, tk), task.ErrMissingParameter, "nobody said what its root is")
	tk.Node.SetInternal("root_uuid_or_disk_id", "1f3b9e64-7a50-4c1d-9e58-c10f6d0f2a11")
	require.NoError(t, s.boot.PrepareInstance(ctx, tk))
	require.NoError(t, s.boot.CleanUpRamdisk(ctx, tk))
	m := s.bmc(t, "n1").Machine
	require.Equal(t, boot.CDROM, m.State().Persistent)
	require.Equal(t, "UUID=1f3b9e64-7a50-4c1d-9e58-c10f6d0f2a11", s.booted(t, tk).Params["root"])
	url := m.Media()["cd"]

	// Another host takes it over: the same URL, and nothing is asked of the BMC.
	require.NoError(t, s.discs.Withdraw(ctx, tk.Node.UUID))
	tk.Node.ProvisionState = task.Active
	before := len(s.bmc(t, "n1").Requests())
	require.NoError(t, s.boot.PrepareInstance(ctx, tk))
	require.Len(t, s.bmc(t, "n1").Requests(), before)
	require.NotNil(t, fetch(t, url))

	require.NoError(t, s.boot.CleanUpInstance(ctx, tk))
	require.Empty(t, m.Media())
	require.Nil(t, fetch(t, url))
}

func TestBootModeAndSecureBoot(t *testing.T) {
	s := newSite(t, redfishtest.ILO6)
	tk, ctx := s.task(t, "n1"), t.Context()
	m := s.bmc(t, "n1").Machine
	m.Change(func(state *bmctest.State) { state.Mode = task.BIOS })
	delete(tk.Node.Properties, "capabilities")
	require.NoError(t, s.boot.PrepareRamdisk(ctx, tk, nil))
	require.Equal(t, task.BIOS, m.State().Mode, "nobody said anything of the mode")
	tk.Node.InstanceInfo = task.Info{"capabilities": "secure_boot:true"}
	require.NoError(t, s.boot.PrepareRamdisk(ctx, tk, nil))
	require.Equal(t, task.UEFI, m.State().Mode)
	require.False(t, m.State().SecureBoot, "not for the ramdisk")
	require.NoError(t, s.boot.PrepareInstance(ctx, tk))
	require.True(t, m.State().SecureBoot)
	require.Equal(t, boot.Disk, m.State().Persistent)
	tk.Node.InstanceInfo = nil
	require.NoError(t, s.boot.PrepareRamdisk(ctx, tk, nil))
	require.False(t, m.State().SecureBoot, "the next ramdisk need not be signed")
}

func TestBMCFaultsLeaveTheNodeRepeatable(t *testing.T) {
	s := newSite(t, redfishtest.ILO5)
	tk, ctx := s.task(t, "n1"), t.Context()
	b := s.bmc(t, "n1")
	b.Machine.Change(func(state *bmctest.State) { state.Unlicensed = true })
	err := s.boot.PrepareRamdisk(ctx, tk, nil)
	require.Equal(t, bmc.Licence, bmc.ClassOf(err))
	require.Equal(t, boot.PXE, b.Machine.State().Persistent)
	require.Empty(t, b.Machine.State().Once, "it is not told to start from an empty drive")
	b.Machine.Change(func(state *bmctest.State) { state.Unlicensed, state.Post, state.Down = false, 3, 2 })
	require.NoError(t, s.boot.PrepareRamdisk(ctx, tk, nil))
	require.Equal(t, boottest.Ramdisk, s.booted(t, tk).Kind)
}

func TestEvidence(t *testing.T) {
	s := newSite(t, redfishtest.Generic)
	var mu sync.Mutex
	var seen []task.Evidence
	s.discs.Observer = func(e task.Evidence) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, e)
	}
	tk := s.task(t, "n1")
	require.Equal(t, []string{vmedia.StageMedia}, s.boot.Stages(tk))
	require.NoError(t, s.boot.PrepareRamdisk(context.Background(), tk, nil))
	require.Equal(t, boottest.Ramdisk, s.booted(t, tk).Kind)
	mu.Lock()
	defer mu.Unlock()
	require.NotEmpty(t, seen)
	last := seen[len(seen)-1]
	require.Equal(t, tk.Node.UUID, last.Node)
	require.Equal(t, last.Total, last.Done)
	require.NotContains(t, last.Detail, tk.Node.DriverInternalInfo.Text("vmedia_token"))
}

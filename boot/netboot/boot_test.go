package netboot_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/boot/imagecache"
	"github.com/ferrule/ferrule/boot/netboot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A rig is a Boot whose surroundings note in which order they were called, and
// fail where they are told to.
type rig struct {
	tree  *artifact.Tree
	boot  *netboot.Boot
	boots map[string]dhcp.Boot // by UUID
	did   []string
	fail  string // what fails
}

var errFails = errors.New("it fails")

func (r *rig) note(what string) error {
	r.did = append(r.did, what)
	if r.fail == what {
		return errFails
	}
	return nil
}

func (r *rig) Publish(ctx context.Context, owner string, a ...artifact.Artifact) error {
	return r.tree.Publish(ctx, owner, a...)
}

func (r *rig) Replace(ctx context.Context, owner string, a ...artifact.Artifact) error {
	if err := r.note("publish"); err != nil {
		for _, one := range a {
			if one.Holder != nil {
				one.Holder.Close()
			}
		}
		return err
	}
	return r.tree.Replace(ctx, owner, a...)
}

func (r *rig) Withdraw(ctx context.Context, owner string, names ...string) error {
	if err := r.note("withdraw"); err != nil {
		return err
	}
	return r.tree.Withdraw(ctx, owner, names...)
}

func (r *rig) CheckBoot(b dhcp.Boot) error { return b.Check() }

func (r *rig) SetBoot(_ context.Context, t *task.Task, b dhcp.Boot) error {
	if err := task.Join(r.note("tell"), b.Check()); err != nil {
		return err
	}
	r.boots[t.Node.UUID] = b
	return nil
}

func (r *rig) ClearBoot(_ context.Context, node string) error {
	if err := r.note("tell nothing"); err != nil {
		return err
	}
	delete(r.boots, node)
	return nil
}

func newRig(t *testing.T, change ...func(*netboot.Site, *netboot.Family)) *rig {
	t.Helper()
	r := &rig{tree: new(artifact.Tree), boots: map[string]dhcp.Boot{}}
	site := netboot.Site{Tree: r, HTTP: "http://192.0.2.1:8080/boot/", DHCP: r}
	f := family()
	f.Bootfiles = map[dhcp.Client]string{
		{Arch: dhcp.X8664, Firmware: task.UEFI, Transport: dhcp.TFTP}: "boot.efi",
		{Arch: dhcp.X8664, Firmware: task.UEFI, Transport: dhcp.HTTP}: "boot.efi",
		{Arch: dhcp.ARM64, Firmware: task.UEFI, Transport: dhcp.TFTP}: "arm.efi",
		{Arch: dhcp.X8664, Firmware: task.BIOS, Transport: dhcp.TFTP}: "boot.bin",
	}
	for _, c := range change {
		c(&site, &f)
	}
	var err error
	r.boot, err = netboot.New(t.Context(), "line.New", site, f)
	require.NoError(t, err)
	return r
}

func (r *rig) task(t *testing.T) *task.Task {
	n := tasktest.Node("n1")
	n.Properties = nil
	n.DriverInfo["deploy_kernel"], n.DriverInfo["deploy_ramdisk"] = "http://images.example/kernel", "http://images.example/ramdisk"
	tk := tasktest.Task(t, n)
	tk.Driver = &driver.Driver{Boot: r.boot, Management: &drivertest.Management{SetBootDeviceFunc: func(_ context.Context, _ *task.Task, s driver.BootSetting) error {
		return r.note(fmt.Sprintf("boot %s %v", s.Device, s.Persistent))
	}}}
	return tk
}

// TestOrder also holds for what is left when a call breaks off: never a machine
// that boots from the network with nothing there.
func TestOrder(t *testing.T) {
	t.Parallel()
	ramdisk := func(b *netboot.Boot, ctx context.Context, tk *task.Task) error { return b.PrepareRamdisk(ctx, tk, nil) }
	fromDisk := task.Info{}
	fromNetwork := task.Info{"boot_volume": map[string]any{"target_portal": "192.0.2.9", "target_iqn": "iqn.2001-04.com.example:x"}}
	for name, c := range map[string]struct {
		instance task.Info
		call     func(*netboot.Boot, context.Context, *task.Task) error
		want     []string
	}{
		"ramdisk":          {fromDisk, ramdisk, []string{"publish", "tell", "boot pxe false"}},
		"from disk":        {fromDisk, (*netboot.Boot).PrepareInstance, []string{"boot disk true", "tell nothing", "withdraw"}},
		"from the network": {fromNetwork, (*netboot.Boot).PrepareInstance, []string{"publish", "tell", "boot pxe true"}},
		"clean-up":         {fromDisk, (*netboot.Boot).CleanUpRamdisk, []string{"tell nothing", "withdraw"}},
		"clean-up again":   {fromNetwork, (*netboot.Boot).CleanUpInstance, []string{"tell nothing", "withdraw"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			tk := r.task(t)
			tk.Node.InstanceInfo = c.instance
			require.NoError(t, c.call(r.boot, t.Context(), tk))
			require.Equal(t, c.want, r.did)
			for i, step := range c.want {
				r.fail = step
				r.did = nil
				require.ErrorIs(t, c.call(r.boot, t.Context(), tk), errFails)
				require.Equal(t, c.want[:i+1], r.did)
			}
			r.fail, r.did = "", nil
			require.NoError(t, c.call(r.boot, t.Context(), tk))
			require.Equal(t, c.want, r.did)
		})
	}
}

func TestTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	loaders := map[string]string{}
	for _, name := range []string{"boot.efi", "other.efi", "boot.bin", "module"} {
		loaders[name] = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(loaders[name], []byte(name), 0o600))
	}
	r := newRig(t, func(s *netboot.Site, f *netboot.Family) {
		s.TFTP, s.TFTP6, s.HTTP6 = "192.0.2.1", "2001:db8::1", "http://[2001:db8::1]"
		f.Script, f.LoaderFiles = "entry", loaders
	})
	tk := r.task(t)
	tk.Node.Properties = task.Info{"cpu_arch": "amd64", "capabilities": "boot_mode:uefi"}
	require.NoError(t, r.boot.PrepareRamdisk(t.Context(), tk, nil))
	id := tk.Node.UUID
	uefi := func(transport dhcp.Transport) dhcp.Client {
		return dhcp.Client{Arch: dhcp.X8664, Firmware: task.UEFI, Transport: transport}
	}
	bios := dhcp.Client{Arch: dhcp.X8664, Firmware: task.BIOS, Transport: dhcp.TFTP}
	want := dhcp.Boot{
		Firmware: task.UEFI, Arch: dhcp.X8664,
		IPv4: dhcp.Files{Script: "http://192.0.2.1:8080/boot/entry", Loaders: map[dhcp.Client]string{
			uefi(dhcp.TFTP): "tftp://192.0.2.1/" + id + "/boot.efi", uefi(dhcp.HTTP): "http://192.0.2.1:8080/boot/" + id + "/boot.efi", bios: "tftp://192.0.2.1/" + id + "/boot.bin"}},
		IPv6: dhcp.Files{Script: "http://[2001:db8::1]/entry", Loaders: map[dhcp.Client]string{
			uefi(dhcp.TFTP): "tftp://[2001:db8::1]/" + id + "/boot.efi", uefi(dhcp.HTTP): "http://[2001:db8::1]/" + id + "/boot.efi", bios: "tftp://[2001:db8::1]/" + id + "/boot.bin"}},
	}
	require.Empty(t, cmp.Diff(want, r.boots[id]))
	require.Equal(t, []string{id + "/boot.bin", id + "/boot.efi", id + "/module", id + "/other.efi", "line/" + strings.ReplaceAll(tk.Ports[0].Address, ":", "-")}, r.tree.Names(id))
	require.Equal(t, []string{"boot.bin", "boot.efi", "module", "other.efi"}, r.tree.Names("netboot/line"), "for machines that others send here")

	tk.Node.DriverInfo["boot_loader"] = "other.efi"
	require.NoError(t, r.boot.PrepareRamdisk(t.Context(), tk, nil))
	require.Equal(t, "tftp://192.0.2.1/"+id+"/other.efi", r.boots[id].IPv4.Loaders[uefi(dhcp.TFTP)])
	require.Equal(t, "tftp://192.0.2.1/"+id+"/boot.bin", r.boots[id].IPv4.Loaders[bios])
	tk.Node.DriverInfo["boot_loader"] = "../other.efi"
	require.ErrorContains(t, r.boot.Validate(t.Context(), tk), `driver_info.boot_loader: invalid: "../other.efi" (set it to one of ["boot.bin" "boot.efi" "module" "other.efi"])`)
	tk.Node.DriverInfo = nil
	require.NoError(t, r.boot.CleanUpRamdisk(t.Context(), tk))
	require.Empty(t, r.boots)
	require.Empty(t, r.tree.Names(id))
}

func TestForcePersistentBootDevice(t *testing.T) {
	t.Parallel()
	for value, want := range map[string][2]string{
		"Default": {"boot pxe false", "boot disk true"}, "Always": {"boot pxe true", "boot disk true"}, "Never": {"boot pxe false", "boot disk false"},
	} {
		r := newRig(t)
		tk := r.task(t)
		tk.Node.DriverInfo["force_persistent_boot_device"] = value
		require.NoError(t, r.boot.PrepareRamdisk(t.Context(), tk, nil))
		require.Equal(t, want[0], r.did[len(r.did)-1])
		require.NoError(t, r.boot.PrepareInstance(t.Context(), tk))
		require.Contains(t, r.did, want[1])
	}
	r := newRig(t)
	tk := r.task(t)
	tk.Node.DriverInfo["force_persistent_boot_device"] = "sometimes"
	require.ErrorContains(t, r.boot.Validate(t.Context(), tk), "set it to one of Default, Always, Never")
}

// TestCache has images fetched once, and let go when the node is cleaned up.
func TestCache(t *testing.T) {
	t.Parallel()
	fetched := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodGet {
			fetched++
		}
		w.Header().Set("ETag", `"1"`)
		if req.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		if req.URL.Path == "/none" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fmt.Fprint(w, "content of "+req.URL.Path)
	}))
	defer server.Close()
	cache, err := imagecache.New(t.Context(), imagecache.Config{Dir: t.TempDir(), HTTP: server.Client(), Retries: -1})
	require.NoError(t, err)
	defer server.Client().CloseIdleConnections()
	r := newRig(t, func(s *netboot.Site, f *netboot.Family) { s.Cache, f.FetchesURLs = cache, false })
	tk := r.task(t)
	tk.Node.DriverInfo["deploy_kernel"], tk.Node.DriverInfo["deploy_ramdisk"] = server.URL+"/kernel", server.URL+"/ramdisk?sig=hunter2"
	require.NoError(t, r.boot.Validate(t.Context(), tk))
	require.Zero(t, fetched, "Validate talks to nobody")
	var seen []string
	tk.Observer = func(e task.Evidence) { seen = append(seen, e.Stage+" "+e.Detail) }
	require.NoError(t, r.boot.PrepareRamdisk(t.Context(), tk, nil))
	require.Equal(t, []string{"image download deploy_kernel", "image download deploy_ramdisk"}, slices.Compact(seen))
	data, err := fs.ReadFile(r.tree, tk.Node.UUID+"/deploy_ramdisk")
	require.NoError(t, err)
	require.Equal(t, "content of /ramdisk", string(data))
	require.NoError(t, r.boot.CleanUpRamdisk(t.Context(), tk))

	r.did = nil
	tk.Node.DriverInfo["deploy_ramdisk"] = server.URL + "/none?sig=hunter2"
	err = r.boot.PrepareRamdisk(t.Context(), tk, nil)
	require.ErrorContains(t, err, "driver_info.deploy_ramdisk")
	require.NotContains(t, err.Error(), "hunter2")
	require.Empty(t, r.did, "a download that fails changes nothing")
}

func TestStages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	require.Empty(t, r.boot.Stages(r.task(t)), "somebody else serves, and nobody tells")

	b, err := netboot.New(t.Context(), "line.New", netboot.Site{Tree: new(artifact.Tree)}, family())
	require.NoError(t, err)
	tk := r.task(t)
	require.Equal(t, []string{boot.StageScript}, b.Stages(tk))
	tk.Node.DriverInfo["deploy_kernel"] = "/images/kernel"
	require.Equal(t, []string{boot.StageScript, boot.StageKernel}, b.Stages(tk))
}

func TestSiteIsChecked(t *testing.T) {
	t.Parallel()
	for field, site := range map[string]netboot.Site{
		"Config.Tree":       {},
		"Config.HTTP":       {Tree: new(artifact.Tree), HTTP: "ftp://192.0.2.1"},
		"Config.HTTP6":      {Tree: new(artifact.Tree), HTTP6: "http://u:hunter2@[2001:db8::1]"},
		"Config.TFTP":       {Tree: new(artifact.Tree), TFTP: "192.0.2.1:69"},
		"Config.TFTP6":      {Tree: new(artifact.Tree), TFTP6: "fe80::1%eth0"},
		"Config.ImageDirs":  {Tree: new(artifact.Tree), ImageDirs: []string{"images"}},
		"Config.KernelArgs": {Tree: new(artifact.Tree), KernelArgs: "a\nb"},
		"Config":            {Tree: new(artifact.Tree), HTTP: "http://h.example/" + strings.Repeat("x", 300), DHCP: &rig{}},
	} {
		f := family()
		f.Script = "entry"
		_, err := netboot.New(t.Context(), "line.New", site, f)
		require.ErrorIs(t, err, task.ErrInvalidParameter, field)
		require.Equal(t, field, err.(*task.Error).Field)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

package vmedia_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/fat"
	"github.com/ferrule/ferrule/boot/vmedia"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// drives are those of one machine, in memory.
type drives struct {
	media map[boot.Device]string
	calls []string
	fail  error
}

func (d *drives) Properties() task.Properties                      { return nil }
func (d *drives) Validate(ctx context.Context, _ *task.Task) error { return ctx.Err() }

func (d *drives) Insert(_ context.Context, _ *task.Task, kind boot.Device, url string) error {
	d.calls = append(d.calls, "insert "+string(kind))
	if d.fail != nil {
		return d.fail
	}
	d.media[kind] = url
	return nil
}

func (d *drives) Eject(_ context.Context, _ *task.Task, kind boot.Device, mine func(string) bool) error {
	d.calls = append(d.calls, "eject "+string(kind))
	if mine(d.media[kind]) {
		delete(d.media, kind)
	}
	return d.fail
}

func Example() {
	discs := new(vmedia.Discs)
	server := httptest.NewServer(discs)
	defer server.Close()
	machine := &drives{media: map[boot.Device]string{}}
	b, err := vmedia.New("example", vmedia.Site{Discs: discs, URL: server.URL}, machine)
	if err != nil {
		fmt.Println(err)
		return
	}
	node := &task.Node{UUID: "n1", DriverInfo: task.Info{"deploy_iso": "https://images.example.com/ramdisk.iso"}}
	err = b.PrepareRamdisk(context.Background(), &task.Task{Node: node}, boot.Params{"ipa-api-url": "http://192.0.2.1:6385"})
	fmt.Println(machine.calls, err)
	// Output: [insert floppy insert cdrom] <nil>
}

// newBoot returns one over a machine, with loaders for UEFI.
func newBoot(t *testing.T, d *drives) (*vmedia.Boot, *vmedia.Discs, *task.Task, *drivertest.Management) {
	dir := t.TempDir()
	for _, name := range []string{"kernel", "ramdisk", "bootx64.efi"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte(name), 100), 0o600))
	}
	discs := new(vmedia.Discs)
	b, err := vmedia.New("test", vmedia.Site{Discs: discs, URL: "http://192.0.2.1/media/", ImageDirs: []string{dir}, Loaders: map[string]string{"bootx64.efi": filepath.Join(dir, "bootx64.efi")}}, d)
	require.NoError(t, err)
	n := tasktest.Node("n1")
	n.DriverInfo["deploy_kernel"], n.DriverInfo["deploy_ramdisk"] = filepath.Join(dir, "kernel"), filepath.Join(dir, "ramdisk")
	tk := tasktest.Task(t, n)
	m := new(drivertest.Management)
	tk.Driver = &driver.Driver{Boot: b, Management: m}
	return b, discs, tk, m
}

func TestNewRefuses(t *testing.T) {
	_, err := vmedia.New("test", vmedia.Site{URL: "ftp://x", ImageDirs: []string{"here"}, KernelArgs: `a="b`}, &drives{})
	require.Len(t, task.Problems(err), 4)
	for _, p := range task.Problems(err) {
		require.ErrorIs(t, p, task.ErrInvalidParameter)
	}
}

func TestValidateNamesFields(t *testing.T) {
	b, _, tk, _ := newBoot(t, &drives{})
	require.NoError(t, b.Validate(t.Context(), tk))
	require.NoError(t, boot.ValidateRescue(t.Context(), b, tk))
	require.NoError(t, boot.ValidateInspection(t.Context(), b, tk))
	for name, c := range map[string]struct {
		change func(n *task.Node)
		fields []string
	}{
		"nothing":      {func(n *task.Node) { n.DriverInfo = nil }, []string{"driver_info.deploy_kernel"}},
		"half":         {func(n *task.Node) { delete(n.DriverInfo, "deploy_ramdisk") }, []string{"driver_info.deploy_ramdisk"}},
		"outside":      {func(n *task.Node) { n.DriverInfo["deploy_kernel"] = "/etc/passwd" }, []string{"driver_info.deploy_kernel"}},
		"URL":          {func(n *task.Node) { n.DriverInfo["deploy_kernel"] = "http://192.0.2.1/k" }, []string{"driver_info.deploy_kernel"}},
		"ISO":          {func(n *task.Node) { n.DriverInfo["deploy_iso"] = "/x.iso" }, []string{"driver_info.deploy_iso"}},
		"ISO password": {func(n *task.Node) { n.DriverInfo["deploy_iso"] = "http://u:canary@h/x.iso" }, []string{"driver_info.deploy_iso"}},
		"args":         {func(n *task.Node) { n.DriverInfo["kernel_append_params"] = "initrd=x 'y" }, []string{"driver_info.kernel_append_params", "driver_info.kernel_append_params"}},
		"instance":     {func(n *task.Node) { n.InstanceInfo = task.Info{"kernel_append_params": "\\"} }, []string{"instance_info.kernel_append_params"}},
		"BIOS":         {func(n *task.Node) { n.Properties["capabilities"] = "boot_mode:bios" }, []string{"properties.capabilities"}},
		"instance ISO": {func(n *task.Node) { n.InstanceInfo["boot_iso"] = "glance://x" }, []string{"instance_info.boot_iso"}},
		"partition": {func(n *task.Node) {
			n.InstanceInfo = task.Info{"capabilities": "boot_option:netboot", "image_type": "partition"}
		}, []string{"instance_info.kernel", "instance_info.ramdisk"}},
	} {
		t.Run(name, func(t *testing.T) {
			tk := &task.Task{Node: tk.Node.Clone()}
			c.change(tk.Node)
			err := b.Validate(t.Context(), tk)
			require.ErrorIs(t, err, task.ErrInvalidParameter)
			require.NotContains(t, err.Error(), "canary")
			var fields []string
			for _, p := range task.Problems(err) {
				var e *task.Error
				require.ErrorAs(t, p, &e)
				fields = append(fields, e.Field)
				require.NotEmpty(t, e.Remedy)
			}
			require.ElementsMatch(t, c.fields, fields, "%v", err)
		})
	}
}

func TestNamesAreKeptUntilCleanUp(t *testing.T) {
	d := &drives{media: map[boot.Device]string{}}
	b, discs, tk, m := newBoot(t, d)
	ctx := t.Context()
	require.NoError(t, b.PrepareRamdisk(ctx, tk, boot.Params{"a": "1"}))
	first := d.media[boot.CDROM]
	require.Regexp(t, `^http://192.0.2.1/media/[a-z0-9]{26}/node.iso$`, first)
	require.Equal(t, driver.BootSetting{Device: boot.CDROM}, m.Setting(tk.Node.UUID))
	require.NoError(t, b.PrepareRamdisk(ctx, tk, boot.Params{"a": "2"}))
	require.Equal(t, first, d.media[boot.CDROM])
	require.Len(t, discs.Names(tk.Node.UUID), 1)
	require.NoError(t, b.CleanUpRamdisk(ctx, tk))
	require.Empty(t, d.media)
	require.Empty(t, discs.Names(tk.Node.UUID))
	require.NoError(t, b.PrepareRamdisk(ctx, tk, nil))
	require.NotEqual(t, first, d.media[boot.CDROM])
}

func TestFailedEjectKeepsTheDisc(t *testing.T) {
	d := &drives{media: map[boot.Device]string{}}
	b, discs, tk, _ := newBoot(t, d)
	require.NoError(t, b.PrepareRamdisk(t.Context(), tk, nil))
	d.fail = errors.New("no answer")
	require.ErrorIs(t, b.CleanUpRamdisk(t.Context(), tk), d.fail)
	require.Len(t, discs.Names(tk.Node.UUID), 1, "the machine may still read it")
	d.fail = nil
	require.NoError(t, b.CleanUpRamdisk(t.Context(), tk))
	require.Empty(t, discs.Names(tk.Node.UUID))
}

func TestCapabilities(t *testing.T) {
	for url, secret := range map[string]bool{"http://192.0.2.1": false, "https://192.0.2.1": true} {
		b, err := vmedia.New("test", vmedia.Site{Discs: new(vmedia.Discs), URL: url}, &drives{})
		require.NoError(t, err)
		require.Equal(t, secret, boot.Can(b, boot.SecretParams))
		require.True(t, boot.Can(b, boot.RamdiskBoot))
	}
}

type holder struct{ closed int }

func (h *holder) Close() error { h.closed++; return nil }

func TestDiscs(t *testing.T) {
	discs, ctx := new(vmedia.Discs), t.Context()
	floppy, err := fat.New(fat.Config{Size: fat.Floppy})
	require.NoError(t, err)
	first, second, third := new(holder), new(holder), new(holder)
	require.NoError(t, discs.Publish(ctx, vmedia.Disc{Owner: "n1", Name: "t/a.img", Content: floppy, Holder: first}))
	require.NoError(t, discs.Publish(ctx, vmedia.Disc{Owner: "n1", Name: "t/a.img", Content: floppy, Holder: second}))
	require.Equal(t, 1, first.closed, "replaced")
	require.ErrorIs(t, discs.Publish(ctx, vmedia.Disc{Owner: "n2", Name: "t/a.img", Content: floppy, Holder: third}), task.ErrExists)
	require.Equal(t, 1, third.closed, "not published")
	require.ErrorIs(t, discs.Publish(ctx, vmedia.Disc{Owner: "n2", Name: "../a", Content: floppy}), task.ErrInvalidParameter)

	get := func(path, header string) (*http.Response, []byte) {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Range", header)
		discs.ServeHTTP(w, r)
		data, err := io.ReadAll(w.Result().Body)
		require.NoError(t, err)
		return w.Result(), data
	}
	r, data := get("/t/a.img", "bytes=510-511")
	require.Equal(t, http.StatusPartialContent, r.StatusCode)
	require.Equal(t, []byte{0x55, 0xaa}, data)
	require.NoError(t, discs.Withdraw(ctx, "n1", "t/a.img"), "but that one")
	require.Zero(t, second.closed)
	require.NoError(t, discs.Withdraw(ctx, "n1"))
	require.NoError(t, discs.Withdraw(ctx, "n1"))
	require.Equal(t, 1, second.closed)
	r, _ = get("/t/a.img", "")
	require.Equal(t, http.StatusNotFound, r.StatusCode)
	require.False(t, strings.Contains(fmt.Sprint(discs.Names("n1")), "a"))
}

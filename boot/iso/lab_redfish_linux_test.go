package iso_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/iso"
	"github.com/ferrule/ferrule/boot/vmedia"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/driver/redfish"
	"github.com/ferrule/ferrule/driver/redfish/redfishtest"
	"github.com/ferrule/ferrule/examples/qemu/machine"
	"github.com/ferrule/ferrule/internal/lab"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// TestBootsThroughRedfish has a driver start real firmware through a BMC: the image
// is composed, published, inserted, and made the boot device; then the power is
// switched on.
func TestBootsThroughRedfish(t *testing.T) {
	lab.Need(t)
	lab.Network(t)
	dir := t.TempDir()
	data, err := os.ReadFile(lab.Kernel(t))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kernel"), data, 0o644))
	ramdisk := lab.Ramdisk(t, dir)
	loaders := map[string]string{}
	for _, p := range packages[1:] {
		maps.Copy(loaders, iso.DebianLoaders(lab.Deb(t, p)))
	}
	for _, firmware := range []task.BootMode{task.BIOS, task.UEFI} {
		t.Run(string(firmware), func(t *testing.T) {
			m := bmctest.NewMachine()
			discs := new(vmedia.Discs)
			mux := http.NewServeMux()
			mux.Handle("/media/", http.StripPrefix("/media", discs))
			mux.HandleFunc("/drive", func(w http.ResponseWriter, r *http.Request) { // QEMU's drive is what the BMC has inserted
				u, err := url.Parse(m.Media()[bmctest.CD])
				if err != nil || u.Path == "" {
					http.NotFound(w, r)
					return
				}
				inner := r.Clone(r.Context())
				inner.URL.Path = strings.TrimPrefix(u.Path, "/media")
				discs.ServeHTTP(w, inner)
			})
			server := httptest.NewServer(mux)
			t.Cleanup(server.Close)

			console, rack := new(lab.Log), new(machine.Rack)
			t.Cleanup(rack.Close)
			qemu, err := rack.Add(machine.Config{Name: "m", Firmware: firmware, MAC: "52:54:00:77:00:03", Netdev: "user", NoROM: true, Dir: t.TempDir(), Console: console, CD: server.URL + "/drive"})
			require.NoError(t, err)
			m.IsOn = qemu.On
			m.OnBoot = func(d boot.Device, once bool) { qemu.SetBootDevice(d, !once) }
			m.OnPower = func(on bool) {
				if !on {
					qemu.PowerOff()
				} else if err := qemu.PowerOn(context.Background()); err != nil {
					t.Error(err)
				}
			}
			bmc := redfishtest.NewBMC(t, redfishtest.Config{Personality: redfishtest.ILO6, Machine: m})
			bmcs := new(redfish.BMCs)
			t.Cleanup(bmcs.Close)
			b, err := bmcs.NewBoot(vmedia.Site{Discs: discs, URL: server.URL + "/media", Loaders: loaders, ImageDirs: []string{dir}, KernelArgs: "console=ttyS0 quiet"})
			require.NoError(t, err)
			n := tasktest.Node("n1")
			n.Properties = task.Info{"capabilities": "boot_mode:" + string(firmware)}
			n.DriverInfo = task.Info{
				"redfish_address": bmc.URL, "redfish_username": bmctest.User, "redfish_password": bmctest.Password, "redfish_fingerprint": bmc.Fingerprint(),
				"deploy_kernel": filepath.Join(dir, "kernel"), "deploy_ramdisk": ramdisk,
			}
			tk := &task.Task{Node: n, Driver: &driver.Driver{Power: bmcs.Power(), Management: bmcs.Management(), Boot: b}}
			ctx := t.Context()
			require.NoError(t, b.Validate(ctx, tk))
			require.NoError(t, b.PrepareRamdisk(ctx, tk, boot.Params{"ipa-api-url": "http://10.77.0.1:6385", "lab.d": "two words"}))
			start := time.Now()
			require.NoError(t, driver.SetPower(ctx, tk, driver.PowerOn))
			line := console.Line(t, "LAB-CMDLINE: ", 3*time.Minute)
			t.Logf("ramdisk after %.1f s", time.Since(start).Seconds())
			got, err := boot.ParseKernelArgs(line)
			require.NoError(t, err)
			require.Contains(t, got, boot.KernelArg{Key: "ipa-api-url", Value: "http://10.77.0.1:6385"})
			require.Contains(t, got, boot.KernelArg{Key: "lab.d", Value: "two words"})
			require.Contains(t, console.Line(t, "LAB-FIRMWARE: ", time.Minute), fmt.Sprintf("uefi=%t", firmware == task.UEFI))
			require.NoError(t, driver.SetPower(ctx, tk, driver.PowerOff))
			require.NoError(t, b.PrepareInstance(ctx, tk))
			require.Equal(t, boot.Disk, m.State().Persistent)
			require.Empty(t, m.Media())
			require.Empty(t, discs.Names(n.UUID))
		})
	}
}

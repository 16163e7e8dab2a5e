package redfish_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/driver/redfish"
	"github.com/ferrule/ferrule/driver/redfish/redfishtest"
	"github.com/ferrule/ferrule/task"
)

const image = "https://192.0.2.1/x/node.iso"

// A plain client does what the specification's examples do, and nothing else.
type plain struct {
	t *testing.T
	b *redfishtest.BMC
}

const (
	system = "/redfish/v1/Systems/1"
	cdSlot = system + "/VirtualMedia/2"
)

// do sends one request and returns its status and what came.
func (p plain) do(method, path string, body any) (int, map[string]any) {
	var r io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		require.NoError(p.t, err)
		r = bytes.NewReader(data)
	}
	req, err := http.NewRequest(method, p.b.URL+path, r)
	require.NoError(p.t, err)
	req.SetBasicAuth(bmctest.User, bmctest.Password)
	res, err := p.b.Server.Client().Do(req)
	require.NoError(p.t, err)
	defer res.Body.Close()
	var v map[string]any
	_ = json.NewDecoder(res.Body).Decode(&v)
	return res.StatusCode, v
}

// insert inserts as the specification says, and reports whether the machine has
// the medium then.
func (p plain) insert() bool {
	p.do("POST", cdSlot+"/Actions/VirtualMedia.InsertMedia", map[string]any{"Image": image, "Inserted": true, "WriteProtected": true})
	return p.b.Machine.Media()["cd"] == image
}

func (p plain) eject() bool {
	p.do("POST", cdSlot+"/Actions/VirtualMedia.EjectMedia", map[string]any{})
	return p.b.Machine.Media()["cd"] == ""
}

func (p plain) setBoot(target, enabled string) bool {
	status, _ := p.do("PATCH", system, map[string]any{"Boot": map[string]string{"BootSourceOverrideTarget": target, "BootSourceOverrideEnabled": enabled}})
	return status < 300
}

// Ours does the same through the driver.
type ours struct {
	t    *testing.T
	b    *redfishtest.BMC
	bmcs *redfish.BMCs
	task *task.Task
}

func (o ours) client() *redfish.Client {
	c, err := o.bmcs.Client(access(o.b))
	require.NoError(o.t, err)
	return c
}

func (o ours) insert() bool {
	require.NoError(o.t, o.client().Insert(o.t.Context(), boot.CDROM, image))
	return o.b.Machine.Media()["cd"] == image
}

func (o ours) eject() bool {
	require.NoError(o.t, o.client().Eject(o.t.Context(), boot.CDROM, func(string) bool { return true }))
	return o.b.Machine.Media()["cd"] == ""
}

func (o ours) setBoot(d boot.Device, persistent bool) bool {
	require.NoError(o.t, o.bmcs.Management().SetBootDevice(o.t.Context(), o.task, driver.BootSetting{Device: d, Persistent: persistent}))
	got, err := o.bmcs.Management().BootDevice(o.t.Context(), o.task)
	require.NoError(o.t, err)
	return got == driver.BootSetting{Device: d, Persistent: persistent}
}

func (o ours) power(state driver.PowerState) {
	require.NoError(o.t, o.bmcs.Power().SetPowerState(o.t.Context(), o.task, state))
}

// TestQuirks shows of each quirk that a plain client meets it, and that ours gets
// done what was asked for all the same.
func TestQuirks(t *testing.T) {
	once := func(p plain) bool { return p.setBoot("Cd", "Once") && p.b.Machine.State().Once == boot.CDROM }
	ourOnce := func(o ours) bool { return o.setBoot(boot.CDROM, false) && o.b.Machine.State().Once == boot.CDROM }
	for _, c := range []struct {
		quirk redfishtest.Quirk
		plain func(p plain) bool // reports whether it worked
		ours  func(o ours) bool
	}{
		{redfishtest.InsertImageOnly, plain.insert, ours.insert},
		{redfishtest.InsertWantsTransfer, plain.insert, ours.insert},
		{redfishtest.InsertByPatch, plain.insert, ours.insert},
		{redfishtest.InsertByOem, plain.insert, ours.insert},
		{redfishtest.InsertLater, plain.insert, ours.insert},
		{redfishtest.ManagerMedia, plain.insert, ours.insert},
		{redfishtest.NoSessions, func(p plain) bool {
			status, _ := p.do("POST", "/redfish/v1/SessionService/Sessions", map[string]string{"UserName": bmctest.User, "Password": bmctest.Password})
			return status < 300
		}, ours.insert},
		{redfishtest.EjectWantsNoBody,
			func(p plain) bool { return p.insert() && p.eject() },
			func(o ours) bool { return o.insert() && o.eject() }},
		{redfishtest.EjectWantsBody,
			func(p plain) bool {
				p.insert()
				p.do("POST", cdSlot+"/Actions/VirtualMedia.EjectMedia", nil)
				return p.b.Machine.Media()["cd"] == ""
			},
			func(o ours) bool { return o.insert() && o.eject() }},
		{redfishtest.EjectRefusesEmpty,
			func(p plain) bool {
				status, _ := p.do("POST", cdSlot+"/Actions/VirtualMedia.EjectMedia", map[string]any{})
				return status < 300
			}, ours.eject},
		{redfishtest.StaleInserted,
			func(p plain) bool { // what is inserted already needs no inserting, one would think
				p.insert()
				p.b.Lose("cd")
				_, slot := p.do("GET", cdSlot, nil)
				return slot["Image"] == image && slot["Inserted"] == true && p.b.Machine.Media()["cd"] == image
			},
			func(o ours) bool {
				o.insert()
				o.b.Lose("cd")
				return o.insert()
			}},
		{redfishtest.NoInsertedField,
			func(p plain) bool {
				p.insert()
				_, slot := p.do("GET", cdSlot, nil)
				return slot["Inserted"] == true
			},
			func(o ours) bool { return o.insert() && o.eject() }},
		{redfishtest.DVDOnly,
			func(p plain) bool {
				_, slot := p.do("GET", cdSlot, nil)
				types, _ := slot["MediaTypes"].([]any)
				return len(types) > 0 && types[0] == "CD"
			}, ours.insert},
		{redfishtest.UsbCd, once, ourOnce},
		{redfishtest.NoopRefused,
			func(p plain) bool {
				first := once(p)
				return once(p) && first
			},
			func(o ours) bool {
				first := ourOnce(o)
				return ourOnce(o) && first
			}},
		{redfishtest.WantsMode, once, ourOnce},
		{redfishtest.WantsETag, once, ourOnce},
		{redfishtest.SettingsResource, once, ourOnce},
		{redfishtest.WeakETag,
			func(p plain) bool { // sends the ETag that it was given
				req, err := http.NewRequest("GET", p.b.URL+system, nil)
				require.NoError(p.t, err)
				req.SetBasicAuth(bmctest.User, bmctest.Password)
				res, err := p.b.Server.Client().Do(req)
				require.NoError(p.t, err)
				res.Body.Close()
				req, err = http.NewRequest("PATCH", p.b.URL+system, bytes.NewReader([]byte(`{"Boot":{"BootSourceOverrideTarget":"Cd","BootSourceOverrideEnabled":"Once"}}`)))
				require.NoError(p.t, err)
				req.SetBasicAuth(bmctest.User, bmctest.Password)
				req.Header.Set("If-Match", res.Header.Get("ETag"))
				if res, err = p.b.Server.Client().Do(req); err == nil {
					res.Body.Close()
				}
				return p.b.Machine.State().Once == boot.CDROM
			},
			func(o ours) bool { return ourOnce(o) && o.setBoot(boot.PXE, true) }},
		{redfishtest.OnlyPersistent,
			func(p plain) bool { return once(p) },
			func(o ours) bool {
				require.NoError(o.t, o.bmcs.Management().SetBootDevice(o.t.Context(), o.task, driver.BootSetting{Device: boot.CDROM}))
				return o.b.Machine.State().Persistent == boot.CDROM && o.setBoot(boot.Disk, true)
			}},
		{redfishtest.SilentlyOnce,
			func(p plain) bool {
				return p.setBoot("Pxe", "Continuous") && p.b.Machine.State().Persistent == boot.PXE
			},
			func(o ours) bool {
				from := boot.Device("")
				o.setBoot(boot.PXE, true)
				o.power(driver.Reboot)
				o.b.Machine.OnPower = func(bool) { from = o.b.Machine.State().Once }
				o.power(driver.Reboot)
				return from == boot.PXE
			}},
		{redfishtest.OnceOnly,
			func(p plain) bool { return p.setBoot("Pxe", "Continuous") },
			func(o ours) bool {
				o.setBoot(boot.PXE, true)
				from := []boot.Device{}
				o.b.Machine.OnPower = func(on bool) {
					if on {
						from = append(from, o.b.Machine.State().Once)
					}
				}
				for range 3 {
					o.power(driver.Reboot)
				}
				return len(from) == 3 && from[0] == boot.PXE && from[1] == boot.PXE && from[2] == boot.PXE
			}},
		{redfishtest.SlowPower,
			func(p plain) bool {
				p.do("POST", system+"/Actions/ComputerSystem.Reset", map[string]string{"ResetType": "On"})
				_, s := p.do("GET", system, nil)
				return s["PowerState"] == "On"
			},
			func(o ours) bool {
				o.power(driver.PowerOn)
				state, err := o.bmcs.Power().PowerState(o.t.Context(), o.task)
				return err == nil && state == driver.PowerOn
			}},
		{redfishtest.ShortSessions,
			func(p plain) bool {
				req, _ := http.NewRequest("POST", p.b.URL+"/redfish/v1/SessionService/Sessions", bytes.NewReader([]byte(`{"UserName":"`+bmctest.User+`","Password":"`+bmctest.Password+`"}`)))
				res, err := p.b.Server.Client().Do(req)
				require.NoError(p.t, err)
				res.Body.Close()
				status := 0
				for range 7 {
					req, _ := http.NewRequest("GET", p.b.URL+system, nil)
					req.Header.Set("X-Auth-Token", res.Header.Get("X-Auth-Token"))
					r, err := p.b.Server.Client().Do(req)
					require.NoError(p.t, err)
					r.Body.Close()
					status = r.StatusCode
				}
				return status < 300
			},
			func(o ours) bool { return o.insert() && o.eject() && o.insert() && o.eject() }},
		{redfishtest.AbsoluteLocation,
			func(p plain) bool {
				req, _ := http.NewRequest("POST", p.b.URL+"/redfish/v1/SessionService/Sessions", bytes.NewReader([]byte(`{"UserName":"`+bmctest.User+`","Password":"`+bmctest.Password+`"}`)))
				res, err := p.b.Server.Client().Do(req)
				require.NoError(p.t, err)
				res.Body.Close()
				p.do("DELETE", "/"+res.Header.Get("Location"), nil) // as the path that it is expected to be
				open, _ := p.b.Sessions()
				return open == 0
			},
			func(o ours) bool {
				o.insert()
				o.bmcs.Close()
				open, _ := o.b.Sessions()
				return open == 0
			}},
		{redfishtest.WantsSlash,
			func(p plain) bool {
				p.b.Server.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
				return once(p)
			},
			func(o ours) bool {
				o.power(driver.PowerOn)
				return ourOnce(o) && o.insert()
			}},
	} {
		t.Run(string(c.quirk), func(t *testing.T) {
			newBMC := func() *redfishtest.BMC {
				return redfishtest.NewBMC(t, redfishtest.Config{Quirks: []redfishtest.Quirk{c.quirk}})
			}
			require.False(t, c.plain(plain{t, newBMC()}), "a plain client does not get it done")
			b := newBMC()
			require.True(t, c.ours(ours{t, b, newBMCs(t), onBMC(t, b, "n1")}), "ours does")
		})
	}
}

func TestInsertThatIsForgottenIsAnError(t *testing.T) {
	b := redfishtest.NewBMC(t, redfishtest.Config{Quirks: []redfishtest.Quirk{redfishtest.InsertForgets}})
	bmcs := newBMCs(t)
	bmcs.Patience = 1
	c, err := bmcs.Client(access(b))
	require.NoError(t, err)
	require.ErrorIs(t, c.Insert(context.Background(), boot.CDROM, image), task.ErrTimeout)
}

func TestEveryPersonality(t *testing.T) {
	for _, p := range redfishtest.Personalities() {
		t.Run(p.Name, func(t *testing.T) {
			b := redfishtest.NewBMC(t, redfishtest.Config{Personality: p})
			bmcs := newBMCs(t)
			o := ours{t, b, bmcs, onBMC(t, b, "n1")}
			b.Machine.Insert("cd", "")
			require.True(t, o.insert())
			require.True(t, o.insert(), "in place of what is there")
			require.NoError(t, o.client().Insert(t.Context(), boot.Floppy, "https://192.0.2.1/x/floppy.img"))
			require.True(t, o.setBoot(boot.CDROM, false))
			o.power(driver.PowerOn)
			require.Empty(t, b.Machine.State().Once, "used up")
			require.NoError(t, o.client().Eject(t.Context(), boot.CDROM, func(s string) bool { return s == "another" }))
			require.Equal(t, image, b.Machine.Media()["cd"], "not ours")
			require.True(t, o.eject())
			require.True(t, o.eject(), "again")
			require.True(t, o.setBoot(boot.Disk, true))
			bmcs.Close()
			open, most := b.Sessions()
			require.Zero(t, open)
			require.Equal(t, 1, most)
		})
	}
}

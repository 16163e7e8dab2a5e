package ilo_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/ilo"
	"github.com/ferrule/ferrule/ilo/ilotest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func Example() {
	bmcs := new(ilo.BMCs)
	defer bmcs.Close()
	node := &task.Node{Name: "node-1", DriverInfo: task.Info{"ilo_address": "192.0.2.9", "ilo_username": "operator"}}
	err := bmcs.Power().Validate(context.Background(), &task.Task{Node: node})
	fmt.Println(err)
	// Output: ilo.Validate: node node-1: driver_info.ilo_password: missing (set it to the password on the iLO)
}

func TestValidate(t *testing.T) {
	bmcs := newBMCs(t)
	require.Len(t, task.Problems(bmcs.Power().Validate(t.Context(), &task.Task{Node: tasktest.Node("n1")})), 3)
	for field, value := range map[string]any{
		"ilo_address": "https://x/", "client_port": 70000, "ilo_protocol": "snmp", "ilo_verify_ca": "/nowhere", "ilo_fingerprint": "1", "ilo_old_ciphers": "perhaps",
	} {
		n := tasktest.Node("n1")
		n.DriverInfo = task.Info{"ilo_address": "fd00::1", "ilo_username": "u", "ilo_password": "p"}
		require.NoError(t, bmcs.Management().Validate(t.Context(), &task.Task{Node: n}))
		n.DriverInfo[field] = value
		err := bmcs.Management().Validate(t.Context(), &task.Task{Node: n})
		require.ErrorIs(t, err, task.ErrInvalidParameter)
		var e *task.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, "driver_info."+field, e.Field)
	}
}

func TestErrorsHaveClasses(t *testing.T) {
	tries := bmc.DefaultBudgets()[bmc.Busy].Retries + 1 // those of quick
	for name, c := range map[string]struct {
		prepare  func(i *ilotest.ILO, tk *task.Task)
		class    bmc.Class
		requests int // that come to the iLO
	}{
		"wrong password":   {func(_ *ilotest.ILO, tk *task.Task) { tk.Node.DriverInfo["ilo_password"] = "wrong-canary" }, bmc.Authentication, 2},
		"unknown host":     {func(_ *ilotest.ILO, tk *task.Task) { tk.Node.DriverInfo["client_port"] = 1 }, bmc.Unreachable, 0},
		"certificate":      {func(_ *ilotest.ILO, tk *task.Task) { delete(tk.Node.DriverInfo, "ilo_fingerprint") }, bmc.Unreachable, 0},
		"for ever in POST": {func(i *ilotest.ILO, _ *task.Task) { i.Machine.Change(func(s *bmctest.State) { s.Post = 1e6 }) }, bmc.Busy, 1 + tries},
		"for ever down":    {func(i *ilotest.ILO, _ *task.Task) { i.Machine.Change(func(s *bmctest.State) { s.Down = 1e6 }) }, bmc.Busy, tries},
		"no RIBCL": {func(i *ilotest.ILO, tk *task.Task) {
			tk.Node.DriverInfo["ilo_protocol"] = "redfish"
		}, bmc.Unsupported, 3},
	} {
		t.Run(name, func(t *testing.T) {
			i := ilotest.NewILO(t, ilotest.Config{Quirks: []ilotest.Quirk{ilotest.EchoesPassword, ilotest.NoREST}})
			tk := onILO(t, i, "n1")
			c.prepare(i, tk)
			err := newBMCs(t).Management().SetBootDevice(t.Context(), tk, driver.BootSetting{Device: boot.PXE})
			require.Equal(t, c.class, bmc.ClassOf(err), "%v", err)
			require.Equal(t, c.requests, i.Traffic().Len(), "%q", i.Requests())
			require.NotContains(t, err.Error(), "canary")
		})
	}
}

func TestBusyEnds(t *testing.T) {
	for g := 4; g <= 6; g++ {
		i := ilotest.NewILO(t, ilotest.Config{Generation: g})
		i.Machine.Change(func(s *bmctest.State) { s.Post, s.Down = 3, 3 })
		o := ours{t, i, newBMCs(t), onILO(t, i, "n1")}
		require.True(t, o.set(boot.CDROM, false))
		i.Machine.Change(func(s *bmctest.State) { s.Down = 3 })
		require.True(t, o.insert(), "it restarts in the middle")
		require.True(t, o.eject())
	}
}

func TestWrongPasswordIsTriedOnce(t *testing.T) {
	for _, g := range []int{4, 5} {
		i := ilotest.NewILO(t, ilotest.Config{Generation: g})
		bmcs := newBMCs(t)
		tk := onILO(t, i, "n1")
		tk.Node.DriverInfo["ilo_password"] = "wrong"
		for range 20 {
			_, err := bmcs.Power().PowerState(t.Context(), tk)
			require.Equal(t, bmc.Authentication, bmc.ClassOf(err))
		}
		require.Equal(t, 1, i.Refused())
		_, err := bmcs.Power().PowerState(t.Context(), onILO(t, i, "n1"))
		require.NoError(t, err)
	}
}

// TestManyOperations has 500 operations on one iLO at once: some are canceled,
// some panic in the middle of a request, and the password changes in the middle.
func TestManyOperations(t *testing.T) {
	const gap = 200 * time.Microsecond
	for _, g := range []int{4, 5} {
		i := ilotest.NewILO(t, ilotest.Config{Generation: g})
		bmcs := newBMCs(t)
		bmcs.Limits = bmc.Limits{Requests: 3, Gap: gap}
		const changed = "changed-canary"
		change := make(chan struct{})
		var ended, panicked atomic.Int32
		start := time.Now()
		var wg sync.WaitGroup
		for k := range 500 {
			wg.Go(func() {
				defer func() {
					if ended.Add(1) == 200 {
						i.Machine.SetPassword(bmctest.User, changed)
						close(change)
					}
				}()
				tk := onILO(t, i, "n1")
				if k >= 250 { // those before it that are not through have the old one
					<-change
					tk.Node.DriverInfo["ilo_password"] = changed
				}
				ctx := t.Context()
				switch {
				case k%10 < 3:
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.Int64N(int64(200*time.Millisecond))))
					defer cancel()
				case k%10 == 9:
					ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GetConn: func(string) { panic("driver") }}) // with a slot
				}
				err := task.Guard("test", tk.Node, func() error {
					if k%2 == 0 {
						_, err := bmcs.Power().PowerState(ctx, tk)
						return err
					}
					return bmcs.Drives().Eject(ctx, tk, boot.CDROM, func(string) bool { return true })
				})
				if err != nil && strings.Contains(err.Error(), "canary") {
					t.Error("a password in an error")
				}
				if err != nil && strings.Contains(err.Error(), "panic") {
					panicked.Add(1)
				}
			})
		}
		wg.Wait()
		require.Greater(t, panicked.Load(), int32(10), "three would have kept all slots")
		tk := onILO(t, i, "n1")
		tk.Node.DriverInfo["ilo_password"] = changed
		_, err := bmcs.Power().PowerState(t.Context(), tk)
		require.NoError(t, err)
		bmcs.Close()
		require.LessOrEqual(t, i.Refused(), 3, "the account is not locked")
		require.Zero(t, i.Traffic().TooEarly(start, gap), "of %d requests", i.Traffic().Len())
		if i.Redfish != nil {
			open, most := i.Redfish.Sessions()
			require.Zero(t, open)
			require.LessOrEqual(t, most, 2)
		}
		_, err = bmcs.Power().PowerState(t.Context(), onILO(t, i, "n1"))
		require.Error(t, err, "closed")
	}
}

// TestRequestsAtOnce has nobody go away, for the iLO is busy with a request then
// that its client no longer counts.
func TestRequestsAtOnce(t *testing.T) {
	for _, g := range []int{4, 5} {
		i := ilotest.NewILO(t, ilotest.Config{Generation: g})
		bmcs := newBMCs(t)
		bmcs.Limits.Requests = 3
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				_, err := bmcs.Power().PowerState(t.Context(), onILO(t, i, "n1"))
				require.NoError(t, err)
			})
		}
		wg.Wait()
		require.LessOrEqual(t, i.Traffic().Most(), 3)
		require.Greater(t, i.Traffic().Most(), 1)
	}
}

// found returns the addresses of the ports that inspection added.
func found(tk *task.Task) []string {
	var all []string
	for _, p := range tk.Ports {
		if strings.HasPrefix(p.Address, "52:54:00:00:00:") {
			all = append(all, p.Address)
		}
	}
	return all
}

func TestInspectAndSensors(t *testing.T) {
	i := ilotest.NewILO(t, ilotest.Config{})
	bmcs, tk := newBMCs(t), onILO(t, i, "n1")
	state, err := bmcs.Inspect().InspectHardware(t.Context(), tk)
	require.NoError(t, err)
	require.Equal(t, task.Manageable, state)
	require.EqualValues(t, 48*1024, tk.Node.Properties["memory_mb"])
	require.Equal(t, 16, tk.Node.Properties["cpus"])
	require.Equal(t, []string{"52:54:00:00:00:11"}, found(tk), "and not the iLO's own")
	require.NoError(t, bmcs.Inspect().AbortInspection(t.Context(), tk))
	sensors, err := bmcs.Management().Sensors(t.Context(), tk)
	require.NoError(t, err)
	require.Equal(t, []driver.Sensor{
		{Name: "01-Inlet Ambient", Kind: "temperature", Value: 21, Unit: "Celsius", State: "ok"},
		{Name: "Fan 1", Kind: "fan", Value: 12, Unit: "Percentage", State: "ok"},
		{Name: "Power Supply 1", Kind: "state", State: "ok"},
	}, sensors)
}

func TestWhatRIBCLCannot(t *testing.T) {
	m, ctx := newBMCs(t).Management(), t.Context()
	only := onILO(t, ilotest.NewILO(t, ilotest.Config{}), "n1")
	only.Node.DriverInfo["ilo_protocol"] = "ribcl"
	for _, old := range []*task.Task{onILO(t, ilotest.NewILO(t, ilotest.Config{Quirks: []ilotest.Quirk{ilotest.NoREST}}), "n1"), only} {
		require.ErrorIs(t, m.SendNMI(ctx, old), task.ErrUnsupported)
		require.ErrorIs(t, m.SetSecureBoot(ctx, old, true), task.ErrUnsupported)
		_, err := m.SecureBoot(ctx, old)
		require.ErrorIs(t, err, task.ErrUnsupported)
	}
	for _, g := range []int{4, 5, 6} {
		i := ilotest.NewILO(t, ilotest.Config{Generation: g})
		tk := onILO(t, i, "n1")
		require.NoError(t, m.SendNMI(ctx, tk))
		require.Equal(t, 1, i.Machine.State().NMIs)
		require.NoError(t, m.SetSecureBoot(ctx, tk, true))
		on, err := m.SecureBoot(ctx, tk)
		require.NoError(t, err)
		require.True(t, on)
		require.True(t, i.Machine.State().SecureBoot)
	}
}

func TestSteps(t *testing.T) {
	for _, g := range []int{3, 4, 6} {
		i := ilotest.NewILO(t, ilotest.Config{Generation: g})
		m, tk := newBMCs(t).Management(), onILO(t, i, "n1")
		steps, err := m.Steps(t.Context(), tk, deploy.CleanSteps)
		require.NoError(t, err)
		require.Len(t, steps, 5)
		for _, s := range steps {
			if s.Name == "reset_ilo_credential" {
				require.Zero(t, s.Priority, "there is no other password")
				continue
			}
			state, err := m.ExecuteStep(t.Context(), tk, deploy.CleanSteps, s)
			require.Empty(t, state)
			if g == 3 && s.Name == "clear_secure_boot_keys" {
				require.ErrorIs(t, err, task.ErrUnsupported, "somebody asked for it")
				continue
			}
			require.NoError(t, err, s.Name)
		}
		state := i.Machine.State()
		require.Equal(t, 1, state.Resets)
		require.Equal(t, g == 6, state.BIOSResets == 1)
		require.Equal(t, g > 3, state.Keys == "DeleteAllKeys")
		_, err = m.ExecuteStep(t.Context(), tk, deploy.CleanSteps, deploy.Step{Interface: "management", Name: "other"})
		require.ErrorIs(t, err, task.ErrUnsupported)
		none, err := m.Steps(t.Context(), tk, deploy.DeploySteps)
		require.NoError(t, err)
		require.Empty(t, none)
	}
}

func TestBootIntoISO(t *testing.T) {
	i := ilotest.NewILO(t, ilotest.Config{})
	bmcs, tk := newBMCs(t), onILO(t, i, "n1")
	tk.Driver = &driver.Driver{Power: bmcs.Power(), Management: bmcs.Management(), Vendor: bmcs.Vendor()}
	var booted string
	i.Machine.OnPower = func(on bool) {
		if on {
			booted = string(i.Machine.State().Once) + " " + i.Machine.Media()["cd"]
		}
	}
	call := driver.VendorCall{Method: "boot_into_iso", Verb: "POST", Args: task.Info{"boot_iso_href": "http://192.0.2.1/tools.iso"}}
	_, err := driver.CallVendor(t.Context(), tk, call)
	require.ErrorIs(t, err, task.ErrInvalidState)
	tk.Node.ProvisionState = task.Manageable
	_, err = driver.CallVendor(t.Context(), tk, driver.VendorCall{Method: "boot_into_iso", Verb: "POST"})
	require.ErrorIs(t, err, task.ErrMissingParameter)
	_, err = driver.CallVendor(t.Context(), tk, call)
	require.NoError(t, err)
	require.Equal(t, "cdrom http://192.0.2.1/tools.iso", booted)
}

func TestPasswordsAppearNowhere(t *testing.T) {
	var log bytes.Buffer
	for _, g := range []int{4, 5} {
		i := ilotest.NewILO(t, ilotest.Config{Generation: g, Quirks: []ilotest.Quirk{ilotest.EchoesPassword}})
		i.Machine.Change(func(s *bmctest.State) { s.Unlicensed = true })
		bmcs, tk := newBMCs(t), onILO(t, i, "n1")
		tk.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		err := bmcs.Drives().Insert(t.Context(), tk, boot.CDROM, image)
		require.Equal(t, bmc.Licence, bmc.ClassOf(err))
		dump := fmt.Sprintf("%v %+v %#v %s %+v %+v", err, err, err, &log, tk.Node.DriverInternalInfo, tk.Node.DriverInfo.Redacted())
		require.NotContains(t, dump, bmctest.Password)
	}
	require.True(t, newBMCs(t).Power().Properties()["driver_info.ilo_password"].Secret)
}

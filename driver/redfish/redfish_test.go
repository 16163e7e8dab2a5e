package redfish_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/driver/redfish"
	"github.com/ferrule/ferrule/driver/redfish/redfishtest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestValidate(t *testing.T) {
	bmcs := newBMCs(t)
	tk := &task.Task{Node: tasktest.Node("n1")}
	require.ErrorIs(t, bmcs.Power().Validate(t.Context(), tk), task.ErrMissingParameter)
	for field, value := range map[string]any{
		"redfish_address":     "ftp://x",
		"redfish_verify_ca":   "/nowhere.pem",
		"redfish_fingerprint": "12",
		"redfish_system_id":   "https://elsewhere/redfish/v1/Systems/1",
		"redfish_auth_type":   "kerberos",
		"redfish_old_ciphers": "perhaps",
	} {
		tk := &task.Task{Node: tasktest.Node("n1")}
		tk.Node.DriverInfo["redfish_address"] = "bmc.example.com"
		require.NoError(t, bmcs.Management().Validate(t.Context(), tk))
		tk.Node.DriverInfo[field] = value
		err := bmcs.Management().Validate(t.Context(), tk)
		require.ErrorIs(t, err, task.ErrInvalidParameter, field)
		var e *task.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, "driver_info."+field, e.Field)
		require.NotEmpty(t, e.Remedy)
	}
	for _, good := range []string{"192.0.2.1", "fd00::1", "[fd00::1]:8443", "http://bmc:8000/", "https://bmc"} {
		tk.Node.DriverInfo["redfish_address"] = good
		require.NoError(t, bmcs.Power().Validate(t.Context(), tk), good)
	}
	require.True(t, bmcs.Power().Properties()["driver_info.redfish_password"].Secret)
}

func TestSensors(t *testing.T) {
	b := redfishtest.NewBMC(t, redfishtest.Config{})
	got, err := newBMCs(t).Management().Sensors(t.Context(), onBMC(t, b, "n1"))
	require.NoError(t, err)
	require.Equal(t, []driver.Sensor{
		{Name: "Inlet", Kind: "temperature", Value: 21.5, Unit: "Celsius", State: "ok"},
		{Name: "Fan 1", Kind: "fan", Value: 12, Unit: "Percent", State: "critical"},
		{Name: "PSU 1", Kind: "power", Value: 105, Unit: "Watts", State: "ok"},
	}, got)
}

func TestModeSecureBootAndNMI(t *testing.T) {
	b := redfishtest.NewBMC(t, redfishtest.Config{})
	m, tk, ctx := newBMCs(t).Management(), onBMC(t, b, "n1"), t.Context()
	require.NoError(t, m.SetBootMode(ctx, tk, task.BIOS))
	require.NoError(t, m.SetBootMode(ctx, tk, task.BIOS))
	require.Equal(t, task.BIOS, b.Machine.State().Mode)
	require.ErrorIs(t, m.SetBootMode(ctx, tk, "coreboot"), task.ErrInvalidParameter)
	require.NoError(t, m.SetSecureBoot(ctx, tk, true))
	on, err := m.SecureBoot(ctx, tk)
	require.NoError(t, err)
	require.True(t, on)
	require.NoError(t, m.SendNMI(ctx, tk))
	require.Equal(t, 1, b.Machine.State().NMIs)
}

// TestHostileService has a service that answers with what it should not.
func TestHostileService(t *testing.T) {
	for name, answer := range map[string]string{
		"no JSON":          `<html>`,
		"nothing":          ``,
		"another type":     `{"Systems": {"@odata.id": ["x"]}}`,
		"another host":     `{"Systems": {"@odata.id": "https://evil.example/steal"}}`,
		"without scheme":   `{"Systems": {"@odata.id": "//evil.example/steal"}}`,
		"backslash":        `{"Systems": {"@odata.id": "/\\evil.example"}}`,
		"user information": `{"Systems": {"@odata.id": "@evil.example/x"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					w.Header().Set("X-Auth-Token", "t")
					w.WriteHeader(http.StatusCreated)
					return
				}
				_, _ = w.Write([]byte(answer))
			}))
			defer server.Close()
			c, err := newBMCs(t).Client(redfish.Access{Address: server.URL, Username: "u", Password: "p"})
			require.NoError(t, err)
			_, err = c.System(t.Context())
			require.Equal(t, bmc.Protocol, bmc.ClassOf(err), "%v", err)
		})
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"Boot":{"BootSourceOverrideTarget":"Cd"},"Oem":{"x":[]}}`), 200)
	f.Add([]byte(`{"error":{"@Message.ExtendedInfo":[{"MessageId":"a.b","Message":"c"}]}}`), 400)
	f.Add([]byte(`{"Messages":[{"MessageID":"HP.0.10.LicenseKeyRequired"}]}`), 403)
	var body []byte
	var status int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	f.Cleanup(server.Close)
	bmcs := &redfish.BMCs{Budgets: bmc.Budgets{}, Poll: 1, Patience: 1}
	f.Cleanup(bmcs.Close)
	f.Fuzz(func(t *testing.T, data []byte, code int) {
		body, status = data, 200+max(code, -code)%400
		if status == http.StatusNoContent || status == http.StatusNotModified {
			body = nil
		}
		c, err := bmcs.Client(redfish.Access{Address: server.URL, SystemID: "/redfish/v1/Systems/1"})
		require.NoError(t, err)
		_, _ = c.System(t.Context())
		_, _ = c.Slots(t.Context(), boot.CDROM)
	})
}

// TestWire keeps what a deploy's calls look like on the wire.
func TestWire(t *testing.T) {
	b := redfishtest.NewBMC(t, redfishtest.Config{Personality: redfishtest.ILO6})
	bmcs := newBMCs(t)
	tk := onBMC(t, b, "n1")
	c, err := bmcs.Client(access(b))
	require.NoError(t, err)
	require.NoError(t, c.Insert(t.Context(), boot.CDROM, image))
	require.NoError(t, bmcs.Management().SetBootDevice(t.Context(), tk, driver.BootSetting{Device: boot.CDROM}))
	require.NoError(t, bmcs.Power().SetPowerState(t.Context(), tk, driver.PowerOn))
	bmcs.Close()
	require.Equal(t, map[string]string{"cd": image}, b.Machine.Media())
	text, err := json.MarshalIndent(b.Requests(), "", " ")
	require.NoError(t, err)
	require.Contains(t, string(text), "POST /redfish/v1/Managers/1/VirtualMedia/2/Actions/VirtualMedia.InsertMedia")
	require.Less(t, len(b.Requests()), 30, "%s", text)
}

package iscsi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/iscsi"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

const bashKey = "K3YK3YK3YK3YK3YK3YK3YK3YK3"

// waiting is a node whose ramdisk boots with bashKey, and what a passthru passes
// on.
func waiting(t testing.TB) (*task.Task, *iscsi.Passthru, *[]deploy.Heartbeat) {
	n := tasktest.Node("n1")
	n.ProvisionState = task.DeployWait
	n.SetInternal("deploy_key", bashKey)
	var beats []deploy.Heartbeat
	p, err := iscsi.NewPassthru(func(_ context.Context, node string, h deploy.Heartbeat) error {
		require.Equal(t, n.UUID, node)
		beats = append(beats, h)
		return nil
	})
	require.NoError(t, err)
	return &task.Task{Node: n, Driver: &driver.Driver{Vendor: p}}, p, &beats
}

func TestPassthru(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method string
		args   string // in which KEY stands for the right one
		want   string // URL, status and message
		err    string
	}{
		"as the ramdisk writes it": {"pass_deploy_info", `{"address":"192.0.2.7","key":"KEY","iqn":"IQN","error":""}`, "iscsi://192.0.2.7:3260/IQN/1 start ", ""},
		"everything":               {"pass_deploy_info", `{"address":"2001:db8::7","key":"KEY","iqn":"IQN","lun":2,"port":"3261","error":null}`, "iscsi://[2001:db8::7]:3261/IQN/2 start ", ""},
		"no name":                  {"pass_deploy_info", `{"address":"192.0.2.7","key":"KEY"}`, "iscsi://192.0.2.7:3260/IQN/1 start ", ""},
		"an error":                 {"pass_deploy_info", `{"address":"192.0.2.7","key":"KEY","error":"no disk,\nkey KEY"}`, "iscsi://192.0.2.7:3260/IQN/1 error no disk, key ******", ""},
		"a boot loader":            {"pass_bootloader_install_info", `{"address":"192.0.2.7","key":"KEY","status":"SUCCEEDED","error":""}`, "iscsi://192.0.2.7:/IQN/0 end ", ""},
		"no boot loader":           {"pass_bootloader_install_info", `{"address":"192.0.2.7","key":"KEY","status":"FAILED","error":"no grub"}`, "iscsi://192.0.2.7:/IQN/0 error the boot loader: no grub", ""},
		"no status":                {"pass_bootloader_install_info", `{"address":"192.0.2.7","key":"KEY"}`, "iscsi://192.0.2.7:/IQN/0 error the boot loader: no status", ""},
		"no key":                   {"pass_deploy_info", `{"address":"192.0.2.7"}`, "", "key"},
		"another key":              {"pass_deploy_info", `{"address":"192.0.2.7","key":"KEYx"}`, "", "key"},
		"a key that is no text":    {"pass_deploy_info", `{"address":"192.0.2.7","key":{"KEY":1}}`, "", "key"},
		"no address":               {"pass_deploy_info", `{"key":"KEY"}`, "", "address"},
		"a name for an address":    {"pass_deploy_info", `{"key":"KEY","address":"metadata.internal"}`, "", "address"},
		"another target":           {"pass_deploy_info", `{"key":"KEY","address":"192.0.2.7","iqn":"iqn.2026-01.test:other"}`, "", "iqn"},
		"a bad port":               {"pass_deploy_info", `{"key":"KEY","address":"192.0.2.7","port":"0x1"}`, "", "port"},
		"a bad disk":               {"pass_deploy_info", `{"key":"KEY","address":"192.0.2.7","lun":-1}`, "", "lun"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tk, _, beats := waiting(t)
			name := iscsi.TargetName(tk.Node)
			var args task.Info
			require.NoError(t, json.Unmarshal([]byte(strings.NewReplacer("KEY", bashKey, "IQN", name).Replace(c.args)), &args))
			_, err := driver.CallVendor(t.Context(), tk, driver.VendorCall{Method: c.method, Verb: "POST", Args: args})
			if c.err != "" {
				require.ErrorIs(t, err, task.ErrInvalidParameter)
				require.ErrorContains(t, err, c.err)
				require.NotContains(t, err.Error(), bashKey)
				require.Empty(t, *beats)
				return
			}
			require.NoError(t, err)
			require.Len(t, *beats, 1)
			h := (*beats)[0]
			require.Equal(t, strings.ReplaceAll(c.want, "IQN", name), fmt.Sprintf("%s %s %s", h.CallbackURL, h.Status, h.StatusMessage))
			require.NotEmpty(t, h.Session)
			require.NotContains(t, fmt.Sprintf("%+v", h), bashKey)
		})
	}
	_, err := iscsi.NewPassthru(nil)
	require.ErrorIs(t, err, task.ErrMissingParameter)
}

// served has the handler serve a node that waits, and what it logs.
func served(t testing.TB) (http.Handler, *task.Node, *[]deploy.Heartbeat, *bytes.Buffer) {
	tk, p, beats := waiting(t)
	var log bytes.Buffer
	m := task.NewManager(new(task.MemoryStore), task.ManagerConfig{
		Drivers: func(*task.Node) (task.Driver, error) { return &driver.Driver{Vendor: p}, nil },
	})
	require.NoError(t, m.Create(t.Context(), tk.Node, tasktest.Port(tk.Node)))
	h, err := iscsi.NewHandler(m, slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	return h, tk.Node, beats, &log
}

func TestHandler(t *testing.T) {
	t.Parallel()
	h, n, beats, log := served(t)
	good := fmt.Sprintf(`{"address":"192.0.2.7","key":"%s"}`, bashKey)
	base := "/v1/nodes/" + n.UUID + "/vendor_passthru/"
	refused := ""
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", base + "pass_deploy_info", good, 202},
		{"POST", base + "pass_bootloader_install_info", good, 202},
		{"POST", base + "pass_deploy_info", `{"address":"192.0.2.7","key":"guess"}`, 400},
		{"POST", base + "pass_deploy_info", `{}`, 400},
		{"POST", "/v1/nodes/11111111-2222-3333-4444-555555555555/vendor_passthru/pass_deploy_info", good, 400},
		{"POST", "/v1/nodes/n1/vendor_passthru/pass_deploy_info", good, 400},
		{"POST", base + "pass_deploy_info", `[]`, 400},
		{"POST", base + "pass_deploy_info", `{"error":"` + strings.Repeat("x", 70<<10) + `"}`, 400},
		{"GET", base + "pass_deploy_info", "", 405},
		{"POST", base + "erase_everything", good, 404},
		{"POST", "/v1/nodes/" + n.UUID, good, 404},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
		require.Equal(t, c.status, w.Code, "%s %s %.100s: %s", c.method, c.path, c.body, w.Body)
		require.NotContains(t, w.Body.String(), bashKey)
		if strings.HasSuffix(c.path, "pass_deploy_info") && strings.HasPrefix(c.body, `{"address`) && w.Code == 400 {
			if refused == "" {
				refused = w.Body.String()
			}
			require.Equal(t, refused, w.Body.String(), "strangers see which nodes there are")
		}
	}
	require.Len(t, *beats, 2)
	require.Contains(t, log.String(), "key: invalid")
	require.Contains(t, log.String(), "node=11111111-2222-3333-4444-555555555555", "who is not there")
	require.NotContains(t, log.String(), bashKey)
	require.NotContains(t, log.String(), "guess")
	_, err := iscsi.NewHandler(nil, nil)
	require.ErrorIs(t, err, task.ErrMissingParameter)
}

func FuzzHandler(f *testing.F) {
	f.Add(`{"address":"192.0.2.7","key":"` + bashKey + `","iqn":"x","error":"no \u0000"}`)
	f.Add(`{"address":1,"key":[],"lun":1e9,"port":-1,"status":{}}`)
	f.Fuzz(func(t *testing.T, body string) {
		h, n, beats, _ := served(t)
		for _, method := range []string{"pass_deploy_info", "pass_bootloader_install_info"} {
			*beats = nil
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("POST", "/v1/nodes/"+n.UUID+"/vendor_passthru/"+method, strings.NewReader(body)))
			if (w.Code == 202) != (len(*beats) == 1) || len(*beats) == 1 && !strings.Contains(body, "key") {
				t.Fatalf("%d, %v", w.Code, *beats)
			}
		}
	})
}

func ExampleNewPassthru() {
	// The conductor's Heartbeat takes the place of this one.
	p, err := iscsi.NewPassthru(func(context.Context, string, deploy.Heartbeat) error { return nil })
	fmt.Println(len(p.Methods()), err)
	// Output: 2 <nil>
}

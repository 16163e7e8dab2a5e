package task_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/task"
)

// object reads a JSON object with numbers as written, and times as instants
// where the node's fields are times.
func object(t testing.TB, data []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var m map[string]any
	require.NoError(t, d.Decode(&m))
	for _, k := range []string{"created_at", "updated_at", "provision_updated_at"} {
		if s, ok := m[k].(string); ok {
			at, err := time.Parse(time.RFC3339, s)
			require.NoError(t, err)
			m[k] = at.UTC()
		}
	}
	return m
}

func TestNodeRoundTrip(t *testing.T) {
	data, err := os.ReadFile("testdata/node.json")
	require.NoError(t, err)
	var n task.Node
	require.NoError(t, json.Unmarshal(data, &n))

	require.Equal(t, "test_node_classic", n.Name)
	require.Equal(t, task.CleanWait, n.ProvisionState)
	require.Equal(t, json.Number("9007199254740993"), n.Extra["big"])
	require.Equal(t, json.Number("1.0"), n.Extra["one"])
	require.Equal(t, "192.0.2.7", n.DriverInfo.Text("ipmi_address"))
	require.NotNil(t, n.AutomatedClean)
	require.True(t, n.UpdatedAt.IsZero())

	for name, write := range map[string]func() ([]byte, error){
		"pointer": func() ([]byte, error) { return json.Marshal(&n) },
		"value":   func() ([]byte, error) { return json.Marshal(n) },
		"clone":   func() ([]byte, error) { return json.Marshal(n.Clone()) },
	} {
		out, err := write()
		require.NoError(t, err, name)
		require.Empty(t, cmp.Diff(object(t, data), object(t, out)), name)
	}
}

func TestNodeJSONDefaults(t *testing.T) {
	for text, want := range map[string]task.State{
		`{"uuid": "u"}`:                              task.Enroll,
		`{"uuid": "u", "provision_state": null}`:     task.Available,
		`{"uuid": "u", "provision_state": "rescue"}`: task.Rescue,
	} {
		n := task.Node{Name: "before", Extra: task.Info{"a": 1}}
		require.NoError(t, json.Unmarshal([]byte(text), &n), text)
		require.Equal(t, task.Node{UUID: "u", ProvisionState: want}, n, text)
	}

	out, err := json.Marshal(&task.Node{})
	require.NoError(t, err)
	m := object(t, out)
	require.Equal(t, "enroll", m["provision_state"])
	require.Equal(t, map[string]any{}, m["driver_info"])
	require.Contains(t, m, "instance_uuid")
	require.Nil(t, m["instance_uuid"])
	require.Nil(t, m["created_at"])
	require.Nil(t, m["automated_clean"])
	require.Equal(t, false, m["maintenance"])
}

func TestNodeJSONFieldNames(t *testing.T) {
	name := "a\x01\"\u2028\U0001f680\x7f"
	in, err := json.Marshal(map[string]any{"uuid": "u", name: 1})
	require.NoError(t, err)
	var n task.Node
	require.NoError(t, json.Unmarshal(in, &n))
	out, err := json.Marshal(n)
	require.NoError(t, err)
	require.Equal(t, json.Number("1"), object(t, out)[name])
}

func TestNodeJSONWrongTypes(t *testing.T) {
	n := task.Node{Name: "kept"}
	err := json.Unmarshal([]byte(`{"name": "n1", "driver": 5, "driver_info": "s3cret", "maintenance": "yes",
		"created_at": "yesterday", "automated_clean": 1, "extra": [1], "traits": 7}`), &n)
	require.ErrorIs(t, err, task.ErrInvalidParameter)
	require.Equal(t, "kept", n.Name, "a bad document changes nothing")

	got := map[string]string{}
	for _, p := range task.Problems(err) {
		var e *task.Error
		require.ErrorAs(t, p, &e)
		require.Equal(t, "n1", e.Node)
		got[e.Field] = e.Err.Error()
	}
	require.Equal(t, map[string]string{
		"driver":          "invalid: want a string",
		"driver_info":     "invalid: want an object",
		"extra":           "invalid: want an object",
		"maintenance":     "invalid: want true or false",
		"automated_clean": "invalid: want true or false",
		"created_at":      "invalid: want a time as 2006-01-02T15:04:05Z",
	}, got)
	require.NotContains(t, err.Error(), "s3cret")

	require.Error(t, json.Unmarshal([]byte(`[]`), &n))
	require.Error(t, json.Unmarshal([]byte(`{`), &n))
	_, err = json.Marshal(&task.Node{Extra: task.Info{"f": func() {}}})
	require.ErrorContains(t, err, "node field extra")
}

func FuzzNodeJSON(f *testing.F) {
	data, err := os.ReadFile("testdata/node.json")
	require.NoError(f, err)
	f.Add(data)
	f.Add([]byte(`{"uuid":"u","provision_state":null,"x\u0001":{"a":1e999}}`))
	f.Add([]byte(`{"driver_info":[],"name":7}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var n task.Node
		if json.Unmarshal(data, &n) != nil {
			return
		}
		out, err := json.Marshal(&n)
		require.NoError(t, err)
		var again task.Node
		require.NoError(t, json.Unmarshal(out, &again), "%s", out)
		twice, err := json.Marshal(again.Clone())
		require.NoError(t, err)
		require.True(t, bytes.Equal(out, twice), "%s\n%s", out, twice)
	})
}

func TestNodeClone(t *testing.T) {
	clean := true
	n := &task.Node{
		UUID: "u", AutomatedClean: &clean,
		DriverInfo: task.Info{"list": []any{map[string]any{"a": "b"}}, "words": []string{"x"}, "nil": map[string]any(nil)},
	}
	c := n.Clone()
	c.DriverInfo["list"].([]any)[0].(map[string]any)["a"] = "changed"
	c.DriverInfo["new"] = 1
	*c.AutomatedClean = false
	require.Equal(t, "b", n.DriverInfo["list"].([]any)[0].(map[string]any)["a"])
	require.NotContains(t, n.DriverInfo, "new")
	require.True(t, *n.AutomatedClean)
	require.Nil(t, c.InstanceInfo)
	require.Equal(t, []any{"x"}, c.DriverInfo["words"])
	require.Nil(t, c.DriverInfo["nil"])
}

func TestInfoCloneJSONForms(t *testing.T) {
	in := task.Info{
		"int": 1, "float": 1.5, "number": json.Number("1.0"), "duration": time.Second, "state": task.Active,
		"map": map[string]int{"a": 1}, "info": task.Info{"b": true}, "secret": task.Secret("x"), "func": func() {},
	}
	got := in.Clone()
	require.Contains(t, got["func"], "0x")
	delete(got, "func")
	require.Equal(t, task.Info{
		"int": 1, "float": 1.5, "number": json.Number("1.0"), "duration": json.Number("1000000000"), "state": "active",
		"map": map[string]any{"a": json.Number("1")}, "info": map[string]any{"b": true}, "secret": "******",
	}, got)
	require.Nil(t, task.Info(nil).Clone())
	require.Nil(t, task.Info(nil).Redacted())
}

func TestInfoRedacted(t *testing.T) {
	in := task.Info{
		"ipmi_address": "192.0.2.7", "ipmi_password": "p1", "ipmi_hex_kg_key": "p2", "SNMP_Community": "p3",
		"ssh_private_key": "p4", "auth": map[string]any{"user": "p5"}, "agent_secret_token": "p6",
		"configdrive": map[string]any{"user_data": "p7"}, "tokens": []any{"p8"}, "api_token": nil,
		"nested": []any{[]any{map[string]any{"passwd": "p9", "ok": "kept"}}}, "deploy_kernel": "http://k",
	}
	out := in.Redacted()
	text := fmt.Sprint(out)
	for i := 1; i <= 9; i++ {
		require.NotContains(t, text, fmt.Sprintf("p%d", i))
	}
	require.Equal(t, "192.0.2.7", out["ipmi_address"])
	require.Equal(t, "http://k", out["deploy_kernel"])
	require.Nil(t, out["api_token"])
	require.Equal(t, "kept", out["nested"].([]any)[0].([]any)[0].(map[string]any)["ok"])
	require.Equal(t, "p1", in["ipmi_password"], "the original is left alone")
	require.Equal(t, "p9", in["nested"].([]any)[0].([]any)[0].(map[string]any)["passwd"])
}

func TestSecretNeverPrints(t *testing.T) {
	type parameters struct {
		Password task.Secret
		Empty    task.Secret
	}
	p := parameters{Password: "hunter2"}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t", "%10s"} {
		fmt.Fprintf(&out, verb+" ", p.Password)
		fmt.Fprintf(&out, verb+" ", p)
		fmt.Fprintf(&out, verb+"\n", &p)
	}
	data, err := json.Marshal(map[string]any{"p": p, "s": p.Password})
	require.NoError(t, err)
	out.Write(data)
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("m", "secret", p.Password, "all", p)
	}
	require.NotContains(t, out.String(), "hunter2")
	require.NotContains(t, out.String(), fmt.Sprintf("%x", "hunter2"))

	require.Equal(t, "****** |\"******\"|\"******\"||", fmt.Sprintf("%v |%q|%#v|%v|", p.Password, p.Password, p.Password, p.Empty))
	require.Equal(t, "hunter2", string(p.Password))
}

func TestNodeNamesItself(t *testing.T) {
	var none *task.Node
	require.Equal(t, "", none.String())
	require.Equal(t, "u", (&task.Node{UUID: "u"}).String())
	require.Equal(t, "n", (&task.Node{UUID: "u", Name: "n"}).String())

	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	log.Info("m", "node", &task.Node{UUID: "u", DriverInfo: task.Info{"ipmi_password": "s3cret"}}, "none", none)
	require.Contains(t, out.String(), "node.uuid=u")
	require.NotContains(t, out.String(), "s3cret")
}

func TestSetInternal(t *testing.T) {
	var n task.Node
	n.SetInternal("a", nil)
	require.Nil(t, n.DriverInternalInfo)
	n.SetInternal("a", "b")
	require.Equal(t, "b", n.DriverInternalInfo.Text("a"))
	n.SetInternal("a", nil)
	require.Empty(t, n.DriverInternalInfo)
}

func TestPort(t *testing.T) {
	off := false
	p := &task.Port{PXEEnabled: &off, Extra: task.Info{"client-id": "ff:00"}, LocalLinkConnection: task.Info{"a": []any{1}}}
	require.False(t, p.BootsFromNetwork())
	require.True(t, new(task.Port).BootsFromNetwork())
	require.Equal(t, "ff:00", p.ClientID())
	c := p.Clone()
	*c.PXEEnabled = true
	c.LocalLinkConnection["a"].([]any)[0] = 2
	require.False(t, p.BootsFromNetwork())
	require.Equal(t, 1, p.LocalLinkConnection["a"].([]any)[0])
}

func TestParseMAC(t *testing.T) {
	infiniband := "80:00:02:08:fe:80:00:00:00:00:00:00:00:02:c9:03:00:0e:8b:1f"
	for in, want := range map[string]string{
		"52:54:00:AB:cd:ef": "52:54:00:ab:cd:ef", " 52-54-00-ab-cd-ef\n": "52:54:00:ab:cd:ef", "5254.00ab.cdef": "52:54:00:ab:cd:ef",
		infiniband: infiniband,
		"":         "", "52:54:00:ab:cd": "", "52:54:00:ab:cd:ef:01:02": "", "../../etc": "", "52:54:00:ab:cd:ef\nx": "",
	} {
		got, err := task.ParseMAC(in)
		require.Equal(t, want, got, in)
		if want == "" {
			require.ErrorIs(t, err, task.ErrInvalidParameter, in)
		}
	}
}

func TestNewUUID(t *testing.T) {
	a, b := task.NewUUID(), task.NewUUID()
	require.NotEqual(t, a, b)
	for _, u := range []string{a, b} {
		require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, u)
	}
}

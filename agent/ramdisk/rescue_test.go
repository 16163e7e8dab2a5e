package ramdisk_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent/ramdisk"
)

// workshop is a machine that people can work in, and that keeps logs.
type workshop struct {
	*machine
	hashes chan string
	logs   []byte
	err    error
}

func (w workshop) Rescue(_ context.Context, hash string) error {
	if w.err == nil {
		w.hashes <- hash
	}
	return w.err
}

func (w workshop) Logs(_ context.Context, out io.Writer) error {
	if w.err != nil {
		return w.err
	}
	_, err := out.Write(w.logs)
	return err
}

func inWorkshop(t *testing.T, w workshop) *agent {
	t.Helper()
	w.machine = newMachine()
	return boot(t, newConductor(t, "1.115"), w.machine, func(c *ramdisk.Config) { c.Host = w })
}

// refused posts a command that is not accepted, and returns why.
func (a *agent) refused(name string, params any) (int, string) {
	body, err := json.Marshal(map[string]any{"name": name, "params": params})
	require.NoError(a.t, err)
	code, got := a.call("POST", "/v1/commands/?wait=true", string(body))
	return code, string(got)
}

const crypted = "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8"

func TestRescue(t *testing.T) {
	t.Parallel()
	w := workshop{hashes: make(chan string, 1)}
	a := inWorkshop(t, w)
	res := a.do("rescue.finalize_rescue", map[string]any{"rescue_password": crypted, "hashed": true})
	require.Equal(t, "SUCCEEDED", res.Status)
	require.Equal(t, crypted, <-w.hashes)
	require.NoError(t, a.end(), "the agent ends, the machine stays on")
}

func TestRescueRefused(t *testing.T) {
	t.Parallel()
	w := workshop{err: errors.New("no user of that name"), hashes: make(chan string, 1)}
	a := inWorkshop(t, w)
	for _, params := range []map[string]any{
		{}, {"rescue_password": ""}, {"rescue_password": 5, "hashed": true}, {"rescue_password": crypted, "hashed": "x"},
		{"rescue_password": "hunter2"}, {"rescue_password": "hunter2", "hashed": true}, {"rescue_password": crypted + "\nroot::0:", "hashed": true},
	} {
		code, body := a.refused("rescue.finalize_rescue", params)
		require.Equal(t, 400, code, "%v", params)
		require.NotContains(t, body, "hunter2")
	}
	res := a.do("rescue.finalize_rescue", map[string]any{"rescue_password": crypted, "hashed": true})
	require.Equal(t, "FAILED", res.Status)
	require.Equal(t, "no user of that name", res.Error.Details)

	code, body := boot(t, newConductor(t, "1.115"), newMachine()).refused("rescue.finalize_rescue", map[string]any{})
	require.Equal(t, 404, code, "a machine without rescue")
	require.Contains(t, body, "Extension with id rescue not found")
}

func TestLogs(t *testing.T) {
	t.Parallel()
	a := inWorkshop(t, workshop{logs: []byte("an archive")})
	res := a.do("log.collect_system_logs", map[string]any{})
	require.Equal(t, "SUCCEEDED", res.Status)
	var logs struct {
		Logs string `json:"system_logs"`
	}
	require.NoError(t, json.Unmarshal(res.Result, &logs))
	data, err := base64.StdEncoding.DecodeString(logs.Logs)
	require.NoError(t, err)
	require.Equal(t, "an archive", string(data))

	a = inWorkshop(t, workshop{logs: make([]byte, 17<<20)})
	require.Equal(t, "FAILED", a.do("log.collect_system_logs", map[string]any{}).Status, "more than a conductor should hold")
	a = inWorkshop(t, workshop{err: errors.New("no journal")})
	require.Equal(t, "FAILED", a.do("log.collect_system_logs", map[string]any{}).Status)
}

func TestNodeInfo(t *testing.T) {
	t.Parallel()
	a := inWorkshop(t, workshop{})
	require.Equal(t, "SUCCEEDED", a.do("poll.set_node_info", map[string]any{"node_info": map[string]any{"uuid": uuid, "properties": map[string]any{}}}).Status)
	require.Equal(t, "FAILED", a.do("poll.set_node_info", map[string]any{}).Status)
	require.Equal(t, "FAILED", a.do("poll.set_node_info", map[string]any{"node_info": 5}).Status)
}

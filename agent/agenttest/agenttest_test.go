package agenttest_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/agent/agenttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// image is a served image, and the step that writes it.
func image(t *testing.T) ([]byte, agent.Call) {
	t.Helper()
	data := make([]byte, 4<<20)
	for i := range data {
		data[i] = byte(i*7 + 1)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(data) }))
	t.Cleanup(srv.Close)
	sum := sha256.Sum256(data)
	return data, step("write_image", map[string]any{"image_info": map[string]any{
		"id": "disk.raw", "urls": []any{srv.URL + "/disk.raw"}, "disk_format": "raw", "container_format": "bare", "stream_raw_images": true,
		"os_hash_algo": "sha256", "os_hash_value": hex.EncodeToString(sum[:]),
	}})
}

func step(name string, args map[string]any) agent.Call {
	return agent.Call{Name: "deploy.execute_deploy_step", Params: map[string]any{
		"step": map[string]any{"interface": "deploy", "step": name, "args": args}, "node": map[string]any{}, "ports": []any{}}}
}

// quick is a client that does not wait long.
func quick() *agent.Client {
	return &agent.Client{Timeout: 10 * time.Second, RetryDelay: time.Millisecond}
}

// ends returns what becomes of a call.
func ends(t *testing.T, m *agenttest.Machine, call agent.Call) *agent.Result {
	t.Helper()
	res, err := quick().Execute(t.Context(), m.Session(), call)
	require.NoError(t, err)
	for res.Status == agent.Running {
		res, err = quick().Command(t.Context(), m.Session(), res.ID)
		require.NoError(t, err)
	}
	return res
}

// head is what the disk begins with.
func head(t *testing.T, m *agenttest.Machine, n int) []byte {
	t.Helper()
	p := make([]byte, n)
	_, err := m.Disk().ReadAt(p, 0)
	require.NoError(t, err)
	return p
}

func TestInOrder(t *testing.T) {
	t.Parallel()
	m := agenttest.Start(t, agenttest.Config{Version: "9.9"})
	status, err := quick().Status(t.Context(), m.Session())
	require.NoError(t, err)
	require.Equal(t, "9.9", status.Version)
	data, write := image(t)
	require.Equal(t, agent.Succeeded, ends(t, m, write).Status)
	require.Equal(t, data, head(t, m, len(data)))
	require.GreaterOrEqual(t, m.Written(), int64(len(data)))

	_, err = m.Disk().ReadAt(make([]byte, 2), 8<<30-1)
	require.ErrorIs(t, err, io.EOF)

	erase := step("erase_devices", nil)
	erase.Name = "clean.execute_clean_step"
	require.Equal(t, agent.Succeeded, ends(t, m, erase).Status)
	require.Equal(t, make([]byte, len(data)), head(t, m, len(data)))

	// It is asked with the right token only.
	wrong := m.Session()
	wrong.Token = "another"
	_, err = quick().Commands(t.Context(), wrong)
	require.ErrorIs(t, err, agent.ErrUnauthorized)

	_, err = quick().Execute(t.Context(), m.Session(), agent.Call{Name: "standby.power_off"})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return !m.On() }, 10*time.Second, time.Millisecond)
	m.PowerOff()
	require.NoError(t, m.Err())
	require.Equal(t, 1, m.Boots())
	require.Contains(t, m.String(), "52:54:00:00:00:01")
}

func TestSilent(t *testing.T) {
	t.Parallel()
	m := agenttest.Start(t, agenttest.Config{Faults: agenttest.Faults{Silent: true}})
	require.True(t, m.On())
	_, err := quick().Status(t.Context(), m.Session())
	require.ErrorIs(t, err, agent.ErrUnreachable)
	m.PowerOff()
	m.SetFaults(agenttest.Faults{})
	require.False(t, m.Faults().Silent)
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	m := agenttest.Start(t, agenttest.Config{})
	m.SetFaults(agenttest.Faults{Unreachable: true})
	_, err := quick().Status(t.Context(), m.Session())
	require.ErrorIs(t, err, agent.ErrUnreachable)
	m.SetFaults(agenttest.Faults{})
	_, err = quick().Status(t.Context(), m.Session())
	require.NoError(t, err)
}

func TestSlow(t *testing.T) {
	t.Parallel()
	m := agenttest.Start(t, agenttest.Config{Faults: agenttest.Faults{Slow: time.Hour}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := quick().Status(ctx, m.Session())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	m.SetFaults(agenttest.Faults{Slow: time.Millisecond})
	_, err = quick().Status(t.Context(), m.Session())
	require.NoError(t, err)
}

func TestLies(t *testing.T) {
	t.Parallel()
	m := agenttest.Start(t, agenttest.Config{Faults: agenttest.Faults{Lies: true}})
	_, write := image(t)
	require.Equal(t, agent.Succeeded, ends(t, m, write).Status)
	require.Zero(t, m.Written())
}

func TestVersionMismatch(t *testing.T) {
	t.Parallel()
	m := agenttest.Start(t, agenttest.Config{Faults: agenttest.Faults{VersionMismatch: true}})
	listed := ends(t, m, agent.Call{Name: "deploy.get_deploy_steps", Wait: true, Params: map[string]any{"node": map[string]any{}, "ports": []any{}}})
	require.Equal(t, agent.Succeeded, listed.Status)
	require.Contains(t, string(listed.Result), `"not `)
	_, write := image(t)
	write.Params["deploy_version"] = map[string]any{"FerruleHardwareManager": "not 1"}
	require.Equal(t, agent.VersionMismatch, ends(t, m, write).Status)
	require.Zero(t, m.Written())
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	m := agenttest.Start(t, agenttest.Config{Faults: agenttest.Faults{DiskFull: 1 << 20}})
	_, write := image(t)
	res := ends(t, m, write)
	require.Equal(t, agent.Failed, res.Status)
	require.ErrorContains(t, res.Error, "no space left")
}

func TestStuck(t *testing.T) {
	t.Parallel()
	m := agenttest.Start(t, agenttest.Config{Faults: agenttest.Faults{StuckAt: 2 << 20}})
	data, write := image(t)
	res, err := quick().Execute(t.Context(), m.Session(), write)
	require.NoError(t, err)
	require.Equal(t, agent.Running, res.Status)
	require.Eventually(t, func() bool { return m.Written() >= 1<<20 }, 10*time.Second, time.Millisecond)
	m.PowerOff() // returns, whatever hangs
	require.NotEqual(t, data, head(t, m, len(data)))
	require.Error(t, m.Err())
}

func TestRescueAndLogs(t *testing.T) {
	t.Parallel()
	m := agenttest.Start(t, agenttest.Config{})
	logs := ends(t, m, agent.Call{Name: "log.collect_system_logs", Wait: true})
	require.Equal(t, agent.Succeeded, logs.Status)
	require.Contains(t, string(logs.Result), `"system_logs":"H4sI`)
	require.Equal(t, agent.Succeeded, ends(t, m, agent.Call{Name: "rescue.finalize_rescue", Wait: true,
		Params: map[string]any{"rescue_password": "$5$salt$hash", "hashed": true}}).Status)
	require.Equal(t, "$5$salt$hash", m.RescueHash())
	require.True(t, m.On())
}

package agent_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent/agenttest"
)

// An outcome is what Ironic's client returned.
type outcome struct {
	Status string          `json:"command_status"`
	Result json.RawMessage `json:"command_result"`
	Error  json.RawMessage `json:"command_error"`
}

// TestIronicDrivesOurAgent has the client of a stock Ironic conductor order our
// ramdisk agent about.
func TestIronicDrivesOurAgent(t *testing.T) {
	if os.Getenv("FERRULE_LAB") != "1" {
		t.Skip("needs Debian's python3-ironic: set FERRULE_LAB=1 to run it")
	}
	const python = "/usr/bin/python3" // Debian's, which has Debian's packages
	for _, off := range []bool{false, true} {
		m := agenttest.Start(t, agenttest.Config{})
		image := bytes.Repeat([]byte("an image, and no zeros. "), 400000)
		hold := make(chan struct{})
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			select { // long enough for the client to find the agent busy
			case <-hold:
			case <-time.After(2 * time.Second):
			}
			w.Write(image)
		}))
		sum := sha256.Sum256(image)
		in, err := json.Marshal(map[string]any{"url": m.Session().URL, "token": string(m.Session().Token), "image": srv.URL + "/disk.raw", "sha256": hex.EncodeToString(sum[:]), "off": off})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		cmd := exec.CommandContext(ctx, python, "testdata/ironic_client.py")
		var stderr bytes.Buffer
		cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &stderr
		out, err := cmd.Output()
		cancel()
		close(hold)
		srv.Close()
		require.NoError(t, err, "%s", stderr.String())
		var all map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(out, &all), "%s", out)
		for name, want := range map[string]string{"wrong token": `"AgentAPIError"`, "busy": `"AgentInProgress"`} {
			require.JSONEq(t, want, string(all[name]), name)
		}
		for name, want := range map[string]string{
			"get_clean_steps": "SUCCEEDED", "execute_clean_step": "", "cleaned": "SUCCEEDED", "get_deploy_steps": "SUCCEEDED",
			"execute_deploy_step": "RUNNING", "written": "SUCCEEDED", "get_partition_uuids": "SUCCEEDED", "sync": "SUCCEEDED",
			"mismatch": "CLEAN_VERSION_MISMATCH", "collect_system_logs": "SUCCEEDED",
		} {
			var o outcome
			require.NoError(t, json.Unmarshal(all[name], &o), "%s: %s", name, all[name])
			if want != "" {
				require.Equal(t, want, o.Status, "%s: %s", name, all[name])
			}
		}
		got := make([]byte, len(image))
		_, err = m.Disk().ReadAt(got, 0)
		require.NoError(t, err)
		require.True(t, bytes.Equal(image, got), "the image is on the disk")
		if off {
			require.Eventually(t, func() bool { return !m.On() }, 10*time.Second, time.Millisecond)
			continue
		}
		require.Equal(t, "$5$salt$hash", m.RescueHash())
	}
}

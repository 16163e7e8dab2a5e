package ramdisk_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent/ramdisk"
)

// describedHost knows its machine.
type describedHost struct{ *machine }

func (describedHost) Describe(context.Context) (m ramdisk.Machine, err error) {
	m.CPU.Count, m.CPU.Architecture = 4, "x86_64"
	m.Memory.PhysicalMB = 2048
	return m, nil
}

// TestInventory has somebody inspect the machine, who is there at the second time
// only.
func TestInventory(t *testing.T) {
	t.Parallel()
	reports := make(chan map[string]any, 9)
	down := true
	inspector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down {
			down = false
			http.Error(w, "not yet", http.StatusBadGateway)
			return
		}
		var report map[string]any
		if json.NewDecoder(r.Body).Decode(&report) == nil && r.Method == http.MethodPost {
			reports <- report
		}
	}))
	defer inspector.Close()
	m := oneDisk()
	a := boot(t, newConductor(t, "1.90"), m, func(c *ramdisk.Config) {
		c.Host = describedHost{m}
		c.Parameters["ipa-inspection-callback-url"] = inspector.URL + "/continue/secret"
		c.Parameters["BOOTIF"] = "01-52-54-00-00-00-01"
	})
	report := <-reports
	require.Equal(t, "52:54:00:00:00:01", report["boot_interface"])
	inventory := report["inventory"].(map[string]any)
	require.Equal(t, "52:54:00:00:00:01", inventory["boot"].(map[string]any)["pxe_interface"])
	require.Equal(t, 4.0, inventory["cpu"].(map[string]any)["count"])
	require.Len(t, inventory["disks"], 1)
	var told map[string]any
	require.NoError(t, json.Unmarshal(a.do("poll.get_hardware_info", struct{}{}).Result, &told))
	require.Equal(t, inventory, told)
	require.Empty(t, reports, "it is told once")
}

// TestInventoryRefused has an inspector that knows nothing of the machine: the agent
// works all the same.
func TestInventoryRefused(t *testing.T) {
	t.Parallel()
	inspector := httptest.NewServer(http.NotFoundHandler())
	defer inspector.Close()
	boot(t, newConductor(t, "1.90"), oneDisk(), func(c *ramdisk.Config) {
		c.Parameters["ipa-inspection-callback-url"] = inspector.URL
	})
}

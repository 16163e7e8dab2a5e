package ramdisk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/deploy/disk"
	"github.com/ferrule/ferrule/task"
)

// clean runs a clean step on a node with that driver_internal_info.
func (a *agent) clean(step string, internal map[string]any) command {
	return a.do("clean.execute_clean_step", map[string]any{
		"step": map[string]any{"interface": "deploy", "step": step}, "ports": []any{}, "clean_version": map[string]any{"FerruleHardwareManager": "2"},
		"node": map[string]any{"uuid": uuid, "driver_internal_info": internal},
	})
}

func twoDisks() *machine {
	return newMachine(task.Disk{Name: "/dev/sda", Size: 3*mib + 7}, task.Disk{Name: "/dev/sdb", Size: mib / 2})
}

func TestEraseDevices(t *testing.T) {
	t.Parallel()
	for name, zeroes := range map[string]bool{"disks that zero": true, "disks that are written to": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := twoDisks()
			if zeroes {
				m.media["/dev/sda"] = &zeroMedium{medium: medium{data: bytes.Repeat([]byte{0xee}, 3*mib+7)}}
			}
			a := boot(t, newConductor(t, "1.90"), m)
			c := a.clean("erase_devices", nil)
			require.Equal(t, "SUCCEEDED", c.Status, "%+v", c.Error)
			require.JSONEq(t, `{"clean_result": null, "clean_step": {"interface": "deploy", "step": "erase_devices"}}`, string(c.Result))
			require.Equal(t, make([]byte, 3*mib+7), m.content("/dev/sda"))
			require.Equal(t, make([]byte, mib/2), m.content("/dev/sdb"))
			require.False(t, m.media["/dev/sdb"].(*medium).dirty)
		})
	}
}

func TestEraseMetadata(t *testing.T) {
	t.Parallel()
	m := twoDisks()
	a := boot(t, newConductor(t, "1.90"), m)
	require.Equal(t, "SUCCEEDED", a.clean("erase_devices_metadata", nil).Status)
	sda := m.content("/dev/sda")
	require.Equal(t, make([]byte, mib), sda[:mib])
	require.Equal(t, bytes.Repeat([]byte{0xee}, mib+7), sda[mib:2*mib+7])
	require.Equal(t, make([]byte, mib), sda[2*mib+7:])
	require.Equal(t, make([]byte, mib/2), m.content("/dev/sdb"), "one that is smaller than what is wiped")
}

func TestEraseProgress(t *testing.T) {
	t.Parallel()
	m := twoDisks()
	var seen []string
	asked, answered := make(chan struct{}), make(chan struct{})
	m.media["/dev/sdb"].(*medium).hold = func() { asked <- struct{}{}; <-answered }
	a := boot(t, newConductor(t, "1.90"), m)
	c := a.post("", "clean.execute_clean_step", map[string]any{"step": map[string]any{"step": "erase_devices"}})
	<-asked
	_, body := a.call("GET", "/v1/commands/"+c.ID, "")
	require.NoError(t, json.Unmarshal(body, &c))
	seen = append(seen, string(c.Result))
	close(answered)
	require.Equal(t, []string{`{"progress":{"done":3145735,"total":3670023}}`}, seen)
}

func TestEraseReadOnly(t *testing.T) {
	t.Parallel()
	m := twoDisks()
	m.disks[1].ReadOnly = true
	a := boot(t, newConductor(t, "1.90"), m)
	for _, step := range []string{"erase_devices", "erase_devices_metadata"} {
		c := a.clean(step, nil)
		require.Equal(t, &commandErr{"BlockDeviceEraseError", 500, "Error erasing block device",
			"/dev/sdb: read-only, and driver_internal_info.agent_erase_skip_read_only is not set"}, c.Error)
		require.Equal(t, bytes.Repeat([]byte{0xee}, 3*mib+7), m.content("/dev/sda"), "nothing is erased where not all can be")
	}
	require.Equal(t, "SUCCEEDED", a.clean("erase_devices", map[string]any{"agent_erase_skip_read_only": true}).Status)
	require.Equal(t, make([]byte, 3*mib+7), m.content("/dev/sda"))
	require.Equal(t, bytes.Repeat([]byte{0xee}, mib/2), m.content("/dev/sdb"))
}

func TestEraseFails(t *testing.T) {
	t.Parallel()
	m := twoDisks()
	m.media["/dev/sdb"].(*medium).err = errors.New("medium error")
	a := boot(t, newConductor(t, "1.90"), m)
	for _, step := range []string{"erase_devices", "erase_devices_metadata"} {
		c := a.clean(step, nil)
		require.Equal(t, "BlockDeviceEraseError", c.Error.Type)
		require.Equal(t, "/dev/sdb: medium error", c.Error.Details)
		require.Equal(t, "execute_clean_step", c.Name)
	}
	m.hostErr = errors.New("no such bus")
	for _, step := range []string{"erase_devices", "erase_devices_metadata"} {
		require.Contains(t, a.clean(step, nil).Error.Details, "no such bus")
	}
	m.hostErr = nil
	m.media["/dev/sda"] = nil
	require.Contains(t, a.clean("erase_devices", nil).Error.Details, "no disk /dev/sda")
}

func TestEraseIsCanceled(t *testing.T) {
	t.Parallel()
	m := twoDisks()
	a := boot(t, newConductor(t, "1.90"), m)
	why := errors.New("enough")
	m.media["/dev/sda"].(*medium).hold = func() { a.cancel(why) }
	resp, err := a.client.Post(a.url+"/v1/commands/?agent_token="+token, "application/json",
		strings.NewReader(`{"name": "clean.execute_clean_step", "params": {"step": {"step": "erase_devices"}}}`))
	if err == nil { // the agent may be gone before it has answered
		resp.Body.Close()
	}
	require.Equal(t, why, a.end())
	require.Equal(t, 1, m.media["/dev/sda"].(*medium).writes)
}

// TestVersions compares what the conductor planned with.
func TestVersions(t *testing.T) {
	t.Parallel()
	a := boot(t, newConductor(t, "1.90"), twoDisks())
	for version, want := range map[string]string{
		`null`:                                   "SUCCEEDED",
		`{"FerruleHardwareManager": "2"}`:        "SUCCEEDED",
		`{"FerruleHardwareManager": "1"}`:        "CLEAN_VERSION_MISMATCH",
		`{}`:                                     "CLEAN_VERSION_MISMATCH",
		`"1"`:                                    "CLEAN_VERSION_MISMATCH",
		`{"FerruleHardwareManager": 1}`:          "CLEAN_VERSION_MISMATCH",
		`{"FerruleHardwareManager": "1", "a":1}`: "CLEAN_VERSION_MISMATCH",
	} {
		c := a.do("clean.execute_clean_step", map[string]any{"step": map[string]any{"step": "erase_devices_metadata"}, "clean_version": json.RawMessage(version)})
		require.Equal(t, want, c.Status, "%s", version)
		if want != "SUCCEEDED" {
			require.Equal(t, "VersionMismatch", c.Error.Type)
			require.Equal(t, 409, c.Error.Code)
		}
	}
	c := a.do("deploy.execute_deploy_step", map[string]any{"step": map[string]any{"step": "write_image"}, "deploy_version": map[string]any{"x": "1"}})
	require.Equal(t, "CLEAN_VERSION_MISMATCH", c.Status, "for steps of every kind")
	c = a.do("clean.execute_clean_step", map[string]any{"step": map[string]any{"step": "erase_devices"}, "node": []any{}})
	require.Equal(t, "InvalidCommandParamsError", c.Error.Type)
}

var _ disk.Zeroer = (*zeroMedium)(nil)

// TestDisksAreOpenedUnderContext has a host whose disk takes for ever to open.
func TestDisksAreOpenedUnderContext(t *testing.T) {
	t.Parallel()
	m := slowHost{twoDisks(), make(chan struct{})}
	a := boot(t, newConductor(t, "1.90"), m.machine, func(c *ramdisk.Config) { c.Host = m })
	a.post("", "clean.execute_clean_step", map[string]any{"step": map[string]any{"step": "erase_devices"}})
	<-m.opening
	a.cancel(nil)
	require.ErrorIs(t, a.end(), context.Canceled)
}

// slowHost opens disks only when it is told to give up.
type slowHost struct {
	*machine
	opening chan struct{}
}

func (h slowHost) OpenDisk(ctx context.Context, _ string) (ramdisk.Disk, error) {
	close(h.opening)
	<-ctx.Done()
	return nil, ctx.Err()
}

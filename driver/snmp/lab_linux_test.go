package snmp_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/snmp"
	"github.com/ferrule/ferrule/internal/lab"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// outletProgram answers for one outlet's object, for Net-SNMP's directive pass.
const outletProgram = `#!/bin/sh
state=%s
case "$1" in
-g) echo "$2"; echo integer; cat "$state" ;;
-s) echo "$4" >"$state" ;;
esac
`

// The daemon of Net-SNMP stands for a unit, for every version of the protocol.
func TestLabNetSNMP(t *testing.T) {
	lab.Need(t)
	dir := t.TempDir()
	state, program := filepath.Join(dir, "state"), filepath.Join(dir, "outlet")
	require.NoError(t, os.WriteFile(state, []byte("2\n"), 0o644))
	require.NoError(t, os.WriteFile(program, fmt.Appendf(nil, outletProgram, state), 0o755))
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	port := conn.LocalAddr().(*net.UDPAddr).Port
	conn.Close()
	config := filepath.Join(dir, "snmpd.conf")
	require.NoError(t, os.WriteFile(config, []byte(`rocommunity reader
rwcommunity writer
sysObjectID .1.3.6.1.4.1.318.1.1.12.1.5
createUser md5user MD5 "authpass-md5" DES "privpass-des"
createUser shauser SHA-256 "authpass-sha" AES "privpass-aes"
rwuser md5user priv
rwuser shauser priv
createUser authonly SHA "authpass-only"
rwuser authonly auth
pass .1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.3 `+program+"\n"), 0o600))
	t.Setenv("SNMP_PERSISTENT_DIR", dir)
	lab.Daemon(t, "snmpd", "-f", "-Lo", "-C", "-c", config, "-p", filepath.Join(dir, "pid"), fmt.Sprintf("udp:127.0.0.1:%d", port)).Line(t, "NET-SNMP version", time.Minute)
	power := snmp.New(snmp.Config{PollPause: 10 * time.Millisecond})
	for _, tt := range []struct {
		name string
		info task.Info
	}{
		{"1", task.Info{"snmp_version": "1", "snmp_community_read": "reader", "snmp_community_write": "writer"}},
		{"2c", task.Info{"snmp_version": "2c", "snmp_community": "writer"}},
		{"3 md5 des", task.Info{"snmp_version": "3", "snmp_user": "md5user", "snmp_auth_key": "authpass-md5", "snmp_priv_key": "privpass-des"}},
		{"3 sha256 aes", task.Info{"snmp_version": "3", "snmp_user": "shauser", "snmp_auth_protocol": "sha256", "snmp_auth_key": "authpass-sha", "snmp_priv_protocol": "aes", "snmp_priv_key": "privpass-aes"}},
		{"3 sha", task.Info{"snmp_version": "3", "snmp_user": "authonly", "snmp_auth_protocol": "sha", "snmp_auth_key": "authpass-only"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := tasktest.Node("n1")
			n.DriverInfo = task.Info{"snmp_driver": "auto", "snmp_address": "127.0.0.1", "snmp_port": port, "snmp_outlet": 3}
			for k, v := range tt.info {
				n.DriverInfo[k] = v
			}
			tk := tasktest.Task(t, n)
			for _, want := range []struct{ state, read driver.PowerState }{
				{driver.PowerOn, driver.PowerOn}, {driver.Reboot, driver.PowerOn}, {driver.PowerOff, driver.PowerOff},
			} {
				require.NoError(t, power.SetPowerState(t.Context(), tk, want.state))
				got, err := power.PowerState(t.Context(), tk)
				require.NoError(t, err)
				require.Equal(t, want.read, got)
			}
		})
	}
	n := tasktest.Node("n1")
	n.DriverInfo = task.Info{"snmp_driver": "auto", "snmp_address": "127.0.0.1", "snmp_port": port, "snmp_outlet": 3,
		"snmp_version": "3", "snmp_user": "md5user", "snmp_auth_key": "a wrong key", "snmp_priv_key": "privpass-des"}
	_, err = power.PowerState(t.Context(), tasktest.Task(t, n))
	require.Error(t, err)
	require.NotContains(t, err.Error(), "a wrong key")
}

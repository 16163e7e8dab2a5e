//go:build linux

package ipminative_test

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver/ipmi"
	"github.com/ferrule/ferrule/ilo"
	"github.com/ferrule/ferrule/task"
)

// asILO is t with the parameters of an iLO in place of IPMI's, whose port alone stays.
func asILO(t *task.Task) *task.Task {
	c := *t
	c.Node = t.Node.Clone()
	info := c.Node.DriverInfo
	for own, name := range map[string]string{"ilo_address": "ipmi_address", "ilo_username": "ipmi_username", "ilo_password": "ipmi_password"} {
		info[own] = info[name]
		delete(info, name)
	}
	info["client_port"], info["ilo_protocol"] = 1, "ribcl" // where nobody listens
	return &c
}

// An iLO's serial console is opened by IPMI, with the iLO's user and password. The
// password is in no argument of a process, in no log and in no error.
func TestILOConsole(t *testing.T) {
	eachClient(t, func(t *testing.T, access func(t *testing.T) *ipmi.Access) {
		r := rack{}
		tk := asILO(r.task(t, "n1"))
		var log bytes.Buffer
		tk.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		var ilos ilo.BMCs
		defer ilos.Close()
		source := ilos.SerialConsole(access(t).Console())
		require.NoError(t, source.Validate(t.Context(), tk))
		console, err := source.Open(t.Context(), tk)
		require.NoError(t, err)
		defer console.Close()
		var seen strings.Builder
		for lines := bufio.NewReader(console); !strings.Contains(seen.String(), "login: "); {
			r["n1"].console.FeedRX([]byte("login: \n")) // again until the console is there
			line, err := lines.ReadString('\n')
			require.NoError(t, err)
			seen.WriteString(line)
		}
		_, err = console.Write([]byte("root\r"))
		require.NoError(t, err)
		require.Eventually(t, func() bool { return r["n1"].console.TXString() == "root\r" }, 10*time.Second, time.Millisecond)
		for _, argv := range children(t) {
			require.NotContains(t, argv, password)
		}
		require.NotContains(t, log.String(), password)
		require.NoError(t, console.Close())

		tk.Node.DriverInfo["ilo_password"] = "no-" + password
		wrong, err := source.Open(t.Context(), tk)
		if err == nil { // ipmitool ends by itself
			_, err = bufio.NewReader(wrong).ReadString(0)
			require.NoError(t, wrong.Close())
		}
		require.Error(t, err)
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), password)
	})
}

// children are the argument lists of the processes that this one has started.
func children(t *testing.T) []string {
	lists, err := filepath.Glob("/proc/self/task/*/children")
	require.NoError(t, err)
	var all []string
	for _, list := range lists {
		pids, _ := os.ReadFile(list) // the thread may have ended
		for pid := range strings.FieldsSeq(string(pids)) {
			argv, err := os.ReadFile("/proc/" + pid + "/cmdline")
			if err == nil {
				all = append(all, string(argv))
			}
		}
	}
	return all
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/ilo/ilotest"
	"github.com/ferrule/ferrule/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// provisioned runs the program, and looks that nothing is left.
func provisioned(t *testing.T, o options) string {
	o.dir = t.TempDir()
	var seen atomic.Pointer[site]
	o.observe = func(s *site, _ conductor.Event) { seen.Store(s) }
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), o, &out), "%s", &out)
	files, err := os.ReadDir(o.dir)
	require.NoError(t, err)
	require.Empty(t, files)
	require.NotContains(t, out.String(), "canary")
	s := seen.Load()
	for r, err := range s.conductor.Manager().List(context.Background()) {
		require.NoError(t, err)
		require.Empty(t, s.discs.Names(r.Node.UUID), "discs left of %s", r.Node)
		require.Empty(t, s.tree.Names(r.Node.UUID), "artifacts left of %s", r.Node)
	}
	for _, i := range s.ilos {
		require.LessOrEqual(t, i.Refused(), 1, "an account that gets locked")
		if i.Redfish != nil {
			open, most := i.Redfish.Sessions()
			require.Zero(t, open)
			require.LessOrEqual(t, most, 1)
		}
		media := i.Machine.Media()[bmctest.CD]
		require.NotContains(t, media, s.server.URL, "a disc left in the drive")
	}
	return out.String()
}

func TestProvision(t *testing.T) {
	t.Parallel()
	wrote := map[string]string{"agent_ilo": "image system.img", "iscsi_ilo": "image written"} // fetched by the ramdisk, or written from here
	for _, name := range drivers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := provisioned(t, options{driver: name})
			require.Contains(t, out, "3 nodes went from enroll to active and back to available")
			require.Contains(t, out, "virtual media boot ISO")
			require.Contains(t, out, wrote[name])
		})
	}
}

func TestBreak(t *testing.T) {
	t.Parallel()
	want := map[string]string{"licence": "install the BMC's licence", "password": "correct the user name and password of the BMC"}
	for _, driver := range drivers {
		for name, f := range faults {
			t.Run(driver+" "+name, func(t *testing.T) {
				t.Parallel()
				out := provisioned(t, options{driver: driver, fault: name})
				if f.passes {
					require.Contains(t, out, "3 nodes went from enroll to active")
					return
				}
				for _, g := range generations {
					require.Regexp(t, fmt.Sprintf("node ilo-%d.*%s", g, want[name]), out)
				}
			})
		}
	}
}

// A new password is given while cleaning goes on, and everything after that uses it.
func TestNewPassword(t *testing.T) {
	t.Parallel()
	const password = "another-canary"
	var ilos []*ilotest.ILO
	out := provisioned(t, options{driver: "agent_ilo", enrol: func(i *ilotest.ILO, n *task.Node) {
		n.DriverInfo["ilo_change_password"] = password
		ilos = append(ilos, i)
	}})
	require.Contains(t, out, "3 nodes went from enroll to active")
	for _, i := range ilos {
		require.True(t, i.Machine.Knows(bmctest.User, password))
		require.Zero(t, i.Refused())
	}
}

func TestOptionsRefused(t *testing.T) {
	t.Parallel()
	require.Error(t, run(t.Context(), options{driver: drivers[0], fault: "everything"}, &bytes.Buffer{}))
	require.Error(t, run(t.Context(), options{driver: "pxe_ilo"}, &bytes.Buffer{}))
}

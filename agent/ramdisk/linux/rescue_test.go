//go:build linux

package linux_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent/ramdisk/linux"
)

const crypted = "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8"

func TestRescue(t *testing.T) {
	h := host(t, map[string]string{"etc/passwd": "root:x:0:0::/root:/bin/sh\nrescue:x:5:5::/:/bin/false", "sbin/rescue": "#!/bin/sh\necho the first argument is $0\n"})
	program := filepath.Join(h.Root, "sbin/rescue")
	_, err := linux.NewRescue(h)
	require.ErrorContains(t, err, "/sbin/rescue is no program")
	require.NoError(t, os.Chmod(program, 0o755))
	r, err := linux.NewRescue(h)
	require.NoError(t, err)
	require.NoError(t, r.HandOver(), "nobody has asked for it")

	for _, hash := range []string{"$5$another$x", crypted} {
		require.NoError(t, r.Rescue(t.Context(), hash))
	}
	for name, want := range map[string]string{
		"etc/passwd": "root:x:0:0::/root:/bin/sh\nrescue:x:0:0:rescue:/root:/bin/sh\n",
		"etc/shadow": "rescue:" + crypted + ":1::::::\n",
	} {
		got, err := os.ReadFile(filepath.Join(h.Root, name))
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
	info, err := os.Stat(filepath.Join(h.Root, "etc/shadow"))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode())

	require.NoError(t, os.Remove(program))
	require.ErrorIs(t, r.HandOver(), fs.ErrNotExist)
	_, err = linux.NewRescue(h)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// TestHandOver becomes the program, in a process of its own.
func TestHandOver(t *testing.T) {
	if root := os.Getenv("RESCUE_ROOT"); root != "" {
		r, err := linux.NewRescue(linux.Host{Root: root})
		require.NoError(t, err)
		require.NoError(t, r.Rescue(t.Context(), crypted))
		require.NoError(t, r.HandOver())
		return
	}
	h := host(t, map[string]string{"sbin/rescue": "#!/bin/sh\necho it is process $$\n"})
	require.NoError(t, os.Chmod(filepath.Join(h.Root, "sbin/rescue"), 0o755))
	cmd := exec.Command(os.Args[0], "-test.run=^TestHandOver$")
	cmd.Env = append(os.Environ(), "RESCUE_ROOT="+h.Root)
	var out strings.Builder
	cmd.Stdout = &out
	require.NoError(t, cmd.Run())
	require.Equal(t, fmt.Sprintf("it is process %d\n", cmd.Process.Pid), out.String())
}

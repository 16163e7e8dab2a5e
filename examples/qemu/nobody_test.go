//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/examples/qemu/debian"
)

// nobody is a user who has no privilege and owns nothing.
const nobody = 65534

// runAs runs the program as another user in that user's home, if root runs this; who
// has no privilege runs it as himself.
func runAs(t *testing.T, user int, home string, o options, out *bytes.Buffer) error {
	t.Helper()
	makeHome(t, user, home)
	cmd := exec.CommandContext(t.Context(), filepath.Join(home, "program"), "-programs", filepath.Join(home, "programs"), "-timeout", o.timeout.String(),
		"-firmware", string(o.firmware), "-boot", o.boot, "-deploy", o.deploy, "-image-type", string(o.imageType))
	cmd.Dir, cmd.Stdout, cmd.Stderr = home, out, out
	cmd.Env = append(os.Environ(), asProgram+"=1", "HOME="+home, "TMPDIR="+home, "XDG_CACHE_HOME="+filepath.Join(home, "cache"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(syscall.SIGTERM) }, 30*time.Second
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(user), Gid: uint32(user)}
	}
	err := cmd.Run()
	if os.Getuid() == 0 {
		require.Contains(t, out.String(), fmt.Sprintf("Uid:%d,%[1]d,%[1]d,%[1]d CapEff:0000000000000000\n", user))
	}
	return err
}

// privileges are the users and the capabilities that this process has.
func privileges() string {
	status, _ := os.ReadFile("/proc/self/status")
	lines := regexp.MustCompile(`(?m)^(Uid|CapEff):.*$`).FindAllString(string(status), -1)
	return strings.NewReplacer(":\t", ":", "\t", ",").Replace(strings.Join(lines, " "))
}

// makeHome puts there what root's home has and others cannot read: the program, what
// it has the go command build, and Debian's packages as far as they were downloaded.
func makeHome(t *testing.T, user int, home string) {
	t.Helper()
	program := filepath.Join(home, "program")
	if _, err := os.Stat(program); err == nil {
		return
	}
	self, err := os.Executable()
	require.NoError(t, err)
	data, err := os.ReadFile(self)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(program, data, 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(home, "programs"), 0o755))
	for _, pkg := range []string{agentPackage, instancePackage} {
		require.NoError(t, goBuild(t.Context(), filepath.Join(home, "programs", filepath.Base(pkg)), pkg))
	}
	packages := debian.Folder("")
	if err := os.CopyFS(filepath.Join(home, "cache", filepath.Base(packages)), os.DirFS(packages)); !errors.Is(err, os.ErrNotExist) {
		require.NoError(t, err)
	}
	require.NoError(t, filepath.WalkDir(home, func(name string, _ os.DirEntry, err error) error {
		if err != nil || os.Getuid() != 0 {
			return err
		}
		return os.Lchown(name, user, user)
	}))
}

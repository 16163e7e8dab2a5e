//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/examples/qemu/debian"
)

// insideEnv tells a child of Main that it is in the namespace.
const insideEnv = "FERRULE_LAB_INSIDE"

// On reports whether lab tests are to run.
func On() bool { return os.Getenv("FERRULE_LAB") == "1" }

// Need skips t unless lab tests are to run.
func Need(t testing.TB) {
	t.Helper()
	if !On() {
		t.Skip("needs QEMU, a network namespace and packages of Debian: set FERRULE_LAB=1 to run it")
	}
}

// Main runs the tests, in a namespace of their own where lab tests are to run,
// and returns what to exit with. Packages of Debian that tests take files from are
// downloaded before that, for there is no way out of the namespace.
func Main(m *testing.M, packages ...string) int {
	if !On() || os.Getenv(insideEnv) == "1" {
		code := m.Run()
		if err := goleak.Find(); code == 0 && err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}
	for _, name := range packages {
		if _, err := debian.Unpack(context.Background(), name); err != nil {
			fmt.Fprintln(os.Stderr, "lab:", err)
			return 1
		}
	}
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab: no network namespace of its own:", err)
		return 1
	}
	return 0
}

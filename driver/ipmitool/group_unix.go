//go:build unix

package ipmitool

import (
	"os/exec"
	"syscall"
)

// ownSession gives cmd a session and process group of its own.
func ownSession(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
}

// killAll kills cmd and all that it started.
func killAll(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// interruptAll asks cmd and all that it started to end.
func interruptAll(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }

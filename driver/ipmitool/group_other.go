//go:build !unix

package ipmitool

import "os/exec"

func ownSession(*exec.Cmd) {}

func killAll(cmd *exec.Cmd) error { return cmd.Process.Kill() }

func interruptAll(cmd *exec.Cmd) error { return killAll(cmd) }

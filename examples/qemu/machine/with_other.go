//go:build unix && !linux

package machine

import "syscall"

// withUs has a process not hear our signals.
func withUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

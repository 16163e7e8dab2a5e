package machine

import "syscall"

// withUs has a process end when this one does, and not hear its signals.
func withUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

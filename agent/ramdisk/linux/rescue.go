//go:build linux

package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/ferrule/ferrule/agent/ramdisk"
)

// A Rescue is a [Host] with a [RescueProgram]. Use [NewRescue].
type Rescue struct {
	Host
	handed atomic.Bool
}

var _ ramdisk.Rescuer = (*Rescue)(nil)

// NewRescue returns h as a machine that can be rescued. The error Is
// [fs.ErrNotExist] where h has no [RescueProgram]: h itself is no
// [ramdisk.Rescuer], so that its agent refuses a rescue, and the conductor says so.
func NewRescue(h Host) (*Rescue, error) {
	info, err := os.Stat(h.path(RescueProgram))
	if err == nil && (!info.Mode().IsRegular() || info.Mode()&0o111 == 0) {
		err = fmt.Errorf("%s is no program", RescueProgram)
	}
	if err != nil {
		return nil, err
	}
	return &Rescue{Host: h}, nil
}

// Rescue implements [ramdisk.Rescuer]: [RescueUser] gets that password.
func (r *Rescue) Rescue(_ context.Context, hash string) error {
	err := errors.Join(
		os.MkdirAll(r.path("root"), 0o700),
		setUser(r.path("etc/passwd"), RescueUser+":x:0:0:rescue:/root:/bin/sh", 0o644),
		setUser(r.path("etc/shadow"), RescueUser+":"+hash+":1::::::", 0o600)) // busybox does not read a line without the day of the last change
	if err == nil {
		r.handed.Store(true)
	}
	return err
}

// setUser puts a user's line into a file of users, in place of one that may be there.
func setUser(name, line string, mode fs.FileMode) error {
	text, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	user, _, _ := strings.Cut(line, ":")
	var b strings.Builder
	for old := range strings.Lines(string(text)) {
		if !strings.HasPrefix(old, user+":") {
			b.WriteString(strings.TrimSuffix(old, "\n") + "\n")
		}
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(b.String()+line+"\n"), mode)
}

// HandOver becomes the [RescueProgram] if [Rescue.Rescue] was called, and does
// nothing else. The caller has ended what it does. It returns where it cannot.
func (r *Rescue) HandOver() error {
	if !r.handed.Load() {
		return nil
	}
	return os.NewSyscallError("execve "+RescueProgram, syscall.Exec(r.path(RescueProgram), []string{RescueProgram}, os.Environ()))
}

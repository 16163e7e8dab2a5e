package ipmitool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A terminal is a process on a terminal of its own, for sol activate takes no pipe.
type terminal struct {
	master *os.File
	cmd    *exec.Cmd
	ended  chan struct{}
	once   sync.Once
}

// operational is what ipmitool says when the console is there.
const operational = "SOL Session operational"

// openTerminal starts cmd and waits until the console is there.
func openTerminal(ctx context.Context, cmd *exec.Cmd) (io.ReadWriteCloser, error) {
	master, slave, err := openPTY()
	if err != nil {
		return nil, fmt.Errorf("ipmitool: no terminal: %w", err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	slave.Close()
	if err != nil {
		master.Close()
		return nil, fmt.Errorf("ipmitool: %w", err)
	}
	t := &terminal{master: master, cmd: cmd, ended: make(chan struct{})}
	go func() {
		defer close(t.ended)
		_ = cmd.Wait()
	}()
	stop := context.AfterFunc(ctx, func() { t.Close() })
	said, err := t.greeting()
	if !stop() {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		t.Close()
		return nil, fmt.Errorf("ipmitool: no console: %s", strings.Join(strings.Fields(said), " "))
	}
	return t, nil
}

// greeting reads up to the end of the line that tells that the console is there.
func (t *terminal) greeting() (string, error) {
	var said []byte
	for b := make([]byte, 1); len(said) < 4096; {
		n, err := t.master.Read(b)
		if err != nil {
			return string(said), err
		}
		said = append(said, b[:n]...)
		if n > 0 && b[0] == '\n' && strings.Contains(string(said), operational) {
			return "", nil
		}
	}
	return string(said), errors.New("too much said")
}

// Read reads from the console. The end of the process is io.EOF.
func (t *terminal) Read(p []byte) (int, error) {
	n, err := t.master.Read(p)
	if errors.Is(err, syscall.EIO) { // what a terminal says when the other side is gone
		err = io.EOF
	}
	return n, err
}

// Write types at the console.
func (t *terminal) Write(p []byte) (int, error) { return t.master.Write(p) }

// Close ends the process and waits for its end.
func (t *terminal) Close() error {
	t.once.Do(func() {
		_ = syscall.Kill(-t.cmd.Process.Pid, syscall.SIGINT) // upon which it ends its session, and the console with it
		select {
		case <-t.ended:
		case <-time.After(killWait):
			_ = syscall.Kill(-t.cmd.Process.Pid, syscall.SIGKILL)
		}
		t.master.Close()
	})
	<-t.ended
	return nil
}

// openPTY returns the two ends of a new terminal in raw mode.
func openPTY() (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("open /dev/ptmx", err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
		return nil, nil, err
	}
	if err := makeRaw(int(slave.Fd())); err != nil {
		master.Close()
		slave.Close()
		return nil, nil, err
	}
	return master, slave, nil
}

func makeRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Iflag &^= unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

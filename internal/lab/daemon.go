//go:build linux

package lab

import (
	"bytes"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Daemon runs a program until t ends, and returns what it says.
func Daemon(t testing.TB, name string, args ...string) *Log {
	t.Helper()
	log := new(Log)
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v (.ci/lab installs it)", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
		if t.Failed() {
			t.Logf("%s said: %s", name, log)
		}
	})
	return log
}

// A Log keeps what is written to it. Its zero value is ready.
type Log struct {
	mu   sync.Mutex
	text []byte
	more chan struct{} // closed when there is more
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
	return len(p), nil
}

// String returns everything so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// Clear forgets what was written.
func (l *Log) Clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = nil
}

// Line waits for a whole line with text in it and returns what follows that. It
// fails t after patience.
func (l *Log) Line(t testing.TB, text string, patience time.Duration) string {
	t.Helper()
	late := time.After(patience)
	for {
		l.mu.Lock()
		at := bytes.Index(l.text, []byte(text))
		var line []byte
		end := -1
		if at >= 0 {
			line = l.text[at+len(text):]
			end = bytes.IndexByte(line, '\n')
		}
		if l.more == nil {
			l.more = make(chan struct{})
		}
		more := l.more
		found := ""
		if end >= 0 {
			found = string(bytes.TrimSpace(line[:end]))
		}
		l.mu.Unlock()
		if end >= 0 {
			return found
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("no %q within %s in: %s", text, patience, tail(l.String(), 3000))
		}
	}
}

func tail(s string, n int) string { return s[max(len(s)-n, 0):] }

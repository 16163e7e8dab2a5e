package ipmitool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/ferrule/ferrule/driver/ipmi"
	"github.com/ferrule/ferrule/task"
)

// A saidError is a process that ended with a failure, and what it said.
type saidError struct {
	text string
	busy bool
}

func (e *saidError) Error() string { return "ipmitool: " + e.text }

func (e *saidError) Is(target error) bool { return e.busy && target == ipmi.ErrBusy }

// killWait is how long a process that is to end may keep its pipes open. It is
// killed after half of that.
const killWait = 2 * time.Second

func (c *client) command(b *ipmi.BMC, suite int, words ...string) *exec.Cmd {
	cmd := exec.Command(c.cfg.Program, c.arguments(b, suite, words)...)
	cmd.Env = environment(b)
	return cmd
}

// once runs one process and returns what it wrote.
func (c *client) once(ctx context.Context, b *ipmi.BMC, suite int, words ...string) (string, error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	limited, cancel := context.WithTimeoutCause(ctx, c.cfg.CommandTime, fmt.Errorf("%w: ipmitool ran for %s", task.ErrTimeout, c.cfg.CommandTime))
	defer cancel()
	cmd := exec.CommandContext(limited, c.cfg.Program, c.arguments(b, suite, words)...)
	cmd.Env = environment(b)
	ownSession(cmd)
	var kill *time.Timer
	cmd.Cancel = func() error { // first so that it can end its session at the BMC
		kill = time.AfterFunc(killWait/2, func() { _ = killAll(cmd) })
		return interruptAll(cmd)
	}
	cmd.WaitDelay = killWait
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &limitedBuffer{Buffer: &out}, &limitedBuffer{Buffer: &complaints}
	err := cmd.Run()
	if kill != nil {
		kill.Stop()
	}
	switch {
	case limited.Err() != nil && err != nil:
		return "", context.Cause(limited)
	case err == nil:
		return out.String(), nil
	}
	text := c.describe(complaints.String(), b)
	if text == "" {
		text = err.Error()
	}
	if _, exited := errors.AsType[*exec.ExitError](err); !exited {
		return "", fmt.Errorf("ipmitool: %w", err)
	}
	return "", &saidError{text: text, busy: c.busy(text)}
}

// describe makes one line of what ipmitool complained of, without secrets.
func (c *client) describe(complaints string, b *ipmi.BMC) string {
	text := strings.Join(strings.Fields(complaints), " ")
	for _, secret := range []string{string(b.Password), string(b.KG)} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "******")
		}
	}
	return text[:min(len(text), 400)]
}

// A limitedBuffer keeps the first MiB and takes the rest.
type limitedBuffer struct{ *bytes.Buffer }

func (l *limitedBuffer) Write(p []byte) (int, error) {
	if room := 1<<20 - l.Len(); room > 0 {
		l.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

package ipmitool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/ipmi"
	"github.com/ferrule/ferrule/task"
)

// Config says how ipmitool is run. The zero value is ready.
type Config struct {
	// Program is ipmitool's name or path. Empty means ipmitool, found in PATH.
	Program string

	// BMC is how BMCs are treated. Its Pause of 0 means 5 s here: a session for
	// each command wears out many BMCs.
	BMC ipmi.Config

	// Retransmits is how often ipmitool sends a packet again that nobody answers,
	// every Timeout. 0 means 3 and 5 s; Timeout counts in whole seconds.
	Retransmits int
	Timeout     time.Duration

	// CommandTime is how long one process may run. 0 means 60 s.
	CommandTime time.Duration

	// CipherSuites are tried for nodes that name none, from the last to the first
	// that the BMC takes. None leaves the choice to ipmitool.
	CipherSuites []int

	// RetryOn are texts of ipmitool's after which a command is tried again, beside
	// those that are known.
	RetryOn []string
}

// New returns the IPMI roles by ipmitool. The error Is exec.ErrNotFound where
// there is no such program.
func New(c Config) (*ipmi.Access, error) {
	path, err := exec.LookPath(cmp.Or(c.Program, "ipmitool"))
	if err != nil {
		return nil, &task.Error{Op: "ipmitool.New", Err: err, Remedy: "install ipmitool, or set Config.Program to where it is"}
	}
	if i := badSuite(c.CipherSuites); i >= 0 {
		return nil, &task.Error{Op: "ipmitool.New", Field: "CipherSuites", Err: fmt.Errorf("%w: %d", task.ErrInvalidParameter, c.CipherSuites[i]), Remedy: "use numbers from 0 to 17"}
	}
	c.Program = path
	c.BMC.Pause = cmp.Or(c.BMC.Pause, 5*time.Second)
	c.Retransmits = cmp.Or(c.Retransmits, 3)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.CommandTime = cmp.Or(c.CommandTime, time.Minute)
	return ipmi.New("ipmitool", &client{c}, c.BMC), nil
}

func badSuite(suites []int) int {
	for i, s := range suites {
		if s < 0 || s > 17 {
			return i
		}
	}
	return -1
}

type client struct{ cfg Config }

var _ ipmi.Client = (*client)(nil)

// Check refuses a key that cannot be in an environment.
func (c *client) Check(b *ipmi.BMC) error {
	if strings.ContainsRune(string(b.KG), 0) {
		return &task.Error{Field: "driver_info.ipmi_hex_kg_key", Err: fmt.Errorf("%w: ipmitool takes no key with a zero byte but as an argument, which everybody can read", task.ErrInvalidParameter),
			Remedy: "set another key in the BMC, or use the native driver"}
	}
	return nil
}

// Command implements ipmi.Client with ipmitool's raw command.
func (c *client) Command(ctx context.Context, b *ipmi.BMC, r ipmi.Request) ([]byte, error) {
	words := []string{"raw", hexByte(r.NetFn), hexByte(r.Command)}
	for _, d := range r.Data {
		words = append(words, hexByte(d))
	}
	out, err := c.run(ctx, b, words...)
	if err != nil {
		var said *saidError
		if errors.As(err, &said) {
			if code, ok := completion(said.text); ok {
				return nil, &ipmi.CompletionError{Request: r, Code: code}
			}
		}
		return nil, err
	}
	return parseBytes(out)
}

// Sensors implements ipmi.Client with ipmitool's sdr command.
func (c *client) Sensors(ctx context.Context, b *ipmi.BMC) ([]driver.Sensor, error) {
	out, err := c.run(ctx, b, "-c", "sdr", "elist", "full")
	if err != nil {
		return nil, err
	}
	return parseSensors(out), nil
}

// Console implements ipmi.Client with ipmitool's sol command, on a terminal.
func (c *client) Console(ctx context.Context, b *ipmi.BMC) (io.ReadWriteCloser, error) {
	if _, err := c.run(ctx, b, "sol", "deactivate"); ctx.Err() != nil { // most often there was none
		return nil, err
	}
	return openTerminal(ctx, c.command(b, c.suite(b), "-e", escape, "sol", "activate"))
}

// escape begins a line that ipmitool takes for itself. No text has this byte.
const escape = "\xff"

func hexByte(b byte) string { return fmt.Sprintf("0x%02x", b) }

// suite is the cipher suite to begin with, -1 for none.
func (c *client) suite(b *ipmi.BMC) int {
	if b.CipherSuite >= 0 || len(c.cfg.CipherSuites) == 0 {
		return b.CipherSuite
	}
	return c.cfg.CipherSuites[len(c.cfg.CipherSuites)-1]
}

// run runs ipmitool with a cipher suite that the BMC takes.
func (c *client) run(ctx context.Context, b *ipmi.BMC, words ...string) (string, error) {
	if b.CipherSuite >= 0 || len(c.cfg.CipherSuites) == 0 {
		return c.once(ctx, b, b.CipherSuite, words...)
	}
	var out string
	var err error
	for i := len(c.cfg.CipherSuites) - 1; i >= 0; i-- {
		out, err = c.once(ctx, b, c.cfg.CipherSuites[i], words...)
		var said *saidError
		if !errors.As(err, &said) || !refusesSuite(said.text) {
			break
		}
	}
	return out, err
}

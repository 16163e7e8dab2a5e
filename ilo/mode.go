package ilo

import (
	"context"
	"fmt"
	"strings"

	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/task"
)

// modes are what RIBCL calls the boot modes.
var modes = map[task.BootMode]string{task.BIOS: "LEGACY", task.UEFI: "UEFI"}

// BootMode asks for the mode of the next boot. An iLO that knows of no modes has
// a machine that starts as a BIOS does.
func (m *Management) BootMode(ctx context.Context, t *task.Task) (task.BootMode, error) {
	const op = "ilo.BootMode"
	c, err := m.connect(ctx, op, t)
	if err != nil {
		return "", err
	}
	if c == nil {
		return m.redfish.BootMode(ctx, t)
	}
	mode, err := c.bootMode(ctx)
	return mode, wrap(op, t, err)
}

func (c *client) bootMode(ctx context.Context) (task.BootMode, error) {
	a, err := c.do(ctx, command{group: "SERVER_INFO", name: "GET_PENDING_BOOT_MODE"})
	if bmc.ClassOf(err) == bmc.Unsupported {
		return task.BIOS, nil
	}
	if err != nil {
		return "", err
	}
	text := a.value("BOOT_MODE")
	for mode, name := range modes {
		if strings.EqualFold(name, text) {
			return mode, nil
		}
	}
	return "", fmt.Errorf("%w: the iLO says that the boot mode is %q", task.ErrUnsupported, bmc.Clean(text))
}

// SetBootMode changes the mode from the next boot on.
func (m *Management) SetBootMode(ctx context.Context, t *task.Task, mode task.BootMode) error {
	const op = "ilo.SetBootMode"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	if modes[mode] == "" {
		return &task.Error{Op: op, Node: t.Node.String(), Field: "boot_mode", Err: fmt.Errorf("%w: %q", task.ErrInvalidParameter, mode)}
	}
	c, err := m.connect(ctx, op, t)
	if err != nil {
		return err
	}
	if c == nil {
		return m.redfish.SetBootMode(ctx, t, mode)
	}
	if now, err := c.bootMode(ctx); err == nil && now == mode { // one that is unknown is set all the same
		return nil
	}
	_, err = c.do(ctx, command{group: "SERVER_INFO", write: true, name: "SET_PENDING_BOOT_MODE", attrs: []attr{{"value", modes[mode]}}})
	return wrap(op, t, err)
}

// SecureBoot reports whether the machine's last boot was a secure one. RIBCL has no
// command for it: before iLO 4 2.30, that is task.ErrUnsupported.
func (m *Management) SecureBoot(ctx context.Context, t *task.Task) (bool, error) {
	const op = "ilo.SecureBoot"
	c, err := m.connect(ctx, op, t)
	if err != nil {
		return false, err
	}
	if c == nil || c.hasREST() {
		return m.redfish.SecureBoot(ctx, t)
	}
	return false, wrap(op, t, fmt.Errorf("%w: secure boot by RIBCL", task.ErrUnsupported))
}

// SetSecureBoot switches secure boot from the next boot on, from iLO 4 2.30 on.
func (m *Management) SetSecureBoot(ctx context.Context, t *task.Task, on bool) error {
	const op = "ilo.SetSecureBoot"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	c, err := m.connect(ctx, op, t)
	if err != nil {
		return err
	}
	if c == nil || c.hasREST() {
		return m.redfish.SetSecureBoot(ctx, t, on)
	}
	return wrap(op, t, fmt.Errorf("%w: secure boot by RIBCL", task.ErrUnsupported))
}

// SendNMI raises a non-maskable interrupt, from iLO 4 2.30 on.
func (m *Management) SendNMI(ctx context.Context, t *task.Task) error {
	const op = "ilo.SendNMI"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	c, err := m.connect(ctx, op, t)
	if err != nil {
		return err
	}
	if c == nil || c.hasREST() {
		return m.redfish.SendNMI(ctx, t)
	}
	return wrap(op, t, fmt.Errorf("%w: an NMI by RIBCL", task.ErrUnsupported))
}

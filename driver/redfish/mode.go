package redfish

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/task"
)

// BootMode asks the BMC.
func (m *Management) BootMode(ctx context.Context, t *task.Task) (task.BootMode, error) {
	const op = "redfish.BootMode"
	c, err := m.client(ctx, op, t)
	if err != nil {
		return "", err
	}
	s, err := c.System(ctx)
	if err != nil {
		return "", wrap(op, t, err)
	}
	switch s.Boot.Mode {
	case "UEFI":
		return task.UEFI, nil
	case "Legacy":
		return task.BIOS, nil
	}
	return "", &task.Error{Op: op, Node: t.Node.String(), Field: "boot_mode", Err: fmt.Errorf("%w: the BMC does not say what it is", task.ErrUnsupported)}
}

// SetBootMode changes it from the next boot on.
func (m *Management) SetBootMode(ctx context.Context, t *task.Task, mode task.BootMode) error {
	const op = "redfish.SetBootMode"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	name := map[task.BootMode]string{task.UEFI: "UEFI", task.BIOS: "Legacy"}[mode]
	if name == "" {
		return &task.Error{Op: op, Node: t.Node.String(), Field: "boot_mode", Err: fmt.Errorf("%w: %q", task.ErrInvalidParameter, mode)}
	}
	c, err := m.client(ctx, op, t)
	if err != nil {
		return err
	}
	s, err := c.System(ctx)
	if err != nil || s.Boot.Mode == name {
		return wrap(op, t, err)
	}
	if err := c.patchBoot(ctx, s, map[string]string{"BootSourceOverrideMode": name}); err != nil {
		return wrap(op, t, err)
	}
	err = c.waitFor(ctx, "boot mode "+name, nil, func() (bool, error) {
		s, err := c.System(ctx)
		return err == nil && s.Boot.Mode == name, err
	})
	return wrap(op, t, err)
}

// secureBoot is what is used of the resource SecureBoot.
type secureBoot struct {
	Enable  bool   `json:"SecureBootEnable"`
	Current string `json:"SecureBootCurrentBoot"`
	Gen9    bool   `json:"SecureBootCurrentState"` // what Current is on HPE's Gen9
}

// SecureBoot reports whether the machine's last boot was a secure one. The error
// Is task.ErrUnsupported where the BMC does not tell.
func (m *Management) SecureBoot(ctx context.Context, t *task.Task) (bool, error) {
	const op = "redfish.SecureBoot"
	c, err := m.client(ctx, op, t)
	if err != nil {
		return false, err
	}
	_, state, err := c.secureBoot(ctx)
	return state.Current == "Enabled" || state.Gen9, wrap(op, t, err)
}

// SetSecureBoot switches secure boot from the next boot on. It takes a machine in
// boot mode UEFI.
func (m *Management) SetSecureBoot(ctx context.Context, t *task.Task, on bool) error {
	const op = "redfish.SetSecureBoot"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	c, err := m.client(ctx, op, t)
	if err != nil {
		return err
	}
	path, state, err := c.secureBoot(ctx)
	if err != nil || state.Enable == on {
		return wrap(op, t, err)
	}
	if err := c.Patch(ctx, path, map[string]bool{"SecureBootEnable": on}, ""); err != nil {
		return wrap(op, t, err)
	}
	err = c.waitFor(ctx, "secure boot", nil, func() (bool, error) {
		_, state, err := c.secureBoot(ctx)
		return state.Enable == on, err
	})
	return wrap(op, t, err)
}

func (c *Client) secureBoot(ctx context.Context) (path string, state secureBoot, err error) {
	s, err := c.System(ctx)
	if err != nil {
		return "", state, err
	}
	path = s.secureBoot().ID
	if path == "" {
		return "", state, fmt.Errorf("%w: the system has no secure boot", task.ErrUnsupported)
	}
	_, err = c.Get(ctx, path, &state)
	return path, state, err
}

// SendNMI raises a non-maskable interrupt.
func (m *Management) SendNMI(ctx context.Context, t *task.Task) error {
	const op = "redfish.SendNMI"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	c, err := m.client(ctx, op, t)
	if err != nil {
		return err
	}
	s, err := c.System(ctx)
	if err == nil {
		err = c.reset(ctx, s, "Nmi")
	}
	return wrap(op, t, err)
}

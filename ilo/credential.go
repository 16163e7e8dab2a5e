package ilo

import (
	"context"
	"time"

	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/driver/redfish"
	"github.com/ferrule/ferrule/task"
)

// resetCredential is a clean step that gives the node's account on its iLO another
// password. It runs on its own where there is one to give, with Ironic's priority.
const (
	resetCredential         = "reset_ilo_credential"
	resetCredentialPriority = 30
)

// credential is what the step takes.
type credential struct {
	New task.Secret `driver_info:"ilo_change_password" help:"password that the clean step reset_ilo_credential gives the account on the iLO, and then puts into ilo_password"`
}

// storeTime is how long the new password may take to be tried and stored, whatever
// becomes of the step: the iLO has it by then.
const storeTime = time.Minute

// resetCredential changes the password, logs in with it, and stores it; after an
// attempt whose end nobody knows it finds the password changed.
func (m *Management) resetCredential(ctx context.Context, op string, t *task.Task) error {
	var p credential
	if err := t.Node.Decode(op, &p); err != nil {
		return err
	}
	if p.New == "" {
		return &task.Error{Op: op, Node: t.Node.String(), Field: "driver_info.ilo_change_password", Err: task.ErrMissingParameter, Remedy: "set it to the new password"}
	}
	c, err := m.connect(ctx, op, t)
	if err != nil {
		return err
	}
	old, err := accessOf(op, t)
	if err != nil {
		return err
	}
	changed := old
	changed.password = p.New
	change, try := m.passwordByRedfish, m.tryRedfish
	if c != nil {
		change, try = c.setPassword, m.tryRIBCL
	}
	changeErr := change(ctx, old, p.New)
	if undone(changeErr) {
		return wrap(op, t, changeErr)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime)
	defer cancel()
	err = try(ctx, changed)
	if changeErr != nil && bmc.ClassOf(err) == bmc.Authentication {
		return wrap(op, t, changeErr) // it has the old one still, or a third
	}
	if err == nil {
		delete(t.Node.DriverInfo, "ilo_change_password")
		t.Node.DriverInfo["ilo_password"] = string(p.New)
		err = t.Save(ctx)
	}
	if err != nil {
		return &task.Error{Op: op, Node: t.Node.String(), Field: "driver_info.ilo_password", Err: task.Join(changeErr, err),
			Remedy: "run the step again, or set it to what ilo_change_password is: the iLO may have that by now"}
	}
	return nil
}

// undone reports whether err says that the iLO has not changed the password. All else
// may be the answer to a change that was lost; a refused log-in is what the next
// attempt gets then.
func undone(err error) bool {
	switch bmc.ClassOf(err) {
	case bmc.Busy, bmc.Conflict, bmc.Licence, bmc.Refused, bmc.Unsupported:
		return true
	}
	return false
}

// setPassword changes the password of the client's own account.
func (c *client) setPassword(ctx context.Context, _ access, password task.Secret) error {
	_, err := c.do(ctx, command{group: "USER_INFO", write: true, name: "MOD_USER", attrs: []attr{{"USER_LOGIN", c.access.username}}, secret: string(password), body: []element{
		{"PASSWORD", []attr{{"value", string(password)}}, nil},
	}})
	return err
}

func (m *Management) tryRIBCL(ctx context.Context, a access) error {
	c, err := m.bmcs.client(a)
	if err != nil {
		return err
	}
	_, err = c.on(ctx)
	return err
}

func (r role) redfishClient(a access) (*redfish.Client, error) {
	c, err := r.bmcs.client(a)
	if err != nil {
		return nil, err
	}
	return r.bmcs.rf().Client(c.redfish())
}

func (m *Management) passwordByRedfish(ctx context.Context, a access, password task.Secret) error {
	c, err := m.redfishClient(a)
	if err != nil {
		return err
	}
	return c.SetPassword(ctx, password)
}

func (m *Management) tryRedfish(ctx context.Context, a access) error {
	c, err := m.redfishClient(a)
	if err == nil {
		_, err = c.System(ctx)
	}
	return err
}

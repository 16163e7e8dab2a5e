package task

import (
	"context"
	"fmt"
	"time"
)

// Create adds a node with its ports to the store. An empty UUID is filled in,
// an empty provision state is [Enroll], port addresses are brought into their
// usual form. UUID and name hold letters, digits and "-._~" only, as in Ironic:
// they become parts of file names and URLs. Every problem of the values is
// reported; a node that exists already Is [ErrExists].
func (m *Manager) Create(ctx context.Context, n *Node, ports ...*Port) error {
	const op = "task.Create"
	now := time.Now().UTC()
	if n.UUID == "" {
		n.UUID = NewUUID()
	}
	if n.ProvisionState == "" {
		n.ProvisionState = Enroll
	}
	n.CreatedAt, n.UpdatedAt, n.Reservation = now, now, ""
	if err := complete(op, n, ports); err != nil {
		return err
	}
	if err := m.store.Create(ctx, &Record{Node: n, Ports: ports}); err != nil {
		return &Error{Op: op, Node: n.String(), Err: err}
	}
	return nil
}

// complete checks what a store is about to get, and fills in what ports lack.
func complete(op string, n *Node, ports []*Port) error {
	var errs []error
	refuse := func(field string, err error, remedy string) {
		errs = append(errs, &Error{Op: op, Node: n.UUID, Field: field, Err: err, Remedy: remedy})
	}
	if !plain(n.UUID) {
		refuse("uuid", fmt.Errorf("%w: %q", ErrInvalidParameter, n.UUID), "use letters, digits and -._~")
	}
	if n.Name != "" && !plain(n.Name) {
		refuse("name", fmt.Errorf("%w: %q", ErrInvalidParameter, n.Name), "use letters, digits and -._~")
	}
	if !n.ProvisionState.Valid() {
		refuse("provision_state", fmt.Errorf("%w: %q", ErrInvalidParameter, n.ProvisionState), "")
	}
	for _, p := range ports {
		mac, err := ParseMAC(p.Address)
		if err != nil {
			refuse("ports.address", err, "write it as 52:54:00:12:34:56")
			continue
		}
		p.Address, p.NodeUUID = mac, n.UUID
		if p.UUID == "" {
			p.UUID = NewUUID()
		}
	}
	return Join(errs...)
}

// plain reports whether s is made of the unreserved characters of RFC 3986,
// section 2.3, and is no relative path.
func plain(s string) bool {
	for _, r := range s {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		case r == '-', r == '.', r == '_', r == '~':
		default:
			return false
		}
	}
	return s != "" && s != "." && s != ".."
}

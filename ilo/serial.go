package ilo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/ferrule/ferrule/task"
)

// An IPMIConsole opens serial consoles of nodes with the parameters of IPMI, as
// *ipmi.Console of packages ipmitool and ipminative does.
type IPMIConsole interface {
	// Properties describes the parameters that the other methods read.
	Properties() task.Properties

	// Validate reports every parameter that is missing or wrong, and talks to nobody.
	Validate(ctx context.Context, t *task.Task) error

	// Open opens the console of t's node. The stream outlives ctx.
	Open(ctx context.Context, t *task.Task) (io.ReadWriteCloser, error)
}

// SerialConsole returns what opens nodes' serial consoles over IPMI, which an iLO
// speaks beside its own protocols, for the hub of package console:
//
//	hub.Console(bmcs.SerialConsole(ipmis.Console()))
//
// User name and password are the iLO's; nodes may have further parameters of over, as
// ipmi_port.
func (b *BMCs) SerialConsole(over IPMIConsole) *SerialConsole { return &SerialConsole{role{b}, over} }

// A SerialConsole opens nodes' serial consoles. It is a source for the hub of package
// console. Use [BMCs.SerialConsole].
type SerialConsole struct {
	role
	over IPMIConsole
}

var _ IPMIConsole = (*SerialConsole)(nil)

// asIPMI are the parameters of IPMI that ours stand for.
var asIPMI = map[string]string{"ipmi_address": "ilo_address", "ipmi_username": "ilo_username", "ipmi_password": "ilo_password"}

// Properties describes the iLO's parameters, and those of IPMI that they do not stand
// for.
func (s *SerialConsole) Properties() task.Properties {
	all := maps.Clone(s.over.Properties())
	for name := range asIPMI {
		delete(all, "driver_info."+name)
	}
	maps.Copy(all, s.role.Properties())
	return all
}

// Validate reports every parameter that is missing or wrong.
func (s *SerialConsole) Validate(ctx context.Context, t *task.Task) error {
	return s.validate(ctx, "ilo.ValidateConsole", t, translate(t))
}

func (s *SerialConsole) validate(ctx context.Context, op string, t, over *task.Task) error {
	_, err := accessOf(op, t)
	errs, told := []error{err}, map[string]bool{}
	for _, p := range task.Problems(err) {
		if e, ok := errors.AsType[*task.Error](p); ok {
			told[e.Field] = true
		}
	}
	for _, p := range task.Problems(named(s.over.Validate(ctx, over))) {
		if e, ok := errors.AsType[*task.Error](p); !ok || !told[e.Field] {
			errs = append(errs, p)
		}
	}
	return task.Join(errs...)
}

// Open opens the console of t's node. The stream outlives ctx; close it. Where IPMI
// does not answer, an iLO that speaks Redfish is asked whether it is on, and at which
// port.
func (s *SerialConsole) Open(ctx context.Context, t *task.Task) (io.ReadWriteCloser, error) {
	const op = "ilo.OpenConsole"
	over := translate(t)
	if err := s.validate(ctx, op, t, over); err != nil {
		return nil, err
	}
	stream, err := s.over.Open(ctx, over)
	switch {
	case err == nil:
		return stream, nil
	case ctx.Err() != nil:
		return nil, err
	}
	e := &task.Error{Op: op, Node: t.Node.String(), Err: err}
	if told, ok := errors.AsType[*task.Error](err); ok { // the rest of it is said by e
		e.Err = told.Err
	}
	why, remedy := s.explain(ctx, op, t, over.Node)
	if why != "" {
		e.Err = fmt.Errorf("%s: %w", why, e.Err)
	}
	e.Remedy = remedy
	return nil, e
}

// translate returns t for the IPMI console: its node, which is stored nowhere, has the
// iLO's parameters as those of IPMI.
func translate(t *task.Task) *task.Task {
	n := t.Node.Clone()
	for name, own := range asIPMI {
		delete(n.DriverInfo, name)
		if v, ok := t.Node.DriverInfo[own]; ok {
			n.DriverInfo[name] = v
		}
	}
	if host, ok := n.DriverInfo["ipmi_address"].(string); ok {
		n.DriverInfo["ipmi_address"] = strings.Trim(host, "[]")
	}
	return &task.Task{Node: n, Ports: t.Ports, Driver: t.Driver, Logger: t.Logger, Observer: t.Observer}
}

// named gives an IPMI console's errors the parameters that the node has.
func named(err error) error {
	problems := task.Problems(err)
	for i, p := range problems {
		told, ok := errors.AsType[*task.Error](p)
		if !ok {
			continue
		}
		if own, ok := asIPMI[strings.TrimPrefix(told.Field, "driver_info.")]; ok {
			c := *told
			c.Field = "driver_info." + own
			problems[i] = &c
		}
	}
	return task.Join(problems...)
}

// explainTime bounds how long an iLO may take to say how its IPMI is.
const explainTime = 15 * time.Second

// explain says why IPMI may not have answered, as far as the iLO tells, and what to do.
func (s *SerialConsole) explain(ctx context.Context, op string, t *task.Task, over *task.Node) (why, remedy string) {
	const look = "see that IPMI/DCMI over LAN is enabled in the iLO's access settings, and that driver_info.ipmi_port is its port"
	ctx, cancel := context.WithTimeout(ctx, explainTime)
	defer cancel()
	c, err := s.connect(ctx, op, t)
	if err != nil || c != nil { // RIBCL does not tell
		return "", look
	}
	a, err := accessOf(op, t)
	if err != nil {
		return "", look
	}
	client, err := s.redfishClient(a)
	if err != nil {
		return "", look
	}
	var tried struct {
		Port int `driver_info:"ipmi_port" default:"623" help:"UDP port of the iLO's IPMI"`
	}
	_ = over.Decode(op, &tried) // the IPMI console has checked it
	p, err := client.Protocol(ctx, "IPMI")
	switch {
	case errors.Is(err, task.ErrUnsupported):
		return "the iLO does not name IPMI among its protocols", "use the console on the iLO's own page: not every iLO has IPMI over LAN"
	case err != nil:
		return "", look
	case !p.ProtocolEnabled:
		return "IPMI over LAN is off in the iLO", "enable IPMI/DCMI over LAN in the iLO's access settings"
	case p.Port != 0 && p.Port != tried.Port:
		return fmt.Sprintf("the iLO has IPMI at port %d", p.Port), fmt.Sprintf("set driver_info.ipmi_port to %d", p.Port)
	}
	return "", "look at the iLO's serial over LAN settings and at its user's rights: it says that IPMI is on"
}

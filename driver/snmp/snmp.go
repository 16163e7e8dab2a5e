package snmp

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gosnmp/gosnmp"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/internal/switched"
	"github.com/ferrule/ferrule/task"
)

// Config says how units are talked to. The zero value is ready.
type Config struct {
	// Timeout is how long an answer may take, and Retries how often a question is
	// sent again. 0 means 1 s and 5.
	Timeout time.Duration
	Retries int

	// PowerWait is how long an outlet may take to be switched, looked at every
	// PollPause. 0 means 10 s and 1 s.
	PowerWait, PollPause time.Duration

	// RebootDelay is how long a reboot leaves a machine without power. 0 means none.
	RebootDelay time.Duration
}

// New returns the power interface.
func New(c Config) driver.PowerInterface {
	c.Timeout = cmp.Or(c.Timeout, time.Second)
	c.Retries = cmp.Or(c.Retries, 5)
	return &switched.Power{
		Name: "snmp", Props: task.PropertiesOf[parameters](), Open: c.open,
		Wait: cmp.Or(c.PowerWait, 10*time.Second), Pause: cmp.Or(c.PollPause, time.Second), Dark: c.RebootDelay,
		Remedy: "look at the unit and at the outlet",
	}
}

// An outlet is what a node is plugged in.
type outlet struct {
	unit
	model  string // "auto" to ask
	number int
}

func (o *outlet) State(ctx context.Context) (driver.PowerState, error) {
	m, err := o.modelNow(ctx)
	if err != nil {
		return "", err
	}
	v, err := o.get(ctx, m.state.oid(o.number))
	if err != nil {
		return "", err
	}
	n, err := number(v)
	if err != nil {
		return "", fmt.Errorf("outlet %d of %s: %w", o.number, o.address, err)
	}
	on, ok := m.power(n)
	switch {
	case !ok:
		return "", fmt.Errorf("outlet %d of %s has the unknown state %d: is driver_info.snmp_driver right?", o.number, o.address, n)
	case on:
		return driver.PowerOn, nil
	}
	return driver.PowerOff, nil
}

// number returns the value of an integer.
func number(v gosnmp.SnmpPDU) (int, error) {
	switch v.Type {
	case gosnmp.Integer, gosnmp.Gauge32, gosnmp.Counter32, gosnmp.Uinteger32:
		if n := gosnmp.ToBigInt(v.Value); n.IsInt64() {
			return int(n.Int64()), nil
		}
	}
	return 0, fmt.Errorf("the unit answered %s for %s: is the outlet there, and driver_info.snmp_driver right?", v.Type, v.Name)
}

func (o *outlet) Set(ctx context.Context, to driver.PowerState) error {
	m, err := o.modelNow(ctx)
	if err != nil {
		return err
	}
	order := m.toOff
	if to == driver.PowerOn {
		order = m.toOn
	}
	return o.set(ctx, order.oid(o.number), order.value)
}

// sysObjectID is where every unit says what it is.
const sysObjectID = ".1.3.6.1.2.1.1.2.0"

func (o *outlet) modelNow(ctx context.Context) (model, error) {
	if o.model != "auto" {
		return models[o.model], nil
	}
	v, err := o.get(ctx, sysObjectID)
	if err != nil {
		return model{}, err
	}
	id, _ := v.Value.(string)
	name, ok := modelOf(id)
	if !ok {
		return model{}, fmt.Errorf("%w: the unit at %s is of a kind without an automatic choice, %q (set driver_info.snmp_driver)", task.ErrUnsupported, o.address, strings.TrimSpace(id))
	}
	return models[name], nil
}

package snmp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gosnmp/gosnmp"
)

// A unit is how a power distribution unit is talked to.
type unit struct {
	address     string
	port        uint16
	timeout     time.Duration
	retries     int
	version     gosnmp.SnmpVersion
	read, write string // communities

	usm                        *gosnmp.UsmSecurityParameters
	flags                      gosnmp.SnmpV3MsgFlags
	contextName, contextEngine string
}

func (u *unit) get(ctx context.Context, oid string) (gosnmp.SnmpPDU, error) {
	return u.exchange(ctx, u.read, func(c *gosnmp.GoSNMP) (*gosnmp.SnmpPacket, error) { return c.Get([]string{oid}) })
}

func (u *unit) set(ctx context.Context, oid string, value int) error {
	_, err := u.exchange(ctx, u.write, func(c *gosnmp.GoSNMP) (*gosnmp.SnmpPacket, error) {
		return c.Set([]gosnmp.SnmpPDU{{Name: oid, Type: gosnmp.Integer, Value: value}})
	})
	return err
}

// exchange makes one request on a socket of its own and returns the first value.
func (u *unit) exchange(ctx context.Context, community string, request func(*gosnmp.GoSNMP) (*gosnmp.SnmpPacket, error)) (gosnmp.SnmpPDU, error) {
	c := &gosnmp.GoSNMP{
		Target: u.address, Port: u.port, Version: u.version, Community: community, Timeout: u.timeout, Retries: u.retries, Context: ctx, MaxOids: 1,
	}
	if u.version == gosnmp.Version3 {
		c.SecurityModel, c.SecurityParameters, c.MsgFlags = gosnmp.UserSecurityModel, u.usm.Copy(), u.flags // the exchange changes them
		c.ContextName, c.ContextEngineID = u.contextName, u.contextEngine
	}
	if err := c.Connect(); err != nil {
		return gosnmp.SnmpPDU{}, u.failed(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { c.Conn.Close() }) // a wait for an answer ends with ctx
	defer func() {
		if stop() {
			c.Conn.Close()
		}
	}()
	answer, err := request(c)
	if err != nil {
		return gosnmp.SnmpPDU{}, u.failed(ctx, err)
	}
	if answer.Error != gosnmp.NoError {
		return gosnmp.SnmpPDU{}, u.failed(ctx, fmt.Errorf("the unit answered %s", answer.Error))
	}
	if len(answer.Variables) != 1 {
		return gosnmp.SnmpPDU{}, u.failed(ctx, errors.New("an answer without a value"))
	}
	return answer.Variables[0], nil
}

// failed is the error of an exchange; a canceled one is its context's.
func (u *unit) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("snmp unit %s: %v", u.address, err)
}

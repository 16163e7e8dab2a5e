package ilo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/driver/redfish"
	"github.com/ferrule/ferrule/task"
)

// BMCs are the iLOs that this process talks to. The zero value is ready. Fields are
// set before it is used, and have the meaning that they have in redfish.BMCs. Close
// it.
type BMCs struct {
	Limits         bmc.Limits
	Budgets        bmc.Budgets
	Idle           time.Duration
	Poll, Patience time.Duration

	setUp   sync.Once
	redfish redfish.BMCs

	mu     sync.Mutex // over what follows
	conns  map[connKey]*conn
	closed bool
}

type connKey struct {
	host string
	tls  bmc.TLS
}

// A conn is what there is of one iLO.
type conn struct {
	bmcs  *BMCs
	owner *bmc.Owner
	http  *http.Client
	host  string

	mu       sync.Mutex // over what follows
	protocol string     // "" until it was asked
	rest     bool       // it has a REST service beside RIBCL
}

// rf returns the BMCs for iLOs that speak Redfish.
func (b *BMCs) rf() *redfish.BMCs {
	b.setUp.Do(func() {
		b.redfish.Limits, b.redfish.Budgets, b.redfish.Idle = b.Limits, b.Budgets, b.Idle
		b.redfish.Poll, b.redfish.Patience = b.Poll, b.Patience
	})
	return &b.redfish
}

// roles are those of package redfish for nodes with our parameters.
func (b *BMCs) roles() redfish.Roles {
	return redfish.Roles{BMCs: b.rf(), Access: b.redfishAccess, Properties: task.PropertiesOf[parameters]()}
}

// Close logs out of all iLOs and closes the connections. Requests after it fail.
func (b *BMCs) Close() {
	b.rf().Close()
	b.mu.Lock()
	conns := b.conns
	b.conns, b.closed = nil, true
	b.mu.Unlock()
	for _, c := range conns {
		c.http.CloseIdleConnections()
	}
}

var errClosed = errors.New("ilo: closed")

// A client makes requests to one iLO with one user's name and password.
type client struct {
	*conn
	access access
}

func (b *BMCs) client(a access) (*client, error) {
	key := connKey{a.host, a.tls.Canonical()}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errClosed
	}
	c := b.conns[key]
	if c == nil {
		h, err := a.tls.Client()
		if err != nil {
			return nil, err
		}
		c = &conn{bmcs: b, owner: bmc.NewOwner(b.Limits), http: h, host: a.host}
		if b.conns == nil {
			b.conns = map[connKey]*conn{}
		}
		b.conns[key] = c
	}
	return &client{c, a}, nil
}

func (b *BMCs) poll() time.Duration {
	if b.Poll > 0 {
		return b.Poll
	}
	return 2 * time.Second
}

func (b *BMCs) patience() time.Duration {
	if b.Patience > 0 {
		return b.Patience
	}
	return 2 * time.Minute
}

const maxBody = 4 << 20

// speaksRedfish reports whether the iLO is one of those that are driven by Redfish.
// iLO 4 has some of it too, under the vendor's old name.
func (c *client) speaksRedfish(ctx context.Context) (bool, error) {
	if c.access.protocol != "auto" && c.access.protocol != "" {
		return c.access.protocol == "redfish", nil
	}
	c.mu.Lock()
	known := c.protocol
	c.mu.Unlock()
	if known != "" {
		return known == "redfish", nil
	}
	var root struct {
		Oem     map[string]json.RawMessage
		Systems json.RawMessage
	}
	err := c.bmcs.Budgets.Retry(ctx, func(ctx context.Context) error {
		data, status, err := c.send(ctx, http.MethodGet, "/redfish/v1/", nil, "")
		switch {
		case err != nil:
			return err
		case status == http.StatusServiceUnavailable:
			return &bmc.Error{Class: bmc.Busy, Op: "GET /redfish/v1/", Status: status}
		case status == http.StatusOK:
			_ = json.Unmarshal(data, &root) // what is none of it is no Redfish
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	_, old := root.Oem["Hp"]
	known = "ribcl"
	if root.Oem != nil && !old {
		known = "redfish"
	}
	c.mu.Lock()
	c.protocol, c.rest = known, old && len(root.Systems) > 0 && string(root.Systems) != "null"
	c.mu.Unlock()
	return known == "redfish", nil
}

// hasREST reports whether an iLO that speaks RIBCL has a REST service for what RIBCL
// has no command for: iLO 4 from version 2.30 on, as far as it was asked.
func (c *client) hasREST() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rest
}

// redfish is how package redfish reaches the iLO, with the same bounds for both.
func (c *client) redfish() redfish.Access {
	a := c.access
	return redfish.Access{Address: "https://" + a.host, Username: a.username, Password: a.password, TLS: a.tls, Owner: c.owner}
}

// do has the iLO carry out a command, by the budgets of its failures.
func (c *client) do(ctx context.Context, cmd command) (*answer, error) {
	op := "RIBCL " + cmd.name
	body := cmd.marshal(c.access.username, string(c.access.password))
	var a *answer
	err := c.bmcs.Budgets.Retry(ctx, func(ctx context.Context) error {
		return c.owner.Do(ctx, c.access.credentials(), func(ctx context.Context) error {
			data, status, err := c.roundTrip(ctx, http.MethodPost, "/ribcl", body, op)
			if e, ok := errors.AsType[*bmc.Error](err); ok && !cmd.write {
				e.Final = false // to read again does no harm
			}
			if err != nil {
				return err
			}
			a, err = c.read(op, data, status, cmd.secret)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// read makes sense of what came. No error has the secret in it.
func (c *client) read(op string, data []byte, status int, secret string) (*answer, error) {
	fail := func(class bmc.Class, code int, text string) error {
		return &bmc.Error{Class: class, Op: op, Status: code, Text: bmc.Clean(text, string(c.access.password), secret)}
	}
	switch status {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusMovedPermanently, http.StatusFound:
		return nil, fail(bmc.Unsupported, status, "the iLO does not speak RIBCL, or it is switched off there")
	case http.StatusServiceUnavailable:
		return nil, fail(bmc.Busy, status, "")
	default:
		return nil, fail(bmc.Protocol, status, "")
	}
	a, err := parseAnswer(data)
	if err != nil {
		return nil, fail(bmc.Protocol, 0, err.Error())
	}
	if a.status != 0 {
		return nil, fail(classify(a.status, strings.ToLower(a.message)), a.status, a.message)
	}
	return a, nil
}

// classify tells by status and message what kind of failure it is. iLO has one
// status for many things.
func classify(status int, message string) bmc.Class {
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(message, w) {
				return true
			}
		}
		return false
	}
	switch {
	case status == 0x5f, status == 0x0a, has("login failed", "login credentials rejected", "user login name was not found"):
		return bmc.Authentication
	case status == 0x2e, has("license", "licence"):
		return bmc.Licence
	case has("post in progress", "during post", "system post", "try again", "in progress", "busy", "not ready"):
		return bmc.Busy
	case status == 0x3c, status == 0x01, has("not supported", "syntax error", "unrecognized", "not valid for this"):
		return bmc.Unsupported
	}
	return bmc.Refused
}

// send is roundTrip through the owner, without credentials.
func (c *client) send(ctx context.Context, method, path string, body []byte, op string) (data []byte, status int, err error) {
	if op == "" {
		op = method + " " + path
	}
	err = c.owner.Do(ctx, "", func(ctx context.Context) error {
		data, status, err = c.roundTrip(ctx, method, path, body, op)
		return err
	})
	return data, status, err
}

func (c *client) roundTrip(ctx context.Context, method, path string, body []byte, op string) ([]byte, int, error) {
	req, err := http.NewRequestWithContext(ctx, method, (&url.URL{Scheme: "https", Host: c.host, Path: path}).String(), bytes.NewReader(body))
	if err != nil {
		return nil, 0, &bmc.Error{Class: bmc.Unreachable, Op: op, Err: errors.New("no host name")}
	}
	if body != nil {
		req.Header.Set("Content-Type", "text/xml")
	}
	unreachable := func(err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		dial, ok := errors.AsType[*net.OpError](err)
		return &bmc.Error{Class: bmc.Unreachable, Op: op, Err: err, Final: method == http.MethodPost && (!ok || dial.Op != "dial")}
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, 0, unreachable(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, 0, unreachable(err)
	case len(data) > maxBody:
		return nil, 0, &bmc.Error{Class: bmc.Protocol, Op: op, Text: "an answer of more than 4 MiB"}
	}
	return data, res.StatusCode, nil
}

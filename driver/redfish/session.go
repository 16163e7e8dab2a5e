package redfish

import (
	"context"
	"net/http"
	"time"

	"github.com/ferrule/ferrule/driver/bmc"
)

// A session is one that the BMC gave us (DSP0266, 13.3.4).
type session struct {
	token       string
	path        string // to end it
	credentials string // whose it is
}

const (
	rootPath     = "/redfish/v1/"
	sessionsPath = "/redfish/v1/SessionService/Sessions" // where the root says nothing else
	loginTime    = 60 * time.Second
)

// token returns the token of a session for a, and "" where requests are to carry
// user name and password. stale is a token that the BMC did not take.
func (c *conn) token(ctx context.Context, a Access, stale string) (string, error) {
	if a.Auth == "basic" || a.Username == "" {
		return "", nil
	}
	select {
	case c.login <- struct{}{}:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	c.mu.Lock()
	s, basic := c.session, c.basic
	c.mu.Unlock()
	if basic && a.Auth != "session" {
		<-c.login
		return "", nil
	}
	if s != nil && s.credentials == a.credentials() && s.token != stale {
		<-c.login
		return s.token, nil
	}
	if err := c.bmcs.begin(); err != nil {
		<-c.login
		return "", err
	}
	// Whatever becomes of ctx: a session that was asked for is there, and has to
	// be known to be ended.
	type result struct {
		token    string
		err      error
		panicked any
	}
	made := make(chan result, 1)
	detached := context.WithoutCancel(ctx)
	go func() {
		defer c.bmcs.working.Done()
		defer func() { <-c.login }()
		defer func() {
			if p := recover(); p != nil { // in a hook of ctx; it is the caller's
				made <- result{panicked: p}
			}
		}()
		detached, cancel := context.WithTimeout(detached, loginTime)
		defer cancel()
		if s != nil && s.token != stale {
			_ = c.end(detached, s) // another user's; what the BMC says to it does not matter
		}
		token, err := c.makeSession(detached, a)
		made <- result{token: token, err: err}
	}()
	select {
	case r := <-made:
		if r.panicked != nil {
			panic(r.panicked)
		}
		return r.token, r.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// makeSession logs in, with c.login held.
func (c *conn) makeSession(ctx context.Context, a Access) (string, error) {
	c.setSession(nil)
	path := sessionsPath
	var root struct {
		Systems link
		Links   struct{ Sessions link }
	}
	if r, err := c.send(ctx, a, request{method: http.MethodGet, path: rootPath}); err == nil && decode(r, &root) == nil {
		switch {
		case root.Links.Sessions.ID == "" && root.Systems.ID != "" && a.Auth != "session": // and not one that starts still
			// A service that has none may answer 401 to who asks for one, as it does
			// to everybody without a password: sushy-tools' emulator.
			c.setBasic()
			return "", nil
		case root.Links.Sessions.ID != "":
			if path, err = localPath(root.Links.Sessions.ID); err != nil {
				return "", err
			}
		}
	}
	r, err := c.send(ctx, a, request{method: http.MethodPost, path: path, body: map[string]string{"UserName": a.Username, "Password": string(a.Password)}})
	if bmc.ClassOf(err) == bmc.Unsupported && a.Auth != "session" {
		c.setBasic()
		return "", nil
	}
	if err != nil {
		return "", err
	}
	s := &session{token: r.header.Get("X-Auth-Token"), path: r.header.Get("Location"), credentials: a.credentials()}
	var body link
	if decode(r, &body) == nil && body.ID != "" && localPathOrEmpty(s.path) == "" {
		s.path = body.ID // some give the whole URL as location, by an address of their own
	}
	if s.path = localPathOrEmpty(s.path); s.token == "" {
		return "", &bmc.Error{Class: bmc.Protocol, Op: "POST " + path, Text: "a session without a token"}
	}
	c.setSession(s)
	return s.token, nil
}

// setBasic keeps in mind that the BMC has no sessions.
func (c *conn) setBasic() {
	c.mu.Lock()
	c.basic = true
	c.mu.Unlock()
}

func localPathOrEmpty(path string) string {
	if path, err := localPath(pathOf(path)); err == nil {
		return path
	}
	return ""
}

func (c *conn) setSession(s *session) {
	c.mu.Lock()
	c.session = s
	if s != nil && c.users == 0 { // whoever asked for it is gone
		c.expire()
	}
	c.mu.Unlock()
}

// logout ends the session, if there is one.
func (c *conn) logout(ctx context.Context) error {
	select {
	case c.login <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-c.login }()
	c.mu.Lock()
	s := c.session
	c.session = nil
	c.mu.Unlock()
	return c.end(ctx, s)
}

func (c *conn) end(ctx context.Context, s *session) error {
	if s == nil || s.path == "" {
		return nil
	}
	_, err := c.send(ctx, Access{}, request{method: http.MethodDelete, path: s.path, token: s.token})
	return err
}

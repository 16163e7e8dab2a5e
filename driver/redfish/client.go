package redfish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/ferrule/ferrule/driver/bmc"
)

// A Client makes requests to one BMC with one user's name and password. Use
// [BMCs.Client]. It may be used by many at once.
type Client struct {
	conn   *conn
	access Access
}

// A link is a reference to a resource.
type link struct {
	ID string `json:"@odata.id"`
}

// A request is one that has not been sent.
type request struct {
	method, path string
	body         any    // nil for none
	etag         string // for If-Match
	token        string // of the session; empty for user name and password, if there are any
	secret       string // in the body, that no error repeats
}

func (r request) op() string { return r.method + " " + bmc.Clean(r.path) }

// A response is an answer of success.
type response struct {
	status int
	header http.Header
	body   []byte
	op     string
}

// maxBody is more than any resource here has.
const maxBody = 4 << 20

// Get reads the resource at path into v, and returns its ETag, "" for none.
func (c *Client) Get(ctx context.Context, path string, v any) (etag string, err error) {
	r, err := c.do(ctx, request{method: http.MethodGet, path: path})
	if err != nil {
		return "", err
	}
	if err := decode(r, v); err != nil {
		return "", err
	}
	if etag = r.header.Get("ETag"); etag == "" {
		var tagged struct {
			ETag string `json:"@odata.etag"`
		}
		_ = json.Unmarshal(r.body, &tagged)
		etag = tagged.ETag
	}
	return etag, nil
}

// Patch changes the resource at path. With an etag it does so only while the
// resource has that.
func (c *Client) Patch(ctx context.Context, path string, body any, etag string) error {
	_, err := c.do(ctx, request{method: http.MethodPatch, path: path, body: body, etag: etag})
	return err
}

// Post calls an action.
func (c *Client) Post(ctx context.Context, path string, body any) error {
	_, err := c.do(ctx, request{method: http.MethodPost, path: path, body: body})
	return err
}

// do sends a request in a session, by the budgets of its failures.
func (c *Client) do(ctx context.Context, r request) (*response, error) {
	if _, err := localPath(r.path); err != nil {
		return nil, err
	}
	done, err := c.conn.use()
	if err != nil {
		return nil, err
	}
	defer done()
	var answer *response
	err = c.conn.bmcs.Budgets.Retry(ctx, func(ctx context.Context) error {
		answer, err = c.once(ctx, r)
		return err
	})
	return answer, err
}

// once sends a request, and once more where its session had ended.
func (c *Client) once(ctx context.Context, r request) (*response, error) {
	token, err := c.conn.token(ctx, c.access, "")
	if err != nil {
		return nil, err
	}
	r.token = token
	answer, err := c.conn.send(ctx, c.access, r)
	if token == "" || bmc.ClassOf(err) != bmc.Authentication {
		return answer, err
	}
	if r.token, err = c.conn.token(ctx, c.access, token); err != nil {
		return nil, err
	}
	return c.conn.send(ctx, c.access, r)
}

// send makes one HTTP request, and another one where the BMC says that the resource
// has another path: an iLO 5 before 1.40 wants a slash at its end, sushy-tools'
// emulator a UUID for the name of a system.
func (c *conn) send(ctx context.Context, a Access, r request) (*response, error) {
	answer, err := c.sendTo(ctx, a, r)
	moved, ok := errors.AsType[*movedError](err)
	if !ok {
		return answer, err
	}
	r.path = moved.path
	answer, err = c.sendTo(ctx, a, r)
	if moved, ok := errors.AsType[*movedError](err); ok {
		err = &bmc.Error{Class: bmc.Protocol, Op: r.op(), Status: moved.status, Text: "it is at yet another path"}
	}
	return answer, err
}

// A movedError says that a resource has another path on the same BMC.
type movedError struct {
	status int
	path   string
}

func (e *movedError) Error() string { return "moved to " + e.path }

// moved returns the error for an answer that gives another path, nil for what is
// none. The host that it names is not looked at: it may be the BMC by another name,
// and nothing is sent to any other than the BMC.
func moved(r request, res *http.Response) error {
	switch res.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		if path := localPathOrEmpty(res.Header.Get("Location")); path != "" && path != r.path {
			return &movedError{res.StatusCode, path}
		}
	}
	return nil
}

// sendTo makes one HTTP request.
func (c *conn) sendTo(ctx context.Context, a Access, r request) (*response, error) {
	var body io.Reader
	if r.body != nil {
		data, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	target, err := c.base.Parse(r.path)
	if err != nil {
		return nil, &bmc.Error{Class: bmc.Protocol, Op: r.op(), Err: errors.New("no path")}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target.String(), body)
	if err != nil {
		return nil, &bmc.Error{Class: bmc.Protocol, Op: r.op(), Err: errors.New("no path")}
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("OData-Version", "4.0")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.etag != "" {
		req.Header.Set("If-Match", r.etag)
	}
	credentials := a.credentials()
	switch {
	case r.token != "":
		req.Header.Set("X-Auth-Token", r.token)
		credentials = r.token // a session that ended is not a wrong password
	case r.path == rootPath, r.method == http.MethodPost && r.body != nil && strings.HasSuffix(strings.TrimSuffix(r.path, "/"), "/Sessions"):
	case a.Username != "":
		req.SetBasicAuth(a.Username, string(a.Password))
	}
	var answer *response
	err = c.owner.Do(ctx, credentials, func(ctx context.Context) error {
		answer, err = c.roundTrip(req, a, r)
		return err
	})
	return answer, err
}

func (c *conn) roundTrip(req *http.Request, a Access, r request) (*response, error) {
	res, err := c.http.Do(req)
	if err != nil {
		return nil, unreachable(req.Context(), r, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	movedTo := moved(r, res)
	switch {
	case err != nil:
		return nil, unreachable(req.Context(), r, err)
	case len(data) > maxBody:
		return nil, &bmc.Error{Class: bmc.Protocol, Op: r.op(), Status: res.StatusCode, Text: "an answer of more than 4 MiB"}
	case movedTo != nil:
		return nil, movedTo
	case res.StatusCode >= 300:
		return nil, refusal(r, res.StatusCode, data, string(a.Password), r.token, r.secret)
	}
	return &response{res.StatusCode, res.Header, data, r.op()}, nil
}

// unreachable returns the error of a request without an answer.
func unreachable(ctx context.Context, r request, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the URL, which stands in r
	}
	dial, ok := errors.AsType[*net.OpError](err)
	begun := !ok || dial.Op != "dial"
	return &bmc.Error{Class: bmc.Unreachable, Op: r.op(), Err: err, Final: begun && r.method == http.MethodPost}
}

func decode(r *response, v any) error {
	if err := json.Unmarshal(r.body, v); err != nil {
		return &bmc.Error{Class: bmc.Protocol, Op: r.op, Status: r.status, Text: fmt.Sprintf("no JSON of the expected kind: %s", kind(err))}
	}
	return nil
}

// kind says what of a JSON text is wrong, without any of it.
func kind(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return bmc.Clean(e.Field) + " is of another type"
	}
	return "it is no JSON"
}

// pathOf is the path of a URL that a header gives.
func pathOf(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return ""
	}
	return u.EscapedPath()
}

package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ferrule/ferrule/task"
)

// A Client calls the command APIs of ramdisks (ironic-python-agent API, v1).
// The zero value is usable, from many goroutines.
//
// Reads are tried three times when the ramdisk does not answer. An answer is
// read up to 100 MiB: a list of commands echoes their arguments. A refusal is
// an [*APIError]; no answer Is [ErrUnreachable]; an ended ctx is its cause. No
// error holds the session's token.
type Client struct {
	// HTTP makes the requests; its CheckRedirect is not used, and of its
	// Transport a copy without kept connections. Nil means direct connections
	// without a proxy.
	HTTP *http.Client

	// Timeout bounds each request. 0 means 60 s.
	Timeout time.Duration

	// RetryDelay is the time before the second attempt; it doubles before the
	// third. 0 means 1 s.
	RetryDelay time.Duration
}

const (
	attempts  = 3
	maxAnswer = 100 << 20
	maxFault  = 64 << 10
)

// A Status is what a ramdisk says of itself.
type Status struct {
	StartedAt string // when its agent started, as it wrote that: another value is another boot
	Version   string
}

// Status asks how long the ramdisk's agent has been running. It needs no token.
func (c *Client) Status(ctx context.Context, s Session) (Status, error) {
	var v struct {
		StartedAt json.Number `json:"started_at"`
		Version   string      `json:"version"`
	}
	err := c.read(ctx, s, request{what: "ramdisk status", method: http.MethodGet, path: "status"}, func(r io.Reader) error {
		return decodeOne(r, &v)
	})
	if err == nil && len(v.StartedAt) > maxID {
		return Status{}, &callError{what: "ramdisk status", text: "started_at is too long", is: errAnswer}
	}
	return Status{StartedAt: v.StartedAt.String(), Version: excerpt(s.scrub(v.Version))}, err
}

// Commands lists the commands that the ramdisk has run, the oldest first.
func (c *Client) Commands(ctx context.Context, s Session) (all []Result, err error) {
	err = c.read(ctx, s, listRequest, func(r io.Reader) error {
		all, err = decodeCommands(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.scrubAll(all), nil
}

var listRequest = request{what: "ramdisk commands", method: http.MethodGet, path: "commands/"}

// Command asks for one command by its id. One that the ramdisk does not know is
// an [*APIError] with status 404.
func (c *Client) Command(ctx context.Context, s Session, id string) (*Result, error) {
	var res Result
	q := request{what: "ramdisk command", method: http.MethodGet, path: "commands/" + url.PathEscape(id), wait: "false"}
	err := c.read(ctx, s, q, decodeResult(&res))
	if err != nil {
		return nil, err
	}
	return s.scrubResult(&res), nil
}

// A Call is a command for a ramdisk.
type Call struct {
	Name   string         // "extension.command"
	Params map[string]any // JSON values
	Wait   bool           // answer when it is complete; within the client's Timeout
}

// Execute sends a command and returns the ramdisk's answer, which is [Running]
// for one that goes on by itself. The command may have failed already: look at
// the result's Status.
//
// Where the answer got lost, Execute looks at the ramdisk's list before it tries
// again, and takes a command of that name which runs for its own.
func (c *Client) Execute(ctx context.Context, s Session, call Call) (*Result, error) {
	if call.Params == nil {
		call.Params = map[string]any{}
	}
	body, err := json.Marshal(map[string]any{"name": call.Name, "params": call.Params})
	if err != nil {
		return nil, fmt.Errorf("ramdisk command %s: parameters: %w", call.Name, err)
	}
	var res Result
	q := request{what: "ramdisk command " + call.Name, method: http.MethodPost, path: "commands/", wait: strconv.FormatBool(call.Wait), body: body}
	sent := false
	for n := range attempts {
		if n > 0 {
			if err := pause(ctx, c.delay(n)); err != nil {
				return nil, &callError{what: q.what, is: err}
			}
		}
		if sent {
			running, listErr := c.running(ctx, s, call.Name)
			if running != nil {
				return running, nil
			}
			if listErr != nil {
				err = listErr
				if !errors.Is(err, ErrUnreachable) {
					break
				}
				continue
			}
		}
		var got bool
		got, err = c.once(ctx, s, q, decodeResult(&res))
		sent = sent || got
		if err == nil {
			return s.scrubResult(&res), nil
		}
		if !errors.Is(err, ErrUnreachable) {
			break
		}
	}
	return nil, err
}

// running returns the newest command if it has that name and runs.
func (c *Client) running(ctx context.Context, s Session, name string) (*Result, error) {
	var all []Result
	_, err := c.once(ctx, s, listRequest, func(r io.Reader) (err error) {
		all, err = decodeCommands(r)
		return err
	})
	if err != nil || len(all) == 0 {
		return nil, err
	}
	last := &all[len(all)-1]
	_, short, _ := strings.Cut(name, ".")
	if last.Status == Running && (last.Name == short || last.Name == name) {
		return s.scrubResult(last), nil
	}
	return nil, nil
}

// A request is one call of the API below /v1/.
type request struct {
	what   string // for errors
	method string
	path   string
	wait   string
	body   []byte
}

// read makes a request that may be repeated.
func (c *Client) read(ctx context.Context, s Session, q request, decode func(io.Reader) error) (err error) {
	for n := range attempts {
		if n > 0 {
			if err := pause(ctx, c.delay(n)); err != nil {
				return &callError{what: q.what, is: err}
			}
		}
		if _, err = c.once(ctx, s, q, decode); err == nil || !errors.Is(err, ErrUnreachable) {
			return err
		}
	}
	return err
}

func (c *Client) delay(n int) time.Duration {
	d := c.RetryDelay
	if d == 0 {
		d = time.Second
	}
	return d << (n - 1)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// once makes a request. sent says that the ramdisk may have received it.
func (c *Client) once(ctx context.Context, s Session, q request, decode func(io.Reader) error) (sent bool, err error) {
	h, err := c.httpClient(s)
	if err != nil {
		return false, fmt.Errorf("%s: %w", q.what, err)
	}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = time.Minute
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	limited = httptrace.WithClientTrace(limited, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent = true }})
	r, err := s.request(limited, q)
	if err != nil {
		return false, err
	}
	if _, ok := h.Transport.(*http.Transport); !ok {
		sent = true // nobody tells
	}
	resp, err := h.Do(r)
	if err != nil {
		return sent, lost(ctx, q.what, err, s)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusBadRequest {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxFault)) // the status says enough
		return true, fmt.Errorf("%s: %w", q.what, apiError(resp.StatusCode, []byte(s.scrub(string(body)))))
	}
	body := &answer{r: resp.Body, left: maxAnswer}
	if err := decode(body); err != nil {
		if body.err != nil {
			return true, lost(ctx, q.what, body.err, s)
		}
		return true, &callError{what: q.what, text: excerpt(s.scrub(err.Error())), is: errAnswer}
	}
	return true, nil
}

var (
	errAnswer  = errors.New("the ramdisk's answer cannot be read")
	errTooLong = errors.New("longer than 100 MiB")
)

// request builds q for s. The token goes into the query, where agents look.
func (s Session) request(ctx context.Context, q request) (*http.Request, error) {
	u, err := url.Parse(s.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("%s: %w: the ramdisk's URL is no http or https URL", q.what, task.ErrInvalidParameter)
	}
	u, err = url.Parse(strings.TrimRight(s.URL, "/") + "/v1/" + q.path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: the ramdisk's URL", q.what, task.ErrInvalidParameter)
	}
	query := url.Values{}
	if q.wait != "" {
		query.Set("wait", q.wait)
	}
	if s.Token != "" {
		query.Set("agent_token", string(s.Token))
	}
	u.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, q.method, u.String(), bytes.NewReader(q.body))
	if err != nil {
		return nil, &callError{what: q.what, text: s.scrub(err.Error()), is: task.ErrInvalidParameter}
	}
	r.Header.Set("Accept", "application/json")
	if q.body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return r, nil
}

// An answer is a body of bounded length that remembers how reading it failed.
type answer struct {
	r    io.Reader
	left int64
	err  error // of the connection
}

func (a *answer) Read(p []byte) (int, error) {
	if a.left <= 0 {
		return 0, errTooLong
	}
	if int64(len(p)) > a.left {
		p = p[:a.left]
	}
	n, err := a.r.Read(p)
	a.left -= int64(n)
	if err != nil && err != io.EOF {
		a.err = err
	}
	return n, err
}

func decodeResult(res *Result) func(io.Reader) error {
	return func(r io.Reader) error {
		*res = Result{}
		if err := decodeOne(r, res); err != nil {
			return err
		}
		return res.check()
	}
}

func decodeOne(r io.Reader, v any) error { return json.NewDecoder(r).Decode(v) }

func (s Session) scrubAll(all []Result) []Result {
	for i := range all {
		s.scrubResult(&all[i])
	}
	return all
}

// scrubResult takes the token out of what errors will show.
func (s Session) scrubResult(r *Result) *Result {
	r.Name = s.scrub(excerpt(r.Name))
	r.Status = CommandStatus(s.scrub(excerpt(string(r.Status))))
	if r.Error != nil {
		r.Error.Type, r.Error.Message, r.Error.Details = s.scrub(r.Error.Type), s.scrub(r.Error.Message), s.scrub(r.Error.Details)
	}
	return r
}

package ramdisk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Minor numbers of the API's versions 1.N, of the Ironic API reference.
const (
	assumedVersion       = 31 // what ironic-python-agent assumes of a server that does not tell
	agentVersionVersion  = 36 // heartbeats tell agent_version
	tokenVersion         = 62
	maxLookupVersion     = 62
	maxHeartbeatVersion  = 68
	maxAnswer            = 8 << 20
	versionHeader        = "X-OpenStack-Ironic-API-Version"
	globalRequestIDField = "X-OpenStack-Request-ID"
)

// An api is the conductor's side as the agent sees it. It is used from one
// goroutine.
type api struct {
	urls      []string // the one in use is the first
	client    *http.Client
	timeout   time.Duration
	requestID string
	version   int    // minor number; 0 until the server told
	local     string // the address that the server was reached from
}

// A statusError is an answer that is not the one hoped for.
type statusError struct {
	code int
	text string // the faultstring, or ""
}

func (e *statusError) Error() string {
	return strings.TrimSuffix(fmt.Sprintf("the API answered %d: %s", e.code, e.text), ": ")
}

// discover asks the server for its version once. A server that answers and does
// not tell is asked again next time; one that cannot be reached is an error, for
// to assume an old version of it would mean to go without a token.
func (a *api) discover(ctx context.Context) (int, error) {
	if a.version != 0 {
		return a.version, nil
	}
	body, err := a.do(ctx, http.MethodGet, "/", 0, nil, http.StatusOK)
	var status *statusError
	if errors.As(err, &status) && status.code < http.StatusInternalServerError {
		return assumedVersion, nil
	}
	if err != nil {
		return 0, err
	}
	var root struct {
		Default struct {
			Version string `json:"version"`
		} `json:"default_version"`
	}
	if json.Unmarshal(body, &root) != nil {
		return assumedVersion, nil
	}
	minor, ok := strings.CutPrefix(root.Default.Version, "1.")
	n, err := strconv.ParseUint(minor, 10, 16)
	if !ok || err != nil || n == 0 {
		return assumedVersion, nil
	}
	a.version = int(n)
	return a.version, nil
}

// lookup asks which node has one of these addresses.
func (a *api) lookup(ctx context.Context, addresses []string) (*node, error) {
	version, err := a.discover(ctx)
	if err != nil {
		return nil, err
	}
	query := url.Values{"addresses": {strings.Join(addresses, ",")}}
	body, err := a.do(ctx, http.MethodGet, "/v1/lookup?"+query.Encode(), min(version, maxLookupVersion), nil, http.StatusOK)
	if err != nil {
		return nil, err
	}
	n, err := decodeLookup(body)
	if err != nil {
		return nil, &statusError{http.StatusOK, err.Error()}
	}
	return n, nil
}

type heartbeat struct {
	CallbackURL string `json:"callback_url"`
	Version     string `json:"agent_version,omitempty"`
	Token       string `json:"agent_token,omitempty"`
}

func (a *api) heartbeat(ctx context.Context, uuid string, h heartbeat) error {
	version, err := a.discover(ctx)
	if err != nil {
		return err
	}
	if version < agentVersionVersion {
		h.Version = ""
	}
	if version < tokenVersion {
		h.Token = ""
	}
	_, err = a.do(ctx, http.MethodPost, "/v1/heartbeat/"+url.PathEscape(uuid), min(version, maxHeartbeatVersion), h, http.StatusAccepted)
	return err
}

// do makes one request to the first server that can be reached; version 0
// sends no version. An answer with another status than want is a statusError.
func (a *api) do(ctx context.Context, method, path string, version int, body any, want int) ([]byte, error) {
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	var errs []error
	for i := range a.urls {
		answer, err := a.doOne(ctx, method, a.urls[i]+path, version, content, want)
		var status *statusError
		if err == nil || errors.As(err, &status) {
			a.urls[0], a.urls[i] = a.urls[i], a.urls[0]
			return answer, err
		}
		errs = append(errs, err)
	}
	a.version = 0 // whoever answers next may be of another version
	return nil, errors.Join(errs...)
}

func (a *api) doOne(ctx context.Context, method, target string, version int, content []byte, want int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
		if host, _, err := net.SplitHostPort(c.Conn.LocalAddr().String()); err == nil {
			a.local = host
		}
	}})
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json")
	if version != 0 {
		req.Header.Set(versionHeader, "1."+strconv.Itoa(version))
	}
	if a.requestID != "" {
		req.Header.Set(globalRequestIDField, a.requestID)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode != want:
		return nil, &statusError{resp.StatusCode, faultString(answer)}
	case len(answer) > maxAnswer:
		return nil, &statusError{resp.StatusCode, fmt.Sprintf("more than %d bytes", maxAnswer)}
	}
	return answer, nil
}

// faultString finds the reason in an error of the API: in faultstring, or in
// error_message, which is an object or an object in a string.
func faultString(answer []byte) string {
	for range 3 {
		var fault struct {
			Text    string          `json:"faultstring"`
			Message json.RawMessage `json:"error_message"`
		}
		if json.Unmarshal(answer, &fault) != nil {
			return ""
		}
		if fault.Text != "" {
			return strconv.Quote(fault.Text[:min(len(fault.Text), 300)])
		}
		answer = fault.Message
		var inner string
		if json.Unmarshal(answer, &inner) == nil {
			answer = []byte(inner)
		}
	}
	return ""
}

package inspector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// A client calls an ironic-inspector service, version 1.0 of its API.
type client struct{ cfg ServiceConfig }

// A status is what the service says of an inspection.
type status struct {
	Finished bool   `json:"finished"`
	Error    string `json:"error"`
}

// errNotFound is a node that the service does not know.
var errNotFound = errors.New("the service does not know the node")

func (c client) start(ctx context.Context, uuid string, managed bool) error {
	path := uuid
	if managed {
		path += "?manage_boot=0"
	}
	return c.call(ctx, http.MethodPost, path, nil)
}

func (c client) abort(ctx context.Context, uuid string) error {
	err := c.call(ctx, http.MethodPost, uuid+"/abort", nil)
	if errors.Is(err, errNotFound) {
		return nil
	}
	return err
}

func (c client) status(ctx context.Context, uuid string) (status, error) {
	var s status
	return s, c.call(ctx, http.MethodGet, uuid, func(body io.Reader) error { return json.NewDecoder(body).Decode(&s) })
}

func (c client) data(ctx context.Context, uuid string) (f *Found, err error) {
	err = c.call(ctx, http.MethodGet, uuid+"/data", func(body io.Reader) (err error) { f, err = ParseFound(body); return err })
	return f, err
}

func (c client) call(ctx context.Context, method, path string, read func(io.Reader) error) error {
	r, err := http.NewRequestWithContext(ctx, method, c.cfg.URL+"/v1/introspection/"+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("X-OpenStack-Ironic-Inspector-API-Version", "1.0")
	if c.cfg.Authorize != nil {
		if err := c.cfg.Authorize(ctx, r); err != nil {
			return err
		}
	}
	answer, err := c.cfg.HTTPClient.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return fmt.Errorf("inspector service: %w", err)
	}
	defer answer.Body.Close()
	body := io.LimitReader(answer.Body, maxInventory)
	switch {
	case answer.StatusCode == http.StatusNotFound:
		return errNotFound
	case answer.StatusCode < 200 || answer.StatusCode > 299:
		return fmt.Errorf("inspector service: %s to %s%s", answer.Status, method, reason(body))
	case read == nil:
		_, err := io.Copy(io.Discard, body)
		return err
	}
	if err := read(body); err != nil {
		return fmt.Errorf("inspector service: %w", err)
	}
	return nil
}

// reason is what the service says of a refusal.
func reason(body io.Reader) string {
	var said struct {
		Error struct{ Message string }
	}
	if json.NewDecoder(body).Decode(&said) != nil || said.Error.Message == "" {
		return ""
	}
	return ": " + said.Error.Message[:min(len(said.Error.Message), 300)]
}

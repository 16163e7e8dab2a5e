package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
)

func (c *Client) fetchHTTP(ctx context.Context, u *url.URL) ([]byte, error) {
	client := c.HTTP
	if client == nil {
		client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		// A url.Error has the whole URL in its text.
		if e := (*url.Error)(nil); errors.As(err, &e) {
			err = e.Err
		}
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, StatusError(resp.StatusCode)
	}
	if resp.ContentLength > c.maxBytes() {
		return nil, c.tooLarge()
	}
	// Hundreds of machines may fetch at once: no room for a copy.
	data := bytes.NewBuffer(make([]byte, 0, max(resp.ContentLength, 0)+bytes.MinRead))
	switch n, err := data.ReadFrom(io.LimitReader(resp.Body, c.maxBytes()+1)); {
	case err != nil:
		return nil, err
	case n > c.maxBytes():
		return nil, c.tooLarge()
	}
	return data.Bytes(), nil
}

// Package fetch downloads over the network as the firmware of a machine does:
// whole files into memory, by HTTP or TFTP.
//
//	client := fetch.Client{MaxBytes: 64 << 20}
//	data, err := client.Fetch(ctx, "tftp://192.0.2.1/boot/grubx64.efi")
//
// The zero [Client] is ready, and the function [Fetch] uses one.
//
// # HTTP
//
// A GET whose answer is 200, after redirects; anything else is a
// [StatusError]. No proxy, no cookies, no credentials but those in the URL.
//
// # TFTP
//
// A read request in octet mode (RFC 1350) that offers the options blksize,
// tsize and timeout (RFC 2347 to 2349) and asks again without when the server
// refuses them. The file name is the URL's path without its first slash. Block
// numbers roll over to zero, so any size goes. Lost packets are asked for again,
// a bounded number of times; packets of strangers are answered with error 5 and
// ignored. A file that is shorter than announced is an error.
//
// # Errors and concurrency
//
// Errors name the URL without user and query, and what the server said. A file
// that the server does not have Is fs.ErrNotExist, one that it refuses Is
// fs.ErrPermission, a server that falls silent Is [ErrTimeout], and a file beyond
// the limit Is [ErrTooLarge]. When ctx is done a download ends at once with its
// error; no goroutine or socket is left. A Client is safe for concurrent use.
//
// The tests have a small TFTP server whose faults can be switched on.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"time"
)

// ErrTooLarge is a file of more than MaxBytes.
var ErrTooLarge = errors.New("file too large")

// ErrTimeout is a TFTP server that no longer answers.
var ErrTimeout error = timeoutError{}

type timeoutError struct{}

func (timeoutError) Error() string   { return "no answer" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

// A Client downloads files.
type Client struct {
	// HTTP does the requests. Nil is a client of its own for each download
	// that keeps no connection and uses no proxy.
	HTTP *http.Client

	// MaxBytes bounds a file; zero is 1 GiB.
	MaxBytes int64

	// BlockSize is the TFTP block size to ask for, 8 to 65464 bytes (RFC 2348);
	// zero is 1432, which fits an Ethernet frame. A value out of range asks for
	// nothing, which means 512.
	BlockSize int

	// Timeout is how long a TFTP packet may take before it is asked for again;
	// zero is one second. The server is told so if it is a whole number of
	// seconds up to 255 (RFC 2349).
	Timeout time.Duration

	// Retries is how many times a TFTP packet is asked for again; zero is five,
	// a negative number is never.
	Retries int
}

// Fetch downloads rawURL with the zero Client.
func Fetch(ctx context.Context, rawURL string) ([]byte, error) {
	var c Client
	return c.Fetch(ctx, rawURL)
}

// Fetch downloads an http, https or tftp URL.
func (c *Client) Fetch(ctx context.Context, rawURL string) ([]byte, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The error of url.Parse repeats a URL that may hold a password.
		return nil, fmt.Errorf("fetch: %w", errors.Unwrap(err))
	}
	var data []byte
	switch {
	case u.Hostname() == "":
		err = errors.New("URL has no host")
	case u.Scheme == "http", u.Scheme == "https":
		data, err = c.fetchHTTP(ctx, u)
	case u.Scheme == "tftp":
		data, err = c.fetchTFTP(ctx, u)
	default:
		err = fmt.Errorf("scheme %q is none of http, https and tftp", u.Scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", redact(u), err)
	}
	return data, nil
}

func (c *Client) maxBytes() int64 {
	if c.MaxBytes == 0 {
		return 1 << 30
	}
	return c.MaxBytes
}

func (c *Client) tooLarge() error {
	return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, c.maxBytes())
}

// redact returns a URL without what may be secret.
func redact(u *url.URL) string {
	public := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return public.String()
}

// A StatusError is an HTTP answer other than 200.
type StatusError int

// Error returns "status 404 Not Found".
func (e StatusError) Error() string {
	return fmt.Sprintf("status %d %s", int(e), http.StatusText(int(e)))
}

// Is makes 404 and 410 fs.ErrNotExist, 401 and 403 fs.ErrPermission.
func (e StatusError) Is(target error) bool {
	switch int(e) {
	case http.StatusNotFound, http.StatusGone:
		return target == fs.ErrNotExist
	case http.StatusUnauthorized, http.StatusForbidden:
		return target == fs.ErrPermission
	}
	return false
}

package imagecache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ferrule/ferrule/internal/filelock"
)

type request struct {
	Request
	sum string
}

// What a URL's folder holds.
const (
	knownFile = "known" // what the URL had when it was last asked
	partFile  = "part"  // the download that is under way, or was when a process ended
)

// known is what a server said of the content of a URL.
type known struct {
	SHA256   string `json:"sha256"`
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"last_modified,omitempty"`
}

// fetch returns the image at u. Requests for one URL take turns, so that the
// second one finds what the first one has downloaded, or why it could not.
func (c *Cache) fetch(ctx context.Context, u *url.URL, r request) (image *Image, err error) {
	key := sha256.Sum256([]byte(r.URL))
	dir := c.path(downloads, hex.EncodeToString(key[:16]))
	a, before := c.ask(r)
	defer c.answer(r, a)
	unlock, err := filelock.Folder(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := c.failedSince(a, before); err != nil {
		return nil, err
	}
	if r.sum != "" {
		if image := c.open(r.sum); image != nil { // another URL may have brought it meanwhile
			return image, nil
		}
	}
	image, err = c.bring(ctx, u, r, dir)
	if err != nil {
		if ctx.Err() == nil {
			c.fail(a, err)
		}
		return nil, err
	}
	image.known = filepath.Join(dir, knownFile)
	return image, nil
}

// bring returns the image at u, whose folder is locked.
func (c *Cache) bring(ctx context.Context, u *url.URL, r request, dir string) (*Image, error) {
	now := time.Now()
	_ = os.Chtimes(dir, now, now) // when the URL was last asked for
	d := &download{cache: c, url: u, request: r, dir: dir, hash: sha256.New()}
	if data, err := os.ReadFile(filepath.Join(dir, knownFile)); err == nil {
		_ = json.Unmarshal(data, &d.known) // nothing is known, if it was written half
	}
	image := c.open(d.known.SHA256)
	if image != nil && r.sum != "" && r.sum != d.known.SHA256 {
		image.Close()
		image = nil
	}
	if image == nil {
		d.known = known{}
	}
	err := d.run(ctx)
	switch {
	case errors.Is(err, errUnchanged):
		return image, nil
	case image != nil:
		image.Close()
	}
	if err != nil {
		return nil, err
	}
	return d.keep(ctx)
}

var errUnchanged = errors.New("unchanged")

// A download is the fetching of one URL, over several connections if need be.
type download struct {
	cache *Cache
	url   *url.URL
	request
	dir   string
	known known // of what is in the cache

	part  *os.File
	hash  hash.Hash
	fresh known // of what comes
	done  int64
	total int64 // 0 where the server did not say
}

// run downloads into the part file, or returns errUnchanged.
func (d *download) run(ctx context.Context) (err error) {
	d.part, err = os.OpenFile(filepath.Join(d.dir, partFile), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, d.part.Close())
		if err != nil {
			os.Remove(d.part.Name())
		}
	}()
	retries := max(d.cache.cfg.Retries, 0)
	for attempt := 0; ; attempt++ {
		before := d.done
		err := d.attempt(ctx)
		var final *finalError
		if d.done > before {
			attempt = 0 // it gets on
		}
		if err == nil || errors.Is(err, errUnchanged) || errors.As(err, &final) || ctx.Err() != nil || attempt >= retries {
			return err
		}
		d.cache.cfg.Logger.Warn("download broke", "url", shown(d.url), "bytes", d.done, "error", err)
		timer := time.NewTimer(time.Second << min(attempt, 5))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// A finalError is not to be tried again.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

func final(format string, args ...any) error { return &finalError{fmt.Errorf(format, args...)} }

var errStalled = errors.New("no byte came for too long")

func (d *download) attempt(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(d.cache.cfg.Stall, func() { cancel(errStalled) })
	defer stall.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.URL, nil)
	if err != nil {
		return final("no URL that can be asked")
	}
	maps.Copy(req.Header, d.Header)
	req.Header.Set("Accept-Encoding", "identity")
	switch {
	case d.done > 0 && d.fresh.validator() != "":
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.done))
		req.Header.Set("If-Range", d.fresh.validator())
	case d.known.SHA256 != "":
		if d.known.ETag != "" {
			req.Header.Set("If-None-Match", d.known.ETag)
		}
		if d.known.Modified != "" {
			req.Header.Set("If-Modified-Since", d.known.Modified)
		}
	}
	resp, err := d.cache.cfg.HTTP.Do(req)
	if err != nil {
		return plain(ctx, err)
	}
	defer resp.Body.Close()
	if err := d.begin(resp); err != nil {
		return err
	}
	return plain(ctx, d.copy(resp.Body, func() { stall.Reset(d.cache.cfg.Stall) }))
}

// validator returns what may stand in If-Range: weak tags do not vouch for bytes.
func (k known) validator() string {
	if k.ETag != "" && !strings.HasPrefix(k.ETag, "W/") {
		return k.ETag
	}
	return k.Modified
}

// begin checks the head of an answer.
func (d *download) begin(resp *http.Response) error {
	switch code := resp.StatusCode; {
	case code == http.StatusNotModified && d.known.SHA256 != "" && d.done == 0:
		return errUnchanged
	case code == http.StatusPartialContent && d.done > 0:
		if want := fmt.Sprintf("bytes %d-%d/%d", d.done, d.total-1, d.total); resp.Header.Get("Content-Range") != want {
			return final("the server went on with another range than %q", want)
		}
		return nil
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= http.StatusInternalServerError:
		return fmt.Errorf("the server answered %s", resp.Status)
	case code != http.StatusOK:
		return final("the server answered %s", resp.Status)
	}
	if e := resp.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return final("the server answered in encoding %q", e)
	}
	d.fresh = known{ETag: resp.Header.Get("ETag"), Modified: resp.Header.Get("Last-Modified")}
	d.done, d.total = 0, max(resp.ContentLength, 0)
	d.hash.Reset()
	if err := d.part.Truncate(0); err != nil {
		return &finalError{err}
	}
	return d.cache.room(d.total)
}

func (d *download) copy(body io.Reader, alive func()) error {
	buf := make([]byte, 256<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			alive()
			if _, err := d.part.WriteAt(buf[:n], d.done); err != nil {
				return &finalError{err}
			}
			d.hash.Write(buf[:n])
			d.done += int64(n)
			if d.Progress != nil {
				d.Progress(d.done, d.total)
			}
		}
		switch {
		case err == io.EOF && d.total > 0 && d.done != d.total:
			return fmt.Errorf("the connection ended after %d of %d bytes", d.done, d.total)
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// plain drops the URL from an HTTP client's error, and tells what ended ctx.
func plain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// keep moves what was downloaded to where its digest says.
func (d *download) keep(ctx context.Context) (*Image, error) {
	part := filepath.Join(d.dir, partFile)
	d.fresh.SHA256 = hex.EncodeToString(d.hash.Sum(nil))
	if d.sum != "" && d.sum != d.fresh.SHA256 {
		return nil, errors.Join(fmt.Errorf("%w: the content has sha256 %s, not %s", ErrDigest, d.fresh.SHA256, d.sum), os.Remove(part))
	}
	if d.done == 0 {
		return nil, errors.Join(errors.New("the server has an empty file"), os.Remove(part))
	}
	if err := settle(part); err != nil {
		return nil, err
	}
	for range 3 { // a sweep of another process may take it away at once
		image := d.cache.open(d.fresh.SHA256)
		if image == nil {
			if err := os.Rename(part, d.cache.path(contents, d.fresh.SHA256)); err != nil && !missing(err) {
				return nil, err
			}
			continue
		}
		os.Remove(part) // where another URL had the same content
		data, err := json.Marshal(d.fresh)
		if err == nil {
			err = os.WriteFile(filepath.Join(d.dir, knownFile), data, 0o644)
		}
		if err != nil {
			image.Close()
			return nil, err
		}
		d.cache.cfg.Logger.Info("downloaded", "url", shown(d.url), "bytes", image.Size, "sha256", image.SHA256)
		if err := d.cache.sweep(ctx); err != nil {
			d.cache.cfg.Logger.Warn("old images not thrown away", "error", err)
		}
		return image, nil
	}
	return nil, errors.New("the image is thrown away as soon as it comes: there is not enough room for it")
}

// settle makes sure that a file is on the disk before it gets its name: after a
// crash a name must not stand for half of it.
func settle(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o644), f.Sync(), f.Close())
}

package imagecache

import "fmt"

// An asked image is one that somebody wants just now, of whom one downloads it. Its
// fields are guarded by Cache.mu.
type asked struct {
	count    int // who want it
	failures int // to download it
	err      error
}

// name tells what is asked for, and with which credentials.
func (r request) name() string { return fmt.Sprintf("%q %q %q", r.URL, r.sum, r.Header) }

// ask begins a request, and tells how often downloads have failed before it.
func (c *Cache) ask(r request) (a *asked, before int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a = c.asks[r.name()]; a == nil {
		a = &asked{}
		c.asks[r.name()] = a
	}
	a.count++
	return a, a.failures
}

// answer ends a request.
func (c *Cache) answer(r request, a *asked) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.count--; a.count == 0 {
		delete(c.asks, r.name())
	}
}

// fail is of a download that failed by itself: whoever waits for it need not try.
func (c *Cache) fail(a *asked, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a.failures, a.err = a.failures+1, err
}

// failedSince is why a download failed that ended after the request began.
func (c *Cache) failedSince(a *asked, before int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.failures == before {
		return nil
	}
	return a.err
}

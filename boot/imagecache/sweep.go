package imagecache

import (
	"context"
	"os"
	"slices"
	"time"

	"github.com/ferrule/ferrule/internal/filelock"
)

// A kept file is one of content.
type kept struct {
	path string
	size int64
	used time.Time
}

// list returns what there is, the longest unused first.
func (c *Cache) list() ([]kept, error) {
	entries, err := os.ReadDir(c.path(contents))
	if err != nil {
		return nil, err
	}
	var all []kept
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			all = append(all, kept{c.path(contents, e.Name()), info.Size(), info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b kept) int { return a.used.Compare(b.used) })
	return all, nil
}

// sweep throws away what nobody uses and is too old, and then the oldest while
// there is too much.
func (c *Cache) sweep(ctx context.Context) error {
	all, err := c.list()
	if err != nil {
		return err
	}
	var total int64
	for _, k := range all {
		total += k.size
	}
	for _, k := range all {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if time.Since(k.used) < c.cfg.MaxAge && total <= c.cfg.MaxBytes {
			break
		}
		if c.throwAway(k) {
			total -= k.size
		}
	}
	return c.forget(ctx)
}

// room makes room on the disk for so many bytes.
func (c *Cache) room(bytes int64) error {
	all, err := c.list()
	if err != nil {
		return err
	}
	for {
		free, err := freeBytes(c.cfg.Dir)
		if err != nil || free >= bytes {
			return nil // where nobody can tell, writing will
		}
		if len(all) == 0 {
			return final("the image has %d bytes, and there is room for %d below %s", bytes, free, c.cfg.Dir)
		}
		c.throwAway(all[0])
		all = all[1:]
	}
}

// throwAway removes a file that nobody holds.
func (c *Cache) throwAway(k kept) bool {
	f, err := os.Open(k.path)
	if err != nil {
		return missing(err)
	}
	defer f.Close()
	ok, err := filelock.Try(f)
	if err != nil || !ok || !sameFile(f, k.path) || os.Remove(k.path) != nil {
		return false
	}
	c.cfg.Logger.Info("thrown away", "file", k.path, "bytes", k.size, "last asked for", k.used)
	return true
}

// forget removes what is known of URLs that nobody has asked for.
func (c *Cache) forget(ctx context.Context) error {
	entries, err := os.ReadDir(c.path(downloads))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil || time.Since(info.ModTime()) < c.cfg.MaxAge {
			continue
		}
		if err := removeUnused(c.path(downloads, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// removeUnused removes a URL's folder unless somebody downloads into it.
func removeUnused(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return nil // somebody else was faster
	}
	defer f.Close()
	if ok, err := filelock.Try(f); err != nil || !ok {
		return nil
	}
	return os.RemoveAll(dir)
}

package vmedia

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ferrule/ferrule/task"
)

// StageMedia is the stage of evidence that a node's BMC reads an image.
const StageMedia = "virtual media"

// A Content is what a disc has on it.
type Content interface {
	io.ReaderAt
	io.WriterTo
	Size() int64
}

// A Disc is an image that is published for a node.
type Disc struct {
	Owner   string // the node's UUID
	Name    string // the path below the server's URL
	Label   string // what evidence calls it: its name is for those to know who were told
	Content Content
	Holder  io.Closer // keeps Content from going away, and is closed when it is withdrawn; nil for none
}

// A Publisher is where BMCs fetch images from.
type Publisher interface {
	// Publish puts a disc in place, of which the publisher closes the Holder, on an
	// error too. A disc of the same name is replaced.
	Publish(ctx context.Context, d Disc) error

	// Withdraw takes all discs of an owner away but those that are named. It
	// succeeds when there are none.
	Withdraw(ctx context.Context, owner string, except ...string) error
}

// Discs publishes images from memory, and serves them over HTTP. The zero value is
// ready. It may be used by many at once.
type Discs struct {
	// Observer is told how far BMCs read, in steps of 5 %. Nil discards.
	Observer func(task.Evidence)

	mu     sync.RWMutex // over what follows
	names  map[string]*published
	owners map[string][]string
}

var _ Publisher = (*Discs)(nil)

// A published disc counts what was read of it.
type published struct {
	Disc
	mu       sync.Mutex // over what follows
	read     int64
	reported int64
}

// Publish implements [Publisher].
func (s *Discs) Publish(_ context.Context, d Disc) error {
	if !fs.ValidPath(d.Name) || d.Owner == "" || d.Content == nil {
		closeHolder(d)
		return &task.Error{Op: "vmedia.Publish", Node: d.Owner, Err: fmt.Errorf("%w: a disc without owner, content or a clean name", task.ErrInvalidParameter)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.names[d.Name]; old != nil {
		if old.Owner != d.Owner {
			closeHolder(d)
			return &task.Error{Op: "vmedia.Publish", Node: d.Owner, Err: fmt.Errorf("%w: a disc of node %s has that name", task.ErrExists, old.Owner)}
		}
		closeHolder(old.Disc)
	} else {
		if s.names == nil {
			s.names, s.owners = map[string]*published{}, map[string][]string{}
		}
		s.owners[d.Owner] = append(s.owners[d.Owner], d.Name)
	}
	s.names[d.Name] = &published{Disc: d}
	return nil
}

func closeHolder(d Disc) {
	if d.Holder != nil {
		_ = d.Holder.Close() // of which nobody can do anything
	}
}

// Withdraw implements [Publisher]. It never fails.
func (s *Discs) Withdraw(_ context.Context, owner string, except ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keep []string
	for _, name := range s.owners[owner] {
		if slices.Contains(except, name) {
			keep = append(keep, name)
			continue
		}
		closeHolder(s.names[name].Disc)
		delete(s.names, name)
	}
	if len(keep) == 0 {
		delete(s.owners, owner)
	} else {
		s.owners[owner] = keep
	}
	return nil
}

// Names returns the names of an owner's discs.
func (s *Discs) Names(owner string) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return append([]string(nil), s.owners[owner]...)
}

// ServeHTTP serves the disc that the URL's path names, to GET and HEAD, whole or in
// ranges.
func (s *Discs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.RLock()
	d := s.names[strings.TrimLeft(r.URL.Path, "/")]
	s.mu.RUnlock()
	if d == nil {
		http.NotFound(w, r)
		return
	}
	if r.Method == http.MethodGet && s.Observer != nil {
		w = &counter{ResponseWriter: w, disc: d, tell: s.Observer}
	}
	w.Header().Set("Cache-Control", "no-store")
	if h, ok := d.Content.(http.Handler); ok {
		h.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(d.Content, 0, d.Content.Size()))
}

// A counter tells what was read of a disc.
type counter struct {
	http.ResponseWriter
	disc *published
	tell func(task.Evidence)
}

// Unwrap is for [http.ResponseController].
func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.count(int64(n))
	return n, err
}

// ReadFrom lets the connection below send a file without copying it.
func (c *counter) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.Copy(c.ResponseWriter, src)
	c.count(n)
	return n, err
}

// count tells of the first bytes, and of each twentieth of the disc.
func (c *counter) count(n int64) {
	d, size := c.disc, c.disc.Content.Size()
	if n == 0 || size == 0 {
		return
	}
	d.mu.Lock()
	d.read += n
	done := min(d.read, size)
	first, tell := d.reported == 0, done*20/size > d.reported*20/size
	if first || tell {
		d.reported = done
	}
	d.mu.Unlock()
	if first || tell {
		c.tell(task.Evidence{Node: d.Owner, Stage: StageMedia, Detail: d.Label, Done: done, Total: size})
	}
}

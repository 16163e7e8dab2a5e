package imagecache

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/internal/filelock"
	"github.com/ferrule/ferrule/task"
)

// ErrDigest is content that is not what was asked for.
var ErrDigest = errors.New("wrong checksum")

// Config says how a [Cache] works. Dir is required.
type Config struct {
	// Dir is the directory that the cache has for itself, an absolute path. It is
	// made if it is not there; several processes may share it.
	Dir string

	// MaxBytes is how much may be kept; what is in use may be more. 0 means 20 GiB.
	MaxBytes int64

	// MaxAge is how long what nobody has asked for is kept. 0 means 7 days.
	MaxAge time.Duration

	// HTTP downloads; its Timeout would cut long downloads off. Nil means
	// http.DefaultClient.
	HTTP *http.Client

	// Stall is how long a download may be without a byte. 0 means 60 s.
	Stall time.Duration

	// Retries is how often a download that broke is taken up. 0 means 5, below 0
	// never.
	Retries int

	// Logger is told of downloads and of what is thrown away. Nil discards.
	Logger *slog.Logger
}

// A Cache hands out images. It may be used from many goroutines, and starts none
// that outlives a call.
type Cache struct {
	cfg Config

	mu   sync.Mutex
	held map[string]*holding // by digest: what this process keeps from being thrown away
	asks map[string]*asked   // by what is asked for, while somebody does
}

// A holding is a shared lock on one file of content. Its count is guarded by
// Cache.mu.
type holding struct {
	file  *os.File
	count int
}

// New returns a cache. It throws away what is too old or too much.
func New(ctx context.Context, c Config) (*Cache, error) {
	const op = "imagecache.New"
	var errs []error
	refuse := func(field string, err error, remedy string) {
		errs = append(errs, &task.Error{Op: op, Field: "Config." + field, Err: err, Remedy: remedy})
	}
	if !filepath.IsAbs(c.Dir) {
		refuse("Dir", fmt.Errorf("%w: %q", task.ErrInvalidParameter, c.Dir), "give the absolute path of a directory for the cache alone")
	}
	if c.MaxBytes < 0 || c.MaxAge < 0 || c.Stall < 0 {
		refuse("MaxBytes, MaxAge and Stall", fmt.Errorf("%w: below 0", task.ErrInvalidParameter), "")
	}
	if err := task.Join(errs...); err != nil {
		return nil, err
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 20 << 30
	}
	if c.MaxAge == 0 {
		c.MaxAge = 7 * 24 * time.Hour
	}
	if c.HTTP == nil {
		c.HTTP = http.DefaultClient
	}
	if c.Stall == 0 {
		c.Stall = time.Minute
	}
	if c.Retries == 0 {
		c.Retries = 5
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	cache := &Cache{cfg: c, held: map[string]*holding{}, asks: map[string]*asked{}}
	for _, dir := range []string{c.Dir, cache.path(contents), cache.path(downloads)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, &task.Error{Op: op, Field: "Config.Dir", Err: err, Remedy: "let this process write there"}
		}
	}
	if err := cache.sweep(ctx); err != nil {
		return nil, &task.Error{Op: op, Field: "Config.Dir", Err: err}
	}
	return cache, nil
}

// The folders below Config.Dir: content by digest, and what is known of URLs,
// with what is being downloaded, by digest of the URL.
const (
	contents  = "content"
	downloads = "url"
)

func (c *Cache) path(parts ...string) string {
	return filepath.Join(append([]string{c.cfg.Dir}, parts...)...)
}

// A Request says which image is wanted. URL is required.
type Request struct {
	URL string // http or https

	// SHA256 is the digest of the content in hexadecimal. Empty takes what the
	// server has now.
	SHA256 string

	// Header goes along to the server, such as an Authorization. It is neither kept
	// nor told to anybody. Whoever knows the SHA256 of what is kept needs none.
	Header http.Header

	// Progress is told of bytes downloaded, of total, 0 where that is not known.
	// It is not called where another request downloads. Nil for nobody.
	Progress func(done, total int64)
}

// An Image is one file of the cache, which stays until it is closed.
type Image struct {
	Path   string // readable by all; not to be changed
	Size   int64
	SHA256 string // in hexadecimal

	release sync.Once
	cache   *Cache
	known   string // the file that says that a URL has this; "" for none
}

// Doubt is of an image that has not the checksum that its user knows: the next
// request for its URL without a SHA256 downloads it anew, even if the server says
// that it has not changed.
func (i *Image) Doubt() {
	if i.known != "" {
		_ = os.Remove(i.known) // what cannot be removed is doubted again
	}
}

// Close lets the cache throw the image away. It may be called twice.
func (i *Image) Close() error {
	i.release.Do(func() { i.cache.letGo(i.SHA256) })
	return nil
}

// Get returns the image, from the cache or, where that does not have it or knows
// an older one, from its URL. Close the image.
func (c *Cache) Get(ctx context.Context, r Request) (*Image, error) {
	const op = "imagecache.Get"
	sum := strings.ToLower(r.SHA256)
	u, err := artifact.ParseURL(r.URL)
	if err != nil {
		return nil, &task.Error{Op: op, Field: "URL", Err: err, Remedy: "give a plain http or https URL"}
	}
	if raw, err := hex.DecodeString(sum); sum != "" && (err != nil || len(raw) != 32) {
		return nil, &task.Error{Op: op, Field: "SHA256", Err: fmt.Errorf("%w: no SHA-256 in hexadecimal", task.ErrInvalidParameter)}
	}
	if sum != "" {
		if image := c.open(sum); image != nil {
			return image, nil
		}
	}
	image, err := c.fetch(ctx, u, request{Request: r, sum: sum})
	if err != nil {
		return nil, &task.Error{Op: op, Field: shown(u), Err: err}
	}
	return image, nil
}

// shown is a URL without what may be a secret.
func shown(u *url.URL) string {
	public := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return public.String()
}

// open returns the image with that digest, held, or nil.
func (c *Cache) open(sum string) *Image {
	path := c.path(contents, sum)
	h := c.hold(sum, path)
	if h == nil {
		return nil
	}
	info, err := h.file.Stat()
	if err != nil {
		c.letGo(sum)
		return nil
	}
	now := time.Now()
	_ = os.Chtimes(path, now, now) // when it was last asked for; a cache on a read-only file system ages
	return &Image{Path: path, Size: info.Size(), SHA256: sum, cache: c}
}

func (c *Cache) hold(sum, path string) *holding {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.held[sum]; h != nil {
		h.count++
		return h
	}
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	// Whoever throws it away has it locked for that, and it is as good as gone.
	if ok, err := filelock.TryShare(f); err != nil || !ok || !sameFile(f, path) {
		f.Close()
		return nil
	}
	h := &holding{file: f, count: 1}
	c.held[sum] = h
	return h
}

func sameFile(f *os.File, path string) bool {
	a, errA := f.Stat()
	b, errB := os.Stat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

func (c *Cache) letGo(sum string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.held[sum]
	if h.count--; h.count == 0 {
		h.file.Close()
		delete(c.held, sum)
	}
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

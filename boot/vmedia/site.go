package vmedia

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"slices"
	"sync"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/imagecache"
	"github.com/ferrule/ferrule/boot/iso"
	"github.com/ferrule/ferrule/task"
)

// A Site is what booting from virtual media has to know of the place that it works
// in. Discs and URL are required.
type Site struct {
	// Discs is where images are published, and URL the http or https URL at which
	// BMCs reach it.
	Discs Publisher
	URL   string

	// Loaders are the boot loaders of composed images, as iso.DebianLoaders finds
	// them. None: nodes give a deploy_iso.
	Loaders map[string]string

	// ImageDirs are the directories of which nodes' parameters may name kernels and
	// ramdisks.
	ImageDirs artifact.Dirs

	// Cache downloads kernels and ramdisks that nodes' parameters give URLs of. Nil:
	// they are files.
	Cache *imagecache.Cache

	// KernelArgs are added to command lines, unless the node has its own. Empty
	// means "nofb nomodeset vga=normal"; one space means none.
	KernelArgs string
}

const defaultKernelArgs = "nofb nomodeset vga=normal"

// check returns s with its defaults, and every problem.
func (s Site) check(op string) (Site, boot.KernelArgs, error) {
	var errs []error
	bad := func(field string, err error, remedy string) {
		for _, p := range task.Problems(err) {
			errs = append(errs, &task.Error{Op: op, Field: "Site." + field, Err: p, Remedy: remedy})
		}
	}
	if s.Discs == nil {
		bad("Discs", task.ErrMissingParameter, "give the vmedia.Discs that BMCs fetch from")
	}
	u, err := artifact.ParseBaseURL(s.URL)
	bad("URL", err, "give the http or https URL at which BMCs reach Discs")
	if err == nil {
		s.URL = u.String()
	}
	s.ImageDirs, err = s.ImageDirs.Clean()
	bad("ImageDirs", err, "give absolute paths")
	if s.KernelArgs == "" {
		s.KernelArgs = defaultKernelArgs
	}
	args, err := parseArgs(s.KernelArgs)
	bad("KernelArgs", err, "")
	return s, args, task.Join(errs...)
}

func parseArgs(line string) (boot.KernelArgs, error) {
	args, err := boot.ParseKernelArgs(line)
	if err != nil {
		return nil, err
	}
	return args, iso.CheckArgs(args)
}

// url returns where BMCs fetch what has that name.
func (s *Site) url(name string) string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return s.URL + "/" + name // checked by New
	}
	u.Path = path.Join("/", u.Path, name)
	return u.String()
}

// check reports why the image that a parameter names cannot be used, as far as
// that is to be seen here.
func (s *Site) checkImage(text string) error {
	if artifact.IsFile(text) {
		_, err := s.ImageDirs.Find(text)
		return err
	}
	_, err := artifact.ParseURL(text)
	if err == nil && s.Cache == nil {
		return fmt.Errorf("%w: a URL, which nothing here fetches", task.ErrInvalidParameter)
	}
	return err
}

// open returns the file that a parameter names, and what keeps it from going
// away.
func (s *Site) open(ctx context.Context, t *task.Task, word, text string) (*os.File, func(), error) {
	nothing := func() {}
	if artifact.IsFile(text) {
		found, err := s.ImageDirs.Find(text)
		if err != nil {
			return nil, nothing, err
		}
		f, err := os.OpenInRoot(found.Dir, found.File)
		return f, nothing, err
	}
	if s.Cache == nil {
		return nil, nothing, s.checkImage(text)
	}
	kept, err := s.Cache.Get(ctx, imagecache.Request{URL: text, Progress: func(done, total int64) {
		t.Observe(task.Evidence{Stage: StageDownload, Done: done, Total: total, Detail: word})
	}})
	if err != nil {
		return nil, nothing, err
	}
	f, err := os.Open(kept.Path)
	if err != nil {
		kept.Close()
		return nil, nothing, err
	}
	return f, func() { kept.Close() }, nil
}

// StageDownload is the stage of evidence that this host fetches an image for a
// node, before the node boots.
const StageDownload = "image download"

// bases are shared by the nodes that boot the same files.
type bases struct {
	loaders map[string]string

	mu  sync.Mutex // over what follows
	all []*sharedBase
}

type sharedBase struct {
	*iso.Base
	files []os.FileInfo // kernel and ramdisk
	users int
	held  []func()
	owner *bases
}

// get returns the base of two files, which it takes over together with what they
// are held by. Close what it returns.
func (b *bases) get(kernel, ramdisk *os.File, held []func()) (*baseUse, error) {
	release := func() {
		for _, f := range held {
			f()
		}
	}
	var infos []os.FileInfo
	for _, f := range []*os.File{kernel, ramdisk} {
		info, err := f.Stat()
		if err != nil {
			kernel.Close()
			ramdisk.Close()
			release()
			return nil, err
		}
		infos = append(infos, info)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.all {
		if slices.EqualFunc(s.files, infos, sameFile) {
			kernel.Close()
			ramdisk.Close()
			release()
			s.users++
			return &baseUse{base: s}, nil
		}
	}
	base, err := iso.Open(iso.Config{Kernel: kernel, Ramdisk: ramdisk, Loaders: b.loaders})
	if err != nil {
		release()
		return nil, err
	}
	s := &sharedBase{Base: base, files: infos, users: 1, held: held, owner: b}
	b.all = append(b.all, s)
	return &baseUse{base: s}, nil
}

func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// A baseUse is one user of a base.
type baseUse struct {
	base *sharedBase
	once sync.Once
}

// Close gives the base back; the last one closes its files.
func (u *baseUse) Close() error {
	var err error
	u.once.Do(func() {
		b := u.base.owner
		b.mu.Lock()
		defer b.mu.Unlock()
		if u.base.users--; u.base.users > 0 {
			return
		}
		b.all = slices.DeleteFunc(b.all, func(s *sharedBase) bool { return s == u.base })
		err = u.base.Base.Close()
		for _, f := range u.base.held {
			f()
		}
	})
	return err
}

var errNoLoaders = errors.New("there are no boot loaders to compose an image with")

package ipxe

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// An image is a download in memory.
type image struct {
	name     string
	uri      uri
	args     string
	data     []byte
	kind     imageKind
	autofree bool
	replaced *image // what runs instead when this script ends
}

type imageKind int

const (
	otherImage imageKind = iota // an initrd, or nothing that can run
	scriptImage
	kernelImage
)

func (m *interp) newImage(u uri, data []byte) *image {
	img := &image{uri: u, data: data, name: u.basename()}
	if u.path == "" && u.opaque == "" {
		img.name = fmt.Sprintf("img%d", m.unnamed)
		m.unnamed++
	}
	executable := m.cfg.Executable
	if executable == nil {
		executable = func(data []byte) bool { return len(data) > 0 && data[0] != '#' && data[0] != '<' }
	}
	switch {
	case isScript(data):
		img.kind = scriptImage
	case executable(data):
		img.kind = kernelImage
	}
	return img
}

func (m *interp) register(img *image) { m.images = append(m.images, img) }

func (m *interp) unregister(img *image) {
	m.images = slices.DeleteFunc(m.images, func(i *image) bool { return i == img })
}

func (m *interp) find(name string) *image {
	for _, img := range m.images {
		if img.name == name {
			return img
		}
	}
	return nil
}

func (m *interp) currentURI() uri {
	if m.current == nil {
		return uri{}
	}
	return m.current.uri
}

// download fetches and registers the image at a URI, relative to the script's.
func (m *interp) download(ctx context.Context, a args) (*image, error) {
	ms, err := a.number("timeout", 0)
	if err != nil {
		return nil, err
	}
	if len(m.images) >= maxImages {
		return nil, ENOMEM.failf("%d images are loaded already", len(m.images))
	}
	given := parseURI(a.rest[0])
	u := m.currentURI().resolve(given)
	data, err := m.fetch(ctx, u, time.Duration(ms)*time.Millisecond)
	switch {
	case isFinal(err):
		return nil, err
	case err != nil:
		m.print(fmt.Sprintf("%s... %v\n", given.redacted(), err))
		return nil, err
	case !a.has("quiet"):
		m.print(given.redacted() + "... ok\n")
	}
	img := m.newImage(u, data)
	m.register(img)
	return img, nil
}

// fetch bounds the whole transfer by timeout, if there is one; iPXE bounds the
// time without progress, which cannot be seen from here.
func (m *interp) fetch(ctx context.Context, u uri, timeout time.Duration) ([]byte, error) {
	switch {
	case u.scheme != "http" && u.scheme != "https" && u.scheme != "tftp" || m.cfg.Fetch == nil:
		return nil, ENOTSUP.failf("scheme %q", u.scheme)
	case u.host() == "":
		return nil, ENXIO.failf("DNS name does not exist: the URL has no host")
	}
	within, cancel := ctx, context.CancelFunc(func() {})
	if timeout > 0 {
		within, cancel = context.WithTimeout(ctx, timeout)
	}
	defer cancel()
	data, err := m.cfg.Fetch(within, u.String())
	if ctx.Err() != nil {
		return nil, fatal{ctx.Err()}
	}
	if err != nil {
		return nil, fetchError(err)
	}
	return data, nil
}

// acquire returns the image of that name, or downloads it.
func (m *interp) acquire(ctx context.Context, a args) (*image, error) {
	if img := m.find(a.rest[0]); img != nil {
		return img, nil
	}
	return m.download(ctx, a)
}

// label applies the arguments and options that all image commands have.
func (img *image) label(a args) {
	if a.has("name") {
		img.name = a.options["name"]
	}
	if len(a.rest) > 1 {
		img.args = strings.Join(a.rest[1:], " ")
	}
	if a.has("autofree") {
		img.autofree = true
	}
}

func (m *interp) imgfetch(ctx context.Context, a args) error {
	img, err := m.download(ctx, a)
	if err == nil {
		img.label(a)
	}
	return err
}

func (m *interp) imgargs(ctx context.Context, a args) error {
	img, err := m.acquire(ctx, a)
	if err == nil {
		img.args = ""
		img.label(a)
	}
	return err
}

func (m *interp) imgselect(ctx context.Context, a args) error {
	img, err := m.acquire(ctx, a)
	if err != nil {
		return err
	}
	img.label(a)
	if img.kind == otherImage {
		m.print(fmt.Sprintf("Could not select: %v\n", ENOEXEC))
		return ENOEXEC.failf("%s is neither a kernel nor a script", img.uri.redacted())
	}
	m.selected = img
	return nil
}

// imgexec is chain and boot: of the image named, else of the selected one. With
// no image selected iPXE says so and, strangely, succeeds.
func (m *interp) imgexec(ctx context.Context, a args) error {
	img := m.selected
	if len(a.rest) > 0 {
		var err error
		if img, err = m.acquire(ctx, a); err != nil {
			return err
		}
	} else if img == nil || !slices.Contains(m.images, img) {
		m.print("No image selected\n")
		return nil
	}
	img.label(a)
	err := m.start(ctx, img, a.has("replace"))
	if err != nil && !isFinal(err) {
		m.print(fmt.Sprintf("Could not boot: %v\n", err))
	}
	return err
}

func (m *interp) start(ctx context.Context, img *image, replace bool) error {
	if !replace {
		return m.execute(ctx, img)
	}
	if img.kind == otherImage {
		return ENOEXEC.failf("%s is neither a kernel nor a script", img.uri.redacted())
	}
	m.current.replaced = img
	m.stop = stopScript
	return nil
}

// execute runs an image and whatever replaces it. A kernel never returns.
func (m *interp) execute(ctx context.Context, img *image) error {
	for {
		if img.kind == kernelImage {
			m.boot(img)
			return errHalt
		}
		err := m.executeScript(ctx, img)
		next := img.replaced
		img.replaced = nil
		if img.autofree {
			m.unregister(img)
		}
		if next == nil || isFinal(err) {
			return err
		}
		img = next
	}
}

// executeScript takes the script out of memory while it runs and, unless it is
// replaced, puts it back: from then on it goes to a kernel among the initrds.
func (m *interp) executeScript(ctx context.Context, img *image) error {
	if img.kind != scriptImage {
		return ENOEXEC.failf("%s is neither a kernel nor a script", img.uri.redacted())
	}
	m.unregister(img)
	err := m.runScript(ctx, img)
	if img.replaced == nil {
		m.register(img)
	}
	return err
}

func (m *interp) boot(kernel *image) {
	m.unregister(kernel)
	m.out.Action = Boot
	m.out.Kernel, m.out.KernelName, m.out.KernelURL = kernel.data, kernel.name, kernel.uri.String()
	m.out.CommandLine = kernel.args
	for _, img := range m.images {
		m.out.Initrds = append(m.out.Initrds, Initrd{Name: img.name, URL: img.uri.String(), Args: img.args, Data: img.data})
	}
}

func (m *interp) imgfree(_ context.Context, a args) error {
	return m.each(a, m.unregister)
}

func (m *interp) imgstat(_ context.Context, a args) error {
	return m.each(a, func(img *image) {
		m.print(fmt.Sprintf("%s : %d bytes\n", img.name, len(img.data)))
	})
}

// each does the images named, or all.
func (m *interp) each(a args, do func(*image)) error {
	if len(a.rest) == 0 {
		for _, img := range slices.Clone(m.images) {
			do(img)
		}
		return nil
	}
	for _, name := range a.rest {
		img := m.find(name)
		if img == nil {
			m.print(fmt.Sprintf("%q: no such image\n", name))
			return ENOENT.failf("%q: no such image", name)
		}
		do(img)
	}
	return nil
}

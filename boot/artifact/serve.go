package artifact

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/ferrule/ferrule/task"
)

// StageMissing is the stage of evidence that a machine asked for something below
// its owner's name that is not there.
const StageMissing = "missing artifact"

// ServeHTTP serves the artifact that the URL's path names, to GET and HEAD, whole
// or in ranges, with a validator that is the same on every host that has the
// same content. Data is not to be stored by caches; a file may be, if it is
// asked for again each time.
//
// A GET gives evidence at the end of each 5 % of the content that is passed, and
// when it fails. Where the name is unknown and its first element is an owner
// that has something in the tree, that is evidence of stage [StageMissing].
// A canceled request ends within 5 % of the content or 256 KiB, or at the
// server's write time-out.
func (t *Tree) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimLeft(r.URL.Path, "/")
	e, label := t.find(name)
	if e == nil {
		t.missing(name)
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if e.ContentType != "" {
		w.Header().Set("Content-Type", e.ContentType)
	}
	m := t.meter(e, label)
	if r.Method == http.MethodHead {
		m.observe = nil
	}
	if e.source != nil {
		serveFile(w, r, e, m)
		return
	}
	w.Header().Set("ETag", e.tag)
	w.Header().Set("Cache-Control", "no-store")
	p := &progress{ResponseWriter: w, request: r, meter: m}
	http.ServeContent(p, r, "", time.Time{}, bytes.NewReader(e.Data))
	p.finish()
}

func serveFile(w http.ResponseWriter, r *http.Request, e *entry, m meter) {
	w.Header().Set("Cache-Control", "no-cache")
	if span, ok := smallRange(r); ok {
		if done, err := servePiece(w, e, m, span); err != nil {
			refuse(w, m, err)
			return
		} else if done {
			return
		}
	}
	// A descriptor of its own: the kernel sends from the descriptor's position.
	f, info, err := e.source.name.open()
	if err != nil {
		refuse(w, m, err)
		return
	}
	defer f.Close()
	w.Header().Set("ETag", fileTag(info))
	p := &progress{ResponseWriter: w, request: r, meter: m}
	http.ServeContent(p, r, "", info.ModTime(), f)
	p.finish()
}

// refuse answers for a file that cannot be read. Machines need not know paths.
func refuse(w http.ResponseWriter, m meter, err error) {
	status := http.StatusInternalServerError
	if errors.Is(err, fs.ErrNotExist) {
		status = http.StatusNotFound
	}
	m.fail(withoutSyscall(err))
	http.Error(w, http.StatusText(status), status)
}

// missing tells of a fetch of something that is not there, where it is plain
// whose machine it was.
func (t *Tree) missing(name string) {
	owner, rest, ok := strings.Cut(name, "/")
	if t.Observer == nil || !ok || !t.known(owner) {
		return
	}
	if len(rest) > 100 {
		rest = rest[:100]
	}
	t.Observer(task.Evidence{Node: owner, Stage: StageMissing, Detail: strings.ToValidUTF8(rest, "?"), Failed: true})
}

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
	e := t.find(name)
	if e == nil {
		t.missing(name)
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if e.ContentType != "" {
		w.Header().Set("Content-Type", e.ContentType)
	}
	p := &progress{ResponseWriter: w, request: r, entry: e, observe: t.Observer}
	if r.Method == http.MethodHead || e.Stage == "" {
		p.observe = nil
	}
	if e.File == "" {
		w.Header().Set("ETag", e.tag)
		w.Header().Set("Cache-Control", "no-store")
		http.ServeContent(p, r, "", time.Time{}, bytes.NewReader(e.Data))
		p.finish()
		return
	}
	f, info, err := e.open()
	if err != nil {
		status := http.StatusInternalServerError
		if errors.Is(err, fs.ErrNotExist) {
			status = http.StatusNotFound
		}
		p.fail(withoutSyscall(err))
		http.Error(w, http.StatusText(status), status)
		return
	}
	defer f.Close()
	w.Header().Set("ETag", fileTag(info))
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeContent(p, r, "", info.ModTime(), f)
	p.finish()
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

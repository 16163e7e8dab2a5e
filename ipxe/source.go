package ipxe

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/task"
)

// An image is a kernel or ramdisk and where machines fetch it from.
type image struct {
	url       string
	published []artifact.Artifact // what the URL needs in the tree; none for one elsewhere
}

// scriptable refuses a URL that a script cannot carry: iPXE has no quoting.
func scriptable(u *url.URL) error {
	if text := u.String(); strings.ContainsAny(text, " \t\r\n\v\f") || strings.Contains(text, "${") {
		return fmt.Errorf("%w: a URL with a blank or ${, which iPXE does not take as it is", task.ErrInvalidParameter)
	}
	return nil
}

// image finds out where machines fetch what text names, and checks that it is
// there if it is a file. It is published, if need be, under that name.
func (b *Boot) image(text string, as artifact.Artifact) (image, error) {
	if !artifact.IsFile(text) {
		u, err := artifact.ParseURL(text)
		if err == nil {
			err = scriptable(u)
		}
		if err != nil {
			return image{}, err
		}
		return image{url: u.String()}, nil
	}
	found, err := b.cfg.ImageDirs.Find(text)
	if err != nil {
		return image{}, err
	}
	as.Dir, as.File = found.Dir, found.File
	return image{url: b.url(as.Name), published: []artifact.Artifact{as}}, nil
}

package netboot

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/imagecache"
	"github.com/ferrule/ferrule/task"
)

// A source is a kernel or ramdisk that a node's parameter names.
type source struct {
	in, word string // as in "driver_info.deploy_kernel"
	text     string // what the parameter says
	stage    string
}

func (s *source) field() string { return s.in + "." + s.word }

// A pair is a kernel and its ramdisk.
type pair struct{ kernel, ramdisk source }

func (b *Boot) imageRemedy() string {
	if b.family.FetchesURLs || b.site.Cache != nil {
		return "set it to an http or https URL, or name its directory in Site.ImageDirs"
	}
	return "set it to a file in one of the directories of Site.ImageDirs; for a URL, Site.Cache is needed: these loaders fetch by TFTP only"
}

// checkImage reports why s cannot be served, as far as that is to be seen here.
func (b *Boot) checkImage(s source) error {
	if artifact.IsFile(s.text) {
		_, err := b.site.ImageDirs.Find(s.text)
		return err
	}
	u, err := artifact.ParseURL(s.text)
	switch {
	case err != nil || b.site.Cache != nil:
		return err
	case !b.family.FetchesURLs:
		return fmt.Errorf("%w: a URL, which nothing here fetches", task.ErrInvalidParameter)
	}
	return b.family.CheckURL(u.String())
}

// fetchImage finds out where machines fetch s, and what has to be published for
// that: nothing for what they fetch from elsewhere.
func (b *Boot) fetchImage(ctx context.Context, t *task.Task, s source) (Image, []artifact.Artifact, error) {
	image := Image{Name: t.Node.UUID + "/" + s.word}
	published := artifact.Artifact{Name: image.Name, Stage: s.stage}
	switch {
	case artifact.IsFile(s.text):
		found, err := b.site.ImageDirs.Find(s.text)
		if err != nil {
			return Image{}, nil, err
		}
		published.Dir, published.File = found.Dir, found.File
	case b.site.Cache != nil:
		kept, err := b.site.Cache.Get(ctx, imagecache.Request{URL: s.text, Progress: func(done, total int64) {
			t.Observe(task.Evidence{Stage: StageDownload, Done: done, Total: total, Detail: s.word})
		}})
		if err != nil {
			return Image{}, nil, err
		}
		published.File, published.Holder = kept.Path, kept
	default:
		u, err := artifact.ParseURL(s.text)
		if err != nil {
			return Image{}, nil, err
		}
		image.URL = u.String()
		return image, nil, nil
	}
	return image, []artifact.Artifact{published}, nil
}

// StageDownload is the stage of evidence that this host fetches an image for a
// node, before the node boots.
const StageDownload = "image download"

// fetchPair fetches kernel and ramdisk. What it returns belongs to whoever
// publishes it; on an error nothing is held.
func (b *Boot) fetchPair(ctx context.Context, op string, t *task.Task, p pair) (kernel, ramdisk Image, published []artifact.Artifact, err error) {
	for _, one := range []struct {
		source source
		image  *Image
	}{{p.kernel, &kernel}, {p.ramdisk, &ramdisk}} {
		image, more, err := b.fetchImage(ctx, t, one.source)
		if err != nil {
			letGo(published)
			return Image{}, Image{}, nil, &task.Error{Op: op, Node: t.Node.String(), Field: one.source.field(), Err: err, Remedy: b.imageRemedy()}
		}
		*one.image = image
		published = append(published, more...)
	}
	return kernel, ramdisk, published, nil
}

func letGo(published []artifact.Artifact) {
	for _, a := range published {
		if a.Holder != nil {
			a.Holder.Close()
		}
	}
}

// served reports whether machines fetch s from the tree.
func (b *Boot) served(s source) bool {
	return s.text != "" && (artifact.IsFile(s.text) || b.site.Cache != nil)
}

// imageStages are the stages of the images of p that the tree serves.
func (b *Boot) imageStages(p pair) []string {
	var stages []string
	for _, s := range []source{p.kernel, p.ramdisk} {
		if b.served(s) {
			stages = append(stages, s.stage)
		}
	}
	return stages
}

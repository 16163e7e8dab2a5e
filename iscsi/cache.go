package iscsi

import (
	"context"
	"errors"
	"os"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/boot/imagecache"
	"github.com/ferrule/ferrule/deploy/image"
)

// keep has o read its image from the cache, where there is one and the image has a
// URL. Call done with what writing it ended with. It takes no slot: a slow server
// holds nobody up but those who want what it has.
func (w *writer) keep(ctx context.Context, o *agent.Order) (done func(error), err error) {
	remote, ok := o.Source.(*image.HTTP)
	if !ok || w.cfg.Cache == nil {
		return func(error) {}, nil
	}
	r := imagecache.Request{URL: remote.URL, Header: remote.Header}
	if o.Checksum.Algo == "sha256" {
		r.SHA256 = o.Checksum.Value
	}
	kept, err := w.cfg.Cache.Get(ctx, r)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(kept.Path)
	if err != nil {
		kept.Close()
		return nil, err
	}
	o.Source = &image.File{Content: f, Size: kept.Size}
	return func(err error) {
		if errors.Is(err, image.ErrChecksum) {
			kept.Doubt()
		}
		f.Close()
		kept.Close()
	}, nil
}

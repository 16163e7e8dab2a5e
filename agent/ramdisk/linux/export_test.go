//go:build linux

package linux

import (
	"context"

	"github.com/ferrule/ferrule/agent/ramdisk"
)

// InstallGRUBForTest installs what b names, of disk d, into the root dir, and tells
// do what it would have the kernel do.
func InstallGRUBForTest(ctx context.Context, d ramdisk.Disk, b ramdisk.BootLoader, dir string, do func(what ...string) error) error {
	g, err := findPartitions(d, b)
	if err != nil {
		return err
	}
	return g.install(ctx, &root{dir: dir,
		attach: func(source, target, kind string) error { return do("mount", source, target, kind) },
		detach: func(target string) error { return do("umount", target) },
		run:    func(_ context.Context, _ string, args ...string) error { return do(args...) },
	})
}

// RunInForTest runs a program in a root.
var RunInForTest = runIn

// NameForTest has h name the partitions of d.
func NameForTest(h Host, d ramdisk.Disk, b ramdisk.BootLoader) error {
	g, err := findPartitions(d, b)
	if err != nil {
		return err
	}
	return h.name(g.names)
}

// Package nfsroot is a deploy driver for machines without a disk: what such a
// machine mounts as its root, over NFS, is a link to a read-only tree.
package nfsroot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Deploy deploys trees. One value serves every node.
type Deploy struct {
	trees string // directory with read-only trees to choose from
	roots string // exported directory: the node with UUID u mounts roots/u
}

var _ deploy.DeployInterface = (*Deploy)(nil)

// New returns a deploy interface that links what is in one directory, trees,
// from another one, which is exported to the machines.
func New(trees, roots string) *Deploy { return &Deploy{trees, roots} }

// Properties implements [deploy.DeployInterface].
func (d *Deploy) Properties() task.Properties { return task.PropertiesOf[parameters]() }

// Validate implements [deploy.DeployInterface]. The tree has to be there.
func (d *Deploy) Validate(ctx context.Context, t *task.Task) error {
	_, err := d.tree("nfsroot.Validate", t)
	return task.Join(ctx.Err(), err)
}

// Prepare implements [deploy.DeployInterface]: there is nothing to make ready.
func (d *Deploy) Prepare(ctx context.Context, _ *task.Task) error { return ctx.Err() }

// Deploy implements [deploy.DeployInterface]. The machine is off while its root
// changes.
func (d *Deploy) Deploy(ctx context.Context, t *task.Task) (task.State, error) {
	const op = "nfsroot.Deploy"
	tree, err := d.tree(op, t)
	if err != nil {
		return "", err
	}
	if err := driver.SetPower(ctx, t, driver.PowerOff); err != nil {
		return "", err
	}
	if err := d.link(t, tree); err != nil {
		return "", &task.Error{Op: op, Node: t.Node.String(), Err: err}
	}
	return task.DeployDone, driver.SetPower(ctx, t, driver.PowerOn)
}

// TearDown implements [deploy.DeployInterface]: the machine is off before its
// root goes.
func (d *Deploy) TearDown(ctx context.Context, t *task.Task) (task.State, error) {
	if err := driver.SetPower(ctx, t, driver.PowerOff); err != nil {
		return "", err
	}
	return task.Deleted, remove(d.root(t))
}

// CleanUp implements [deploy.DeployInterface]: it removes what a process that was
// killed left behind.
func (d *Deploy) CleanUp(_ context.Context, t *task.Task) error { return remove(d.temporary(t)) }

// TakeOver implements [deploy.DeployInterface]: the link is there for every host.
func (d *Deploy) TakeOver(ctx context.Context, _ *task.Task) error { return ctx.Err() }

type parameters struct {
	Tree string `instance_info:"image_source,required" help:"name of a tree in the directory of trees"`
}

// tree returns the path of the tree that t's node asks for.
func (d *Deploy) tree(op string, t *task.Task) (string, error) {
	var p parameters
	if err := t.Node.Decode(op, &p); err != nil {
		return "", err
	}
	path, err := filepath.Abs(filepath.Join(d.trees, p.Tree))
	info, statErr := os.Stat(path)
	if err := task.Join(err, statErr); err != nil || !info.IsDir() || filepath.Base(p.Tree) != p.Tree || strings.HasPrefix(p.Tree, ".") {
		return "", &task.Error{Op: op, Node: t.Node.String(), Field: "instance_info.image_source",
			Err: fmt.Errorf("%w: no tree of that name", task.ErrInvalidParameter), Remedy: "name a folder in the directory of trees"}
	}
	return path, nil
}

// link makes tree the root of t's node, in one step.
func (d *Deploy) link(t *task.Task, tree string) error {
	if err := task.Join(remove(d.temporary(t)), os.Symlink(tree, d.temporary(t))); err != nil {
		return err
	}
	return os.Rename(d.temporary(t), d.root(t))
}

// root is what t's node mounts.
func (d *Deploy) root(t *task.Task) string { return filepath.Join(d.roots, t.Node.UUID) }

// temporary is the root while it is made.
func (d *Deploy) temporary(t *task.Task) string {
	return filepath.Join(d.roots, "."+t.Node.UUID+".new")
}

// remove is content where there is nothing.
func remove(name string) error {
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

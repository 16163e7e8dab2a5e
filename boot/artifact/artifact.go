// Package artifact publishes what machines fetch over the network to boot:
// loaders, scripts, kernels, ramdisks and images.
//
// A [Tree] holds named [Artifact] values in memory and serves them over HTTP,
// and over TFTP as an io/fs.FS. Its zero value is ready:
//
//	tree := new(artifact.Tree)
//	go tree.ListenAndServe(ctx, ":80")
//	err := tree.Publish(ctx, node.UUID, artifact.Artifact{Name: "pxelinux.cfg/" + mac, Stage: boot.StageScript, Data: script})
//
// A [Folder] lays the same artifacts out as files and links for the TFTP and HTTP
// servers that a site has. Boot and deploy implementations take either, as a
// [Publisher].
//
// # Owners
//
// Whoever publishes gives an owner: a node's UUID, or the UUID, a slash and a
// word, where several publish for one node. An owner changes and withdraws its
// own artifacts only, so clean-up needs to know nothing but the owner, and two
// nodes that claim one name are told so. A change is atomic: a machine is served
// what was there before it or what is there after it.
//
// # Content
//
// An artifact is bytes, for the few hundred that are made for one node, a file,
// opened when it is fetched, or another name of one of these. A kernel and a
// ramdisk exist once, whatever the number of nodes they are published for.
// [Dirs] say which files of this host nodes may name at all.
//
// # Evidence
//
// The tree tells its Observer how far each machine got, in steps of 5 %, as
// task.Evidence of the owner's node. That is how a wait for a machine is
// explained. What a folder's servers do nobody sees.
//
// # Errors and concurrency
//
// Errors are task.Error values: task.ErrInvalidParameter for a bad artifact,
// task.ErrExists for a name that another owner has. Tree and Folder may be used
// from many goroutines and start none. Anyone who can reach the server can fetch
// what he knows the name of; [Unguessable] makes names that only those know who
// were told, and an artifact with a Label is never called by its name.
package artifact

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/ferrule/ferrule/task"
)

// A Publisher is where implementations put what machines fetch.
type Publisher interface {
	// Publish puts artifacts in place, all at once or, on an error, none. One that
	// owner already has under the same name is replaced, its other ones stay. A
	// name that another owner has is task.ErrExists.
	Publish(ctx context.Context, owner string, artifacts ...Artifact) error

	// Replace is Publish, and takes away whatever else owner had, in the same step.
	Replace(ctx context.Context, owner string, artifacts ...Artifact) error

	// Withdraw takes those artifacts of owner away, all of them when no name is
	// given. Names that owner does not have are passed over. Transfers that run
	// go on.
	Withdraw(ctx context.Context, owner string, names ...string) error
}

// An Artifact is one thing to fetch. Its content is Data, File or Link.
type Artifact struct {
	// Name is the path below the tree, as "pxelinux.cfg/52-54-00-aa-bb-cc": a
	// valid path of package io/fs without backslash and control characters.
	Name string

	// Stage is the stage of the task.Evidence that a fetch gives, such as
	// boot.StageKernel. Empty: nobody is told of fetches.
	Stage string

	// Label is what evidence and errors call the artifact, where its name is for
	// those to know who were told. Empty means Name.
	Label string

	// Data is the content; it must not change once it is published.
	Data []byte

	// File is the path of a regular file that has the content. Without Dir it
	// is absolute.
	File string

	// Dir is a directory that File, relative to it, cannot leave, not even by
	// symbolic links. Empty: File may be anywhere.
	Dir string

	// Holder keeps File from going away, as an image of a cache does. It belongs
	// to the publisher from the call on, which closes it as soon as it does not
	// need the file any more: when the artifact is withdrawn or replaced, or
	// when it was not published. Nil for a file that stays.
	Holder io.Closer

	// Link is the name of another artifact of the same owner that this is a
	// further name of. That one is no Link itself.
	Link string

	// ContentType is the media type; empty means application/octet-stream.
	ContentType string
}

func (a *Artifact) label() string {
	if a.Label != "" {
		return a.Label
	}
	return a.Name
}

// check returns what is wrong with a.
func (a *Artifact) check() error {
	invalid := func(why string) error { return fmt.Errorf("%w: %s", task.ErrInvalidParameter, why) }
	contents := 0
	for _, has := range []bool{a.Data != nil, a.File != "", a.Link != ""} {
		if has {
			contents++
		}
	}
	switch {
	case !fs.ValidPath(a.Name) || a.Name == "." || strings.Contains(a.Name, `\`) || strings.ContainsFunc(a.Name, unicode.IsControl):
		return invalid("name is no clean path below the tree")
	case contents == 0:
		return fmt.Errorf("%w: neither data nor file nor link", task.ErrMissingParameter)
	case contents > 1:
		return invalid("more than one of data, file and link")
	case a.File != "" && a.Dir == "" && !filepath.IsAbs(a.File):
		return invalid(fmt.Sprintf("file %q is not absolute", a.File))
	case a.Dir != "" && !filepath.IsLocal(a.File):
		return invalid(fmt.Sprintf("file %q is not below the directory", a.File))
	}
	return nil
}

// letGo closes the holders of artifacts. What a holder says about it nobody can
// do anything about.
func letGo(artifacts []Artifact) {
	for _, a := range artifacts {
		if a.Holder != nil {
			a.Holder.Close()
		}
	}
}

// checkAll returns what is wrong with artifacts of one owner, who also has those
// names already.
func checkAll(op, owner string, artifacts []Artifact, has func(name string) *Artifact) error {
	if uuid, part, _ := strings.Cut(owner, "/"); uuid == "" || strings.Contains(part, "/") {
		return &task.Error{Op: op, Field: "owner", Err: fmt.Errorf("%w: %q", task.ErrInvalidParameter, owner), Remedy: "name who publishes, as by a node's UUID"}
	}
	fresh := make(map[string]*Artifact, len(artifacts))
	var errs []error
	for i := range artifacts {
		a := &artifacts[i]
		err := a.check()
		if err == nil && fresh[a.Name] != nil {
			err = fmt.Errorf("%w: named twice", task.ErrInvalidParameter)
		}
		fresh[a.Name] = a
		errs = append(errs, artifactError(op, owner, a, err))
	}
	for i := range artifacts {
		a := &artifacts[i]
		if a.Link == "" {
			continue
		}
		to := fresh[a.Link]
		if to == nil {
			to = has(a.Link)
		}
		if to == nil || to.Link != "" {
			errs = append(errs, artifactError(op, owner, a, fmt.Errorf("%w: %q is no content of the same owner", task.ErrInvalidParameter, a.Link)))
		}
	}
	return task.Join(errs...)
}

func artifactError(op, owner string, a *Artifact, err error) error {
	if err == nil {
		return nil
	}
	return &task.Error{Op: op, Node: nodeOf(owner), Field: fmt.Sprintf("artifact %q", a.label()), Err: err}
}

// taken is the error of a name that another owner has.
func taken(op, owner string, a *Artifact, by string) error {
	return &task.Error{Op: op, Node: nodeOf(owner), Field: fmt.Sprintf("artifact %q", a.label()), Err: fmt.Errorf("%w: published for %s", task.ErrExists, by),
		Remedy: "clean up the other node, or correct which of the two has this address"}
}

// nodeOf returns the UUID of the node that an owner publishes for.
func nodeOf(owner string) string {
	uuid, _, _ := strings.Cut(owner, "/")
	return uuid
}

// CheckFile reports why a's file could not be served now: it does not exist,
// is no regular file, or leaves Dir. Other artifacts have none to check.
func (a *Artifact) CheckFile() error {
	if a.File == "" {
		return nil
	}
	f, _, err := fileName{a.Dir, a.File}.open()
	if err != nil {
		return withoutSyscall(err)
	}
	return f.Close()
}

// withoutSyscall words err for people: path and reason.
func withoutSyscall(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%q: %w", e.Path, e.Err)
	}
	return err
}

// Unguessable returns a random name of 130 bits, made of characters that need
// no escaping in URLs and are the same in either case on file systems.
func Unguessable() string { return strings.ToLower(rand.Text()) }

// dataTag is a validator that depends on the content alone, so that it is the
// same after a restart and on another host.
func dataTag(data []byte) string {
	sum := sha256.Sum256(data)
	return `"` + hex.EncodeToString(sum[:12]) + `"`
}

func fileTag(info fs.FileInfo) string {
	return fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size())
}

// Package artifact publishes what machines fetch over the network to boot:
// loaders, scripts, kernels, ramdisks and images.
//
// A [Tree] holds named [Artifact] values in memory and serves them over HTTP.
// Its zero value is ready:
//
//	tree := new(artifact.Tree)
//	go http.Serve(listener, tree)
//	err := tree.Publish(node.UUID, artifact.Artifact{Name: "pxelinux.cfg/" + mac, Stage: boot.StageScript, Data: script})
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
// An artifact is bytes, for the few hundred that are made for one node, or a
// file, opened at each request: a kernel and a ramdisk exist once, whatever the
// number of nodes they are published for.
//
// # Evidence
//
// The tree tells its Observer how far each machine got, in steps of 5 %, as
// task.Evidence of the owner's node. That is how a wait for a machine is explained.
//
// # Errors and concurrency
//
// Errors are task.Error values: task.ErrInvalidParameter for a bad artifact,
// task.ErrExists for a name that another owner has. A Tree may be used from
// many goroutines and starts none. Anyone who can reach the server can fetch
// what he knows the name of; [Unguessable] makes names that only those know who
// were told.
package artifact

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/ferrule/ferrule/task"
)

// An Artifact is one thing to fetch. Its content is Data or File.
type Artifact struct {
	// Name is the path below the tree, as "pxelinux.cfg/52-54-00-aa-bb-cc": a
	// valid path of package io/fs without backslash and control characters.
	Name string

	// Stage is the stage of the task.Evidence that a fetch gives, such as
	// boot.StageKernel. Empty: nobody is told of fetches.
	Stage string

	// Data is the content; it must not change once it is published.
	Data []byte

	// File is the path of a regular file that has the content. Without Dir it
	// is absolute.
	File string

	// Dir is a directory that File, relative to it, cannot leave, not even by
	// symbolic links. Empty: File may be anywhere.
	Dir string

	// ContentType is the media type; empty means application/octet-stream.
	ContentType string
}

// check returns what is wrong with a.
func (a *Artifact) check() error {
	invalid := func(why string) error { return fmt.Errorf("%w: %s", task.ErrInvalidParameter, why) }
	switch {
	case !fs.ValidPath(a.Name) || a.Name == "." || strings.Contains(a.Name, `\`) || strings.ContainsFunc(a.Name, unicode.IsControl):
		return invalid("name is no clean path below the tree")
	case a.Data == nil && a.File == "":
		return fmt.Errorf("%w: neither data nor file", task.ErrMissingParameter)
	case a.Data != nil && a.File != "":
		return invalid("both data and a file")
	case a.File != "" && a.Dir == "" && !filepath.IsAbs(a.File):
		return invalid(fmt.Sprintf("file %q is not absolute", a.File))
	case a.Dir != "" && !filepath.IsLocal(a.File):
		return invalid(fmt.Sprintf("file %q is not below the directory", a.File))
	}
	return nil
}

// open opens a's file, which must be a regular one: opening a named pipe would
// wait for a writer.
func (a *Artifact) open() (*os.File, fs.FileInfo, error) {
	info, err := a.stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%q is no regular file", a.File)
	}
	var f *os.File
	if a.Dir == "" {
		f, err = os.Open(a.File)
	} else {
		f, err = os.OpenInRoot(a.Dir, a.File)
	}
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

func (a *Artifact) stat() (fs.FileInfo, error) {
	if a.Dir == "" {
		return os.Stat(a.File)
	}
	root, err := os.OpenRoot(a.Dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Stat(a.File)
}

// CheckFile reports why a's file could not be served now: it does not exist,
// is no regular file, or leaves Dir. An artifact of Data has none to check.
func (a *Artifact) CheckFile() error {
	if a.File == "" {
		return nil
	}
	f, _, err := a.open()
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

// Package initramfs writes the archive of files that a Linux kernel unpacks and
// starts /init from: cpio in the format "newc" (Linux,
// Documentation/driver-api/early-userspace/buffer-format.rst), packed by gzip.
//
//	err := initramfs.Write(w, []initramfs.File{{Name: "init", Mode: 0o755, Data: agent}})
//
// The same files give the same bytes: nothing of the time or of the host that made
// it is in the archive. All files are root's.
package initramfs

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// A File is one file of the archive.
type File struct {
	// Name is its path below the root, without a slash at the beginning. Folders
	// that it is in need not be given.
	Name string

	// Mode are its permissions, with fs.ModeDir for a folder.
	Mode fs.FileMode

	// Data is the content of a regular file.
	Data []byte

	// Link makes it a symbolic link to there.
	Link string
}

// The types of files, as in struct stat.
const (
	typeFolder  = 0o040000
	typeRegular = 0o100000
	typeLink    = 0o120000
)

const maxData = 1<<32 - 1 // bytes, by the format

// Write writes the archive of files to w, packed. What cannot be in it, every
// problem at once, is an error before anything is written.
func Write(w io.Writer, files []File) error {
	all, err := complete(files)
	if err != nil {
		return err
	}
	packed, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	c := cpio{w: bufio.NewWriter(packed)}
	for i, f := range all {
		c.write(i+1, f)
	}
	c.write(0, File{Name: "TRAILER!!!"})
	return errors.Join(c.w.Flush(), packed.Close())
}

// complete adds folders, and sorts each before what is in it.
func complete(files []File) ([]File, error) {
	all := map[string]File{}
	var errs []error
	for _, f := range files {
		_, twice := all[f.Name]
		switch {
		case !fs.ValidPath(f.Name) || f.Name == "." || strings.ContainsRune(f.Name, 0):
			errs = append(errs, fmt.Errorf("initramfs: file name %q is no path below the root", f.Name))
		case twice:
			errs = append(errs, fmt.Errorf("initramfs: file %q is there twice", f.Name))
		case f.Mode&^(fs.ModePerm|fs.ModeDir) != 0 || (f.Mode.IsDir() && (f.Data != nil || f.Link != "")) || (f.Data != nil && f.Link != ""):
			errs = append(errs, fmt.Errorf("initramfs: file %q is neither a folder nor a file nor a link", f.Name))
		case int64(len(f.Data)) > maxData:
			errs = append(errs, fmt.Errorf("initramfs: file %q has %d bytes, and the format takes %d", f.Name, len(f.Data), int64(maxData)))
		}
		all[f.Name] = f
	}
	for _, f := range files {
		for dir := path.Dir(f.Name); dir != "." && dir != "/" && len(errs) == 0; dir = path.Dir(dir) {
			if have, ok := all[dir]; ok && !have.Mode.IsDir() && have.Link == "" {
				errs = append(errs, fmt.Errorf("initramfs: file %q is in %q, which is no folder", f.Name, dir))
			} else if !ok {
				all[dir] = File{Name: dir, Mode: fs.ModeDir | 0o755}
			}
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b File) int { return cmp.Compare(a.Name, b.Name) }), errors.Join(errs...)
}

// A cpio writes one file after the other. Errors are kept by w.
type cpio struct {
	w  *bufio.Writer
	at int
}

func (c *cpio) write(inode int, f File) {
	mode, data, links := uint32(f.Mode.Perm()), f.Data, 1
	switch {
	case inode == 0: // the trailer
		mode = 0
	case f.Mode.IsDir():
		mode, links = mode|typeFolder, 2
	case f.Link != "":
		mode, data = typeLink|0o777, []byte(f.Link)
	default:
		mode |= typeRegular
	}
	const owner, group, when, major, minor, check = 0, 0, 0, 0, 0, 0
	n, _ := fmt.Fprintf(c.w, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		inode, mode, owner, group, links, when, len(data), major, minor, major, minor, len(f.Name)+1, check, f.Name)
	c.at += n
	c.pad()
	m, _ := c.w.Write(data)
	c.at += m
	c.pad()
}

func (c *cpio) pad() {
	for ; c.at%4 != 0; c.at++ {
		_ = c.w.WriteByte(0)
	}
}

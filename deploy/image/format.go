package image

import (
	"bytes"
	"context"
	"fmt"
)

// A Format is how an image holds a disk's content. A raw image may be compressed
// by gzip or zstd, which its first bytes tell. The format is not guessed
// otherwise: content of another format than the one said is refused, because a
// raw image that somebody could write to would name any file as its base.
type Format string

// The formats there are.
const (
	Raw   Format = "raw"
	QCOW2 Format = "qcow2"
)

// ParseFormat returns the format of that name.
func ParseFormat(name string) (Format, error) {
	switch f := Format(name); f {
	case Raw, QCOW2:
		return f, nil
	}
	return "", fmt.Errorf("%w: format %q is neither %s nor %s", ErrUnsupported, name, Raw, QCOW2)
}

// String returns the format's name.
func (f Format) String() string { return string(f) }

// What content turns out to be.
const (
	isQCOW2 = "qcow2"
	isGzip  = "compressed by gzip"
	isZstd  = "compressed by zstd"
)

// otherFormat names what content is, if its start tells one that is not a disk's
// own.
func otherFormat(start []byte) string {
	for _, f := range []struct{ name, magic string }{
		{isQCOW2, "QFI\xfb"}, {"vmdk", "KDMV"}, {"vhdx", "vhdxfile"}, {"vhd", "conectix"}, {"qed", "QED\x00"},
		{isGzip, "\x1f\x8b\x08"}, {isZstd, "\x28\xb5\x2f\xfd"}, {"compressed by xz", "\xfd7zXZ\x00"}, {"compressed by bzip2", "BZh"},
	} {
		if bytes.HasPrefix(start, []byte(f.magic)) {
			return f.name
		}
	}
	return ""
}

func notAs(said Format, found string) error {
	return fmt.Errorf("%w: its format was said to be %s, but it is %s", ErrFormat, said, found)
}

// Info is what the start of an image tells of it.
type Info struct {
	Stored     int64  // bytes as the source has them; below 0 where that is unknown
	Size       int64  // bytes that it needs on a disk; below 0 where that is unknown, as of compressed images
	Compressed string // "gzip" or "zstd" where the whole of a raw image is
}

// Inspect looks at an image's start and says how large a disk it needs. Its
// errors are those that [Write] has.
func Inspect(ctx context.Context, src Source, format Format) (Info, error) {
	if _, err := ParseFormat(string(format)); err != nil {
		return Info{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := src.open(ctx, false)
	if err != nil {
		return Info{}, err
	}
	defer s.Close()
	info := Info{Stored: s.size(), Size: s.size()}
	start := make([]byte, qcow2HeaderSize)
	n, err := readFull(s, start)
	if err != nil {
		return Info{}, err
	}
	switch found := otherFormat(start[:n]); {
	case format == QCOW2:
		h, err := parseQCOW2(start[:n])
		if err != nil {
			return Info{}, err
		}
		info.Size = h.size
	case found == isGzip:
		info.Size, info.Compressed = -1, "gzip"
	case found == isZstd:
		info.Size, info.Compressed = -1, "zstd"
	case found != "":
		return Info{}, notAs(format, found)
	}
	return info, nil
}

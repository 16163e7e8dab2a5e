package image

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"
)

// A Checksum is what an image, as it is served, must hash to. The zero value
// asks for nothing. [ParseChecksum] makes one that is valid.
type Checksum struct {
	Algo  string // sha256, sha512, …
	Value string // lower case hexadecimal
}

var hashes = map[string]func() hash.Hash{
	"md5": md5.New, "sha1": sha1.New, "sha224": sha256.New224, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New,
}

// ErrWeak is a checksum by an algorithm that nobody should trust.
var ErrWeak = errors.New("md5 checksums are not allowed")

// ParseChecksum reads a checksum: hexadecimal, of the algorithm named, or of the
// one that stands before it, as sha256:…, or of the one that its length tells.
// One of md5 comes with [ErrWeak], for callers that were told to allow it.
func ParseChecksum(algo, value string) (Checksum, error) {
	c := Checksum{strings.ToLower(strings.TrimSpace(algo)), strings.ToLower(strings.TrimSpace(value))}
	if before, after, named := strings.Cut(c.Value, ":"); named && c.Algo == "" {
		c = Checksum{before, after}
	}
	sum, err := hex.DecodeString(c.Value)
	for name, newHash := range hashes {
		if c.Algo == "" && newHash().Size() == len(sum) {
			c.Algo = name
		}
	}
	newHash := hashes[c.Algo]
	switch {
	case c.Algo == "":
		return Checksum{}, errors.New("the checksum has the length of no known algorithm")
	case newHash == nil:
		return Checksum{}, fmt.Errorf("checksum algorithm %q is unknown", c.Algo)
	case err != nil || newHash().Size() != len(sum):
		return Checksum{}, fmt.Errorf("the checksum is not one of %s in hexadecimal", c.Algo)
	case c.Algo == "md5":
		return c, ErrWeak
	}
	return c, nil
}

func (c Checksum) newHash() hash.Hash {
	if newHash := hashes[c.Algo]; newHash != nil {
		return newHash()
	}
	return nil
}

// verify compares with what h has seen.
func (c Checksum) verify(h hash.Hash) error {
	if got := hex.EncodeToString(h.Sum(nil)); got != c.Value {
		return &ChecksumError{Algo: c.Algo, Want: c.Value, Got: got}
	}
	return nil
}

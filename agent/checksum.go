package agent

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/ferrule/ferrule/task"
)

// A checksum is one that an agent can check.
type checksum struct {
	algo string // as Python's hashlib names it
	hex  string // lower case
}

// digits are the lengths of checksums in hexadecimal.
var digits = map[string]int{"md5": 32, "sha256": 64, "sha384": 96, "sha512": 128}

// checksum reads the one that the instance gives: image_os_hash_algo with
// image_os_hash_value, else image_checksum, alone or as algorithm:value.
func (d *Deploy) checksum(p parameters) (checksum, error) {
	c := checksum{algo: strings.ToLower(p.HashAlgo), hex: strings.ToLower(p.HashValue)}
	if c == (checksum{}) {
		c = split(p.Checksum)
	}
	switch {
	case c.algo == "" || c.hex == "":
		return c, task.ErrMissingParameter
	case c.algo == "md5" && !d.cfg.AllowMD5:
		return c, fmt.Errorf("%w: MD5 does not protect against a forged image", task.ErrInvalidParameter)
	case digits[c.algo] == 0:
		return c, fmt.Errorf("%w: no checksum by md5, sha256, sha384 or sha512", task.ErrInvalidParameter)
	case len(c.hex) != digits[c.algo]:
		return c, fmt.Errorf("%w: a %s checksum has %d hexadecimal digits, not %d", task.ErrInvalidParameter, c.algo, digits[c.algo], len(c.hex))
	}
	if _, err := hex.DecodeString(c.hex); err != nil {
		return c, fmt.Errorf("%w: not hexadecimal", task.ErrInvalidParameter)
	}
	return c, nil
}

// split reads image_checksum.
func split(text string) checksum {
	text = strings.ToLower(text)
	if algo, value, ok := strings.Cut(text, ":"); ok {
		return checksum{algo, value} // a URL of a checksum file becomes an unknown algorithm
	}
	for algo, n := range digits {
		if len(text) == n {
			return checksum{algo, text}
		}
	}
	if text == "" {
		return checksum{}
	}
	return checksum{"unknown", text}
}

// checksumField is the field that an error about the checksum is about.
func checksumField(p parameters) string {
	switch {
	case p.HashValue != "" && digits[strings.ToLower(p.HashAlgo)] == 0:
		return "image_os_hash_algo"
	case p.HashAlgo == "" && p.Checksum != "":
		return "image_checksum"
	}
	return "image_os_hash_value"
}

package chap

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// The algorithms, by their number in CHAP_A, the best first.
const (
	SHA256 = 7
	SHA1   = 6
	MD5    = 5
)

// Offer is the value of CHAP_A that names all algorithms. Many targets take the
// first that they know, and tgtd knows a 7 that is not SHA-256.
const Offer = "6,5,7"

// maxChallenge is the longest challenge in bytes.
const maxChallenge = 1024

var errBinary = errors.New("no binary value")

// Choose returns the best algorithm of an offer, or 0.
func Choose(offer string) int {
	best := 0
	for text := range strings.SplitSeq(offer, ",") {
		if n, err := strconv.Atoi(text); err == nil && newHash(n) != nil {
			best = max(best, n)
		}
	}
	return best
}

func newHash(algorithm int) hash.Hash {
	switch algorithm {
	case SHA256:
		return sha256.New()
	case SHA1:
		return sha1.New()
	case MD5:
		return md5.New()
	}
	return nil
}

// A Challenge is what one side asks of the other.
type Challenge struct {
	Algorithm int
	ID        byte
	Bytes     []byte
}

// NewChallenge returns a challenge that nobody can foresee.
func NewChallenge(algorithm int) Challenge {
	b := make([]byte, 1+32)
	rand.Read(b)
	return Challenge{algorithm, b[0], b[1:]}
}

// ParseChallenge reads CHAP_I and CHAP_C.
func ParseChallenge(algorithm int, id, challenge string) (Challenge, error) {
	n, err := strconv.ParseUint(id, 0, 8)
	if err != nil {
		return Challenge{}, fmt.Errorf("CHAP_I: %.10q is no byte", id)
	}
	b, err := Decode(challenge)
	if err != nil || len(b) == 0 || newHash(algorithm) == nil {
		return Challenge{}, fmt.Errorf("CHAP_C: %w", errBinary)
	}
	return Challenge{algorithm, byte(n), b}, nil
}

// Answer is the response that proves that its sender knows the secret.
func (c Challenge) Answer(secret string) []byte {
	h := newHash(c.Algorithm)
	h.Write([]byte{c.ID})
	h.Write([]byte(secret))
	h.Write(c.Bytes)
	return h.Sum(nil)
}

// Check reports whether a response, as CHAP_R has it, proves that. It takes the
// same time for all wrong responses.
func (c Challenge) Check(response, secret string) bool {
	b, err := Decode(response)
	return err == nil && subtle.ConstantTimeCompare(b, c.Answer(secret)) == 1
}

// Encode writes a binary value.
func Encode(b []byte) string { return "0x" + hex.EncodeToString(b) }

// Decode reads a binary value, hexadecimal or base64.
func Decode(text string) ([]byte, error) {
	if len(text) < 2 || len(text) > 2+2*maxChallenge {
		return nil, errBinary
	}
	var b []byte
	var err error
	switch strings.ToLower(text[:2]) {
	case "0x":
		digits := text[2:]
		if len(digits)%2 == 1 {
			digits = "0" + digits
		}
		b, err = hex.DecodeString(digits)
	case "0b":
		b, err = base64.StdEncoding.DecodeString(text[2:])
	default:
		err = errBinary
	}
	if err != nil {
		return nil, errBinary // without the text, which may be of a secret
	}
	return b, nil
}

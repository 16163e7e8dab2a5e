package agent

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/ferrule/ferrule/task"
)

// The rounds of crypt(3)'s SHA-256 where nothing is said, and its alphabet.
const (
	cryptRounds   = 5000
	cryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// checkRescuePassword says why nobody could log in with a password. An empty one
// is not there yet.
func checkRescuePassword(p task.Secret) error {
	if len(p) > 256 {
		return fmt.Errorf("%w: longer than 256 bytes", task.ErrInvalidParameter)
	}
	if strings.ContainsAny(string(p), "\x00\r\n") {
		return fmt.Errorf("%w: %w", task.ErrInvalidParameter, errors.New("with a line break"))
	}
	return nil
}

// cryptSalt returns a new random salt.
func cryptSalt() string {
	var b [16]byte
	rand.Read(b[:])
	for i := range b {
		b[i] = cryptAlphabet[b[i]&63]
	}
	return string(b[:])
}

// sha256Crypt hashes a password as crypt(3) does with $5$ (Ulrich Drepper, "Unix
// crypt using SHA-256 and SHA-512", 0.6): what Ironic gives agents.
func sha256Crypt(password, salt string) string {
	key, s := []byte(password), []byte(salt)
	alternate := sha256.Sum256(bytes.Join([][]byte{key, s, key}, nil)) // steps 4 to 8
	h := sha256.New()
	h.Write(key)
	h.Write(s)
	h.Write(repeated(alternate[:], len(key)))
	for n := len(key); n > 0; n >>= 1 {
		if n&1 != 0 {
			h.Write(alternate[:])
		} else {
			h.Write(key)
		}
	}
	sum := h.Sum(nil)

	p := sha256.Sum256(bytes.Repeat(key, len(key))) // steps 13 to 20
	q := sha256.Sum256(bytes.Repeat(s, 16+int(sum[0])))
	keyBytes, saltBytes := repeated(p[:], len(key)), repeated(q[:], len(s))
	for i := range cryptRounds {
		h.Reset()
		first, last := sum, keyBytes
		if i&1 != 0 {
			first, last = keyBytes, sum
		}
		h.Write(first)
		if i%3 != 0 {
			h.Write(saltBytes)
		}
		if i%7 != 0 {
			h.Write(keyBytes)
		}
		h.Write(last)
		sum = h.Sum(nil)
	}
	return "$5$" + salt + "$" + cryptText(sum)
}

// repeated returns n bytes of sum, over and over.
func repeated(sum []byte, n int) []byte {
	return bytes.Repeat(sum, n/len(sum)+1)[:n]
}

// cryptText writes a sum in crypt's own base64, which takes the bytes in threes
// from all over it (step 22).
func cryptText(sum []byte) string {
	var b strings.Builder
	put := func(v uint, chars int) {
		for range chars {
			b.WriteByte(cryptAlphabet[v&63])
			v >>= 6
		}
	}
	for i, j, k, n := 0, 10, 20, 0; n < 10; n++ {
		put(uint(sum[i])<<16|uint(sum[j])<<8|uint(sum[k]), 4)
		i, j, k = (i+21)%30, (j+21)%30, (k+21)%30
	}
	put(uint(sum[31])<<8|uint(sum[30]), 3)
	return b.String()
}

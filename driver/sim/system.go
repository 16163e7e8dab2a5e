package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

const (
	kernelMagic  = "ferrule simulated kernel\n"
	ramdiskMagic = "ferrule simulated ramdisk\n"
	imageMagic   = "ferrule simulated system\n"
	sectorSize   = 512
)

// Kernel returns a kernel that simulated machines boot, of that many bytes.
func Kernel(size int) []byte { return padded(kernelMagic, size) }

// Ramdisk returns a ramdisk with an agent that simulated machines boot, of that
// many bytes.
func Ramdisk(size int) []byte { return padded(ramdiskMagic, size) }

func padded(magic string, size int) []byte {
	b := make([]byte, max(size, len(magic)))
	copy(b, magic)
	return b
}

// Image returns a whole-disk image of that many bytes, at least 1 KiB, filled
// from seed: images of different seeds differ. Its boot record has the digest of
// the rest, so that a machine boots it only if all of it is on the disk.
func Image(size int, seed uint64) []byte {
	b := make([]byte, max(size, 2*sectorSize))
	rest := b[sectorSize:]
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	rand.NewChaCha8(key).Read(rest)
	sum := sha256.Sum256(rest)
	n := copy(b, imageMagic)
	binary.LittleEndian.PutUint64(b[n:], uint64(len(b)))
	copy(b[n+8:], sum[:])
	b[510], b[511] = 0x55, 0xaa
	return b
}

// parseImageRecord reads the size and digest that Image wrote.
func parseImageRecord(record []byte) (size int64, sum []byte, ok bool) {
	rest, ok := bytes.CutPrefix(record, []byte(imageMagic))
	if !ok {
		return 0, nil, false
	}
	size = int64(binary.LittleEndian.Uint64(rest))
	return size, rest[8 : 8+sha256.Size], size >= sectorSize
}

// Digest returns the SHA-256 of an image, as instance_info.image_os_hash_value
// wants it.
func Digest(image []byte) string { return fmt.Sprintf("%x", sha256.Sum256(image)) }

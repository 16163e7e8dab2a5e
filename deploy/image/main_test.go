package image_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/deploy/disk"
	"github.com/ferrule/ferrule/deploy/image"
)

// children are what the test binary does as a process of its own, by the value
// of FERRULE_IMAGE_CHILD.
var children = map[string]func(args []string) error{}

func TestMain(m *testing.M) {
	if child := children[os.Getenv("FERRULE_IMAGE_CHILD")]; child != nil {
		if err := child(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

const mib = 1 << 20

// noise is content of no format and without zeros in a row.
func noise(n int) []byte {
	r := rand.NewChaCha8([32]byte{1})
	data := make([]byte, n)
	r.Read(data)
	return data
}

// old is what disks hold before an image comes.
const old = 0xee

// A medium is a disk in memory; what is past its end was written wrongly.
type medium struct {
	mu      sync.Mutex
	data    []byte
	written int64
	dirty   bool
	fail    func(off int64, n int) error // of writes; nil for none
}

func (m *medium) ReadAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.NewReader(m.data).ReadAt(p, off)
}

func (m *medium) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		if err := m.fail(off, len(p)); err != nil {
			return 0, err
		}
	}
	if off < 0 || off+int64(len(p)) > int64(len(m.data)) {
		panic("write past the end of the disk")
	}
	m.written, m.dirty = m.written+int64(len(p)), true
	return copy(m.data[off:], p), nil
}

func (m *medium) Sync() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dirty = false
	return nil
}

// A sparseMedium can zero.
type sparseMedium struct{ medium }

func (m *sparseMedium) Zero(off, n int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.data[off : off+n])
	return nil
}

// newDisk returns a disk that holds old data.
func newDisk(size int) (*disk.Disk, *sparseMedium) {
	m := &sparseMedium{medium{data: bytes.Repeat([]byte{old}, size)}}
	return &disk.Disk{Device: m, Size: int64(size)}, m
}

func file(content []byte) *image.File {
	return &image.File{Content: bytes.NewReader(content), Size: int64(len(content))}
}

func sum(content []byte) image.Checksum {
	s := sha256.Sum256(content)
	return image.Checksum{Algo: "sha256", Value: hex.EncodeToString(s[:])}
}

// serve returns the address of a server for the test.
func serve(t *testing.T, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// client leaves no connections behind.
func client(t *testing.T) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

package image_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy/image"
)

// FuzzQCOW2 has images of all sorts read at random and streamed: both say the
// same, or both refuse.
func FuzzQCOW2(f *testing.F) {
	content := text(4 << 10)
	for _, q := range []qcow2{
		{version: 2, bits: 9}, {version: 3, bits: 12, shuffle: true}, {version: 3, bits: 9, compress: "zlib"}, {version: 3, bits: 12, compress: "zstd", shuffle: true}, {version: 3, bits: 14, extended: true},
	} {
		f.Add(q.build(content))
	}
	f.Fuzz(func(t *testing.T, img []byte) {
		d, m := newDisk(64 << 10)
		_, err := image.Write(t.Context(), d, file(img), image.Options{Format: image.QCOW2})
		r, readErr := image.NewQCOW2Reader(bytes.NewReader(img), int64(len(img)))
		if readErr != nil || r.Size() > d.Size {
			require.Error(t, err)
			return
		}
		got := make([]byte, r.Size())
		if _, readErr := r.ReadAt(got, 0); err == nil {
			require.NoError(t, readErr)
			require.True(t, bytes.Equal(got, m.data[:len(got)]), "streamed and read")
		}
	})
}

// FuzzCompressed has anything for a raw image.
func FuzzCompressed(f *testing.F) {
	for _, b := range [][]byte{gzipped(text(5000)), zstded(text(5000)), text(5000)} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, img []byte) {
		d, m := newDisk(64 << 10)
		_, err := image.Write(t.Context(), d, file(img), image.Options{})
		if err == nil && !bytes.HasPrefix(img, []byte{0x1f, 0x8b}) && !bytes.HasPrefix(img, []byte{0x28, 0xb5}) {
			require.Equal(t, img, m.data[:len(img)])
		}
		if err != nil && errors.Is(err, image.ErrDisk) {
			t.Fatal(err)
		}
	})
}

func FuzzParseChecksum(f *testing.F) {
	f.Add("", "sha256:00")
	f.Fuzz(func(t *testing.T, algo, value string) {
		if c, err := image.ParseChecksum(algo, value); err == nil {
			again, err := image.ParseChecksum(c.Algo, c.Value)
			require.NoError(t, err)
			require.Equal(t, c, again)
		}
	})
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-9/10", "bytes 5-9/10", "bytes 0-9/*", "bytes */10", "bytes -1-9/10", "items 0-9/10", "", "bytes +1-9/10"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, last, total, ok := image.ContentRangeForTest(s)
		if ok {
			require.True(t, 0 <= first && first <= last && last < total)
		}
	})
}

func TestContentRange(t *testing.T) {
	t.Parallel()
	for s, want := range map[string][3]int64{
		"bytes 0-9/10": {0, 9, 10}, "bytes 5-8/10": {5, 8, 10}, "bytes 9-9/10": {9, 9, 10},
		"bytes 0-10/10": {}, "bytes 0-9/*": {}, "bytes */10": {}, "items 0-9/10": {}, "": {}, "bytes 10-9/10": {}, "bytes 0--1/0": {},
	} {
		first, last, total, ok := image.ContentRangeForTest(s)
		require.Equal(t, want[2] > 0, ok, "%q", s)
		if ok {
			require.Equal(t, want, [3]int64{first, last, total}, "%q", s)
		}
	}
}

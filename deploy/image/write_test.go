package image_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy/disk"
	"github.com/ferrule/ferrule/deploy/image"
)

const diskSize = 4 * mib

// requireOn requires that the disk holds content, and behind it what it had,
// but for its last MiB.
func requireOn(t *testing.T, content, got []byte) {
	t.Helper()
	require.True(t, bytes.Equal(content, got[:len(content)]), "the image is on the disk")
	if rest := got[min(max(len(content), mib), len(got)):]; len(rest) >= mib {
		rest = rest[:len(rest)-mib]
		require.True(t, bytes.Equal(bytes.Repeat([]byte{old}, len(rest)), rest), "what is behind it is untouched")
	}
}

// requireDead requires that nothing on the disk could boot.
func requireDead(t *testing.T, got []byte) {
	t.Helper()
	require.True(t, bytes.Equal(make([]byte, mib), got[:mib]), "no boot loader and no partition table")
	require.True(t, bytes.Equal(make([]byte, mib), got[len(got)-mib:]), "no second partition table")
}

func requireUntouched(t *testing.T, got []byte) {
	t.Helper()
	require.True(t, bytes.Equal(bytes.Repeat([]byte{old}, len(got)), got), "the disk is as it was")
}

// sparse is content with holes, at its start and its end too.
func sparse(n int) []byte {
	content := make([]byte, n)
	for off := mib / 2; off+64<<10 < n; off += mib {
		copy(content[off:], noise(64<<10))
	}
	return content
}

func gzipped(content []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(content)
	w.Close()
	return b.Bytes()
}

func zstded(content []byte, options ...zstd.EOption) []byte {
	w, err := zstd.NewWriter(nil, options...)
	if err != nil {
		panic(err)
	}
	defer w.Close()
	return w.EncodeAll(content, nil)
}

func TestWrite(t *testing.T) {
	t.Parallel()
	contents := map[string][]byte{
		"a byte": {7}, "small": noise(1000), "a head": noise(mib), "more than a head": noise(mib + 1), "odd": noise(2*mib + 777),
		"sparse": sparse(3 * mib), "the whole disk": noise(diskSize), "zeros": make([]byte, 3*mib),
	}
	stored := map[string]func([]byte) []byte{
		"raw": bytes.Clone, "gzip": gzipped, "zstd": func(b []byte) []byte { return zstded(b) },
	}
	for name, content := range contents {
		for how, store := range stored {
			img := store(content)
			for _, zeroer := range []bool{true, false} {
				if how != "raw" && !zeroer {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%v", name, how, zeroer), func(t *testing.T) {
					t.Parallel()
					d, m := newDisk(diskSize)
					if !zeroer {
						d.Device = &m.medium
					}
					var done, total int64
					r, err := image.Write(t.Context(), d, file(img), image.Options{Checksum: sum(img), Progress: func(a, b int64) { done, total = a, b }})
					require.NoError(t, err)
					requireOn(t, content, m.data)
					require.False(t, m.dirty, "it is on the medium")
					require.EqualValues(t, len(content), r.Size)
					require.EqualValues(t, len(img), r.Stored)
					require.EqualValues(t, len(img), done)
					require.EqualValues(t, len(img), total)
					if name == "sparse" && zeroer {
						require.Less(t, m.written, int64(2*mib))
						require.Equal(t, r.Written, m.written)
						require.Equal(t, r.Size, r.Written+r.Skipped)
					}
				})
			}
		}
	}
}

// TestHoles has an image of 90 % holes write what it holds, on all disks that
// need no zeros written.
func TestHoles(t *testing.T) {
	t.Parallel()
	content := make([]byte, 30*mib)
	for off := 0; off < len(content); off += 10 * mib {
		copy(content[off+3*mib:], noise(mib))
	}
	for name, zeroed := range map[string]bool{"zeroed by hand": false, "known to be zeros": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, m := newDisk(len(content))
			if zeroed {
				clear(m.data)
				d.Device = &m.medium // anything zeroed would count as written
			}
			_, err := image.Write(t.Context(), d, file(content), image.Options{Zeroed: zeroed})
			require.NoError(t, err)
			requireOn(t, content, m.data)
			require.LessOrEqual(t, m.written, int64(len(content)*12/100), "3 MiB of data")
		})
	}
}

// TestSparseFile has a file with holes give what it holds, with holes at both ends,
// between data and in parts of a MiB.
func TestSparseFile(t *testing.T) {
	t.Parallel()
	for name, at := range map[string][]int{"no data": nil, "middle": {9 * mib}, "odd places": {3*mib + 777, 7*mib - 1, 20 * mib}, "end": {30*mib - 5}} {
		for _, whole := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%v", name, whole), func(t *testing.T) {
				t.Parallel()
				content := make([]byte, 30*mib)
				path := filepath.Join(t.TempDir(), "image")
				f, err := os.Create(path)
				require.NoError(t, err)
				defer f.Close()
				require.NoError(t, f.Truncate(int64(len(content))))
				for _, off := range at {
					n := copy(content[off:], noise(mib+99))
					_, err := f.WriteAt(content[off:off+n], int64(off))
					require.NoError(t, err)
				}
				src, o := &image.File{Path: path}, image.Options{Zeroed: true, Checksum: sum(content)}
				if whole {
					src, o.Checksum = &image.File{Content: f, Size: int64(len(content))}, image.Checksum{}
				}
				d, m := newDisk(len(content))
				clear(m.data)
				r, err := image.Write(t.Context(), d, src, o)
				require.NoError(t, err)
				require.True(t, bytes.Equal(content, m.data))
				require.EqualValues(t, len(content), r.Stored)
				require.Equal(t, r.Size, r.Written+r.Skipped)
				require.LessOrEqual(t, r.Written, int64(len(at)+1)*2*mib)
			})
		}
	}
}

// TestShortFile has files that end before they are said to, where a hole would be
// zeros and what is missing is not.
func TestShortFile(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{3 * mib, 3*mib + 1, 4 * mib} {
		path := filepath.Join(t.TempDir(), "image")
		require.NoError(t, os.WriteFile(path, noise(2*mib), 0o600))
		require.NoError(t, os.Truncate(path, size)) // with a hole at the end
		f, err := os.Open(path)
		require.NoError(t, err)
		defer f.Close()
		d, m := newDisk(6 * mib)
		_, err = image.Write(t.Context(), d, &image.File{Content: f, Size: 6 * mib}, image.Options{Zeroed: true})
		require.ErrorIs(t, err, image.ErrTruncated)
		requireDead(t, m.data)
	}
}

func TestWriteFails(t *testing.T) {
	t.Parallel()
	content := noise(2*mib + 5)
	wrong := bytes.Clone(content)
	wrong[len(wrong)/2] ^= 1
	broken := errors.New("medium error")
	window := zstded(make([]byte, 20*mib), zstd.WithWindowSize(32<<20))
	for name, tc := range map[string]struct {
		stored  []byte
		options image.Options
		size    int
		fail    func(off int64, n int) error
		want    error
		text    string
		dead    bool // the disk was touched
	}{
		"another content":            {stored: wrong, options: image.Options{Checksum: sum(content)}, want: image.ErrChecksum, text: "the checksum does not match: its sha256 is " + sum(wrong).Value + ", not " + sum(content).Value, dead: true},
		"a compressed other":         {stored: gzipped(wrong), options: image.Options{Checksum: sum(gzipped(content))}, want: image.ErrChecksum, dead: true},
		"too large":                  {stored: noise(diskSize + 1), want: image.ErrTooLarge, text: "the image is larger than the disk: 4194305 bytes do not fit 4194304"},
		"too large, gzip":            {stored: gzipped(make([]byte, diskSize+1)), want: image.ErrTooLarge, dead: true},
		"a bomb":                     {stored: zstded(make([]byte, 15*mib)), want: image.ErrTooLarge, dead: true},
		"empty":                      {stored: []byte{}, want: image.ErrFormat, text: "the image is empty"},
		"nothing compressed":         {stored: gzipped(nil), want: image.ErrFormat, text: "empty"},
		"damaged gzip":               {stored: gzipped(content)[:3*mib/2], want: image.ErrTruncated, dead: true},
		"flipped gzip":               {stored: flip(gzipped(content), -6), want: image.ErrFormat, dead: true},
		"flipped zstd":               {stored: flip(zstded(content), -2), want: image.ErrFormat, dead: true},
		"garbage behind":             {stored: append(gzipped(content), "garbage, and much of it"...), want: image.ErrFormat, dead: true},
		"damaged zstd":               {stored: zstded(content)[:3*mib/2], want: image.ErrTruncated, dead: true},
		"a large window":             {stored: window, size: 64 * mib, want: image.ErrUnsupported, text: "--long"},
		"qcow2 as raw":               {stored: []byte("QFI\xfb and so on"), want: image.ErrFormat, text: "its format was said to be raw, but it is qcow2"},
		"vmdk as raw":                {stored: []byte("KDMV and so on"), want: image.ErrFormat, text: "vmdk"},
		"xz":                         {stored: []byte("\xfd7zXZ\x00 and so on"), want: image.ErrFormat, text: "compressed by xz"},
		"raw as qcow2":               {stored: content, options: image.Options{Format: image.QCOW2}, want: image.ErrFormat, text: "its format was said to be qcow2, but it is something else"},
		"gzip as qcow2":              {stored: gzipped(content), options: image.Options{Format: image.QCOW2}, want: image.ErrFormat, text: "compressed by gzip"},
		"qcow2 in gzip":              {stored: gzipped([]byte("QFI\xfb and so on")), want: image.ErrUnsupported, text: "what is compressed is qcow2"},
		"gzip in gzip":               {stored: gzipped(gzipped(content)), want: image.ErrUnsupported, text: "compressed by gzip"},
		"another format":             {stored: content, options: image.Options{Format: "vmdk"}, want: image.ErrUnsupported, text: `format "vmdk" is neither raw nor qcow2`},
		"another algorithm":          {stored: content, options: image.Options{Checksum: image.Checksum{Algo: "crc32", Value: "1"}}, want: image.ErrUnsupported, text: "crc32"},
		"a disk that fails":          {stored: content, fail: func(off int64, _ int) error { return onlyAt(off, mib, broken) }, want: broken, dead: true},
		"a disk that fails at 0":     {stored: content, fail: func(off int64, n int) error { return onlyAt(off, 0, broken) }, want: broken, dead: true},
		"a disk that fails for ever": {stored: content, fail: func(int64, int) error { return broken }, want: image.ErrDisk, text: "medium error", dead: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, m := newDisk(max(tc.size, diskSize))
			m.fail = tc.fail
			_, err := image.Write(t.Context(), d, file(tc.stored), tc.options)
			require.ErrorIs(t, err, tc.want)
			require.ErrorContains(t, err, tc.text)
			if tc.dead {
				requireDead(t, m.data)
			} else {
				requireUntouched(t, m.data)
			}
		})
	}
}

// TestFlipped has one byte of an image flipped: in its head, which is the last that
// the disk gets, in its middle, and at its end. The checksum is that of the right
// image as it is stored. Nothing of such an image can boot.
func TestFlipped(t *testing.T) {
	t.Parallel()
	content := noise(2*mib + 5)
	for name, stored := range map[string][]byte{"raw": bytes.Clone(content), "gzip": gzipped(content), "zstd": zstded(content)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			right := sum(stored)
			var places []int
			for at := 0; at < mib; at += 1 + at {
				places = append(places, at, len(stored)/2+at/4, len(stored)-1-at/4)
			}
			d, m := newDisk(diskSize)
			for _, at := range append(places, mib-1, mib) {
				copy(m.data, bytes.Repeat([]byte{old}, diskSize))
				flip(stored, at)
				_, err := image.Write(t.Context(), d, file(stored), image.Options{Checksum: right})
				flip(stored, at)
				require.Error(t, err, "byte %d", at)
				if m.data[0] == old { // its compression could not even be begun with
					require.NotEqual(t, "raw", name)
					require.Less(t, at, 16)
					requireUntouched(t, m.data)
					continue
				}
				requireDead(t, m.data)
			}
			_, err := image.Write(t.Context(), d, file(stored), image.Options{Checksum: right})
			require.NoError(t, err, "as it was")
			requireOn(t, content, m.data)
		})
	}
}

func flip(b []byte, at int) []byte {
	b[(at+len(b))%len(b)] ^= 1
	return b
}

func onlyAt(off, where int64, err error) error {
	if off == where {
		return err
	}
	return nil
}

// TestDiskThatLies has disks that forget what is written to them.
func TestDiskThatLies(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]int64{"at its start": 0, "at its end": 2 * mib} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, m := newDisk(diskSize)
			d.Device = &forgetful{Device: m, from: from, to: from + mib}
			_, err := image.Write(t.Context(), d, file(noise(3*mib)), image.Options{})
			require.ErrorIs(t, err, disk.ErrVerify)
			require.ErrorIs(t, err, image.ErrDisk)
		})
	}
}

type forgetful struct {
	disk.Device
	from, to int64
}

func (f *forgetful) WriteAt(p []byte, off int64) (int, error) {
	if off >= f.from && off < f.to {
		return len(p), nil
	}
	return f.Device.WriteAt(p, off)
}

// TestCutOff requires that a disk whose writing ends at any time does not boot,
// though nobody is left to clean up.
func TestCutOff(t *testing.T) {
	t.Parallel()
	content := noise(3 * mib)
	writes := 0
	d, m := newDisk(diskSize)
	m.fail = func(int64, int) error { writes++; return nil }
	_, err := image.Write(t.Context(), d, file(content), image.Options{})
	require.NoError(t, err)
	dead := errors.New("no power")
	for n := range writes - 1 {
		d, m := newDisk(diskSize)
		at := 0
		m.fail = func(int64, int) error {
			if at++; at > n+1 {
				return dead
			}
			return nil
		}
		d.Device = &unplugged{m, func() bool { return at > n+1 }}
		_, err := image.Write(t.Context(), d, file(content), image.Options{})
		require.Error(t, err)
		require.True(t, bytes.Equal(make([]byte, mib), m.data[:mib]), "after %d writes", n)
	}
}

// An unplugged disk zeroes nothing any more.
type unplugged struct {
	*sparseMedium
	off func() bool
}

func (u *unplugged) Zero(off, n int64) error {
	u.mu.Lock()
	dead := u.off()
	u.mu.Unlock()
	if dead {
		return errors.New("no power")
	}
	return u.sparseMedium.Zero(off, n)
}

func TestCanceled(t *testing.T) {
	t.Parallel()
	why := errors.New("somebody said so")
	ctx, cancel := context.WithCancelCause(t.Context())
	d, m := newDisk(diskSize)
	m.fail = func(off int64, _ int) error {
		if off > 2*mib {
			cancel(why)
		}
		return nil
	}
	_, err := image.Write(ctx, d, file(noise(diskSize)), image.Options{})
	require.ErrorIs(t, err, why)
	requireDead(t, m.data)
}

func TestParseChecksum(t *testing.T) {
	t.Parallel()
	want := sum(nil)
	for name, tc := range map[string]struct{ algo, value, err string }{
		"named":             {"sha256", want.Value, ""},
		"in capitals":       {"SHA256", " " + string(bytes.ToUpper([]byte(want.Value))) + " ", ""},
		"by length":         {"", want.Value, ""},
		"with its name":     {"", "sha256:" + want.Value, ""},
		"another's length":  {"sha512", want.Value, "not one of sha512"},
		"no hexadecimal":    {"sha256", "z" + want.Value[1:], "not one of sha256 in hexadecimal"},
		"no algorithm's":    {"", "abcd", "length of no known algorithm"},
		"unknown algorithm": {"crc32", want.Value, `checksum algorithm "crc32" is unknown`},
		"weak":              {"", "d41d8cd98f00b204e9800998ecf8427e", "md5 checksums are not allowed"},
	} {
		got, err := image.ParseChecksum(tc.algo, tc.value)
		if tc.err != "" {
			require.ErrorContains(t, err, tc.err, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)
	}
	weak, err := image.ParseChecksum("md5", "d41d8cd98f00b204e9800998ecf8427e")
	require.ErrorIs(t, err, image.ErrWeak)
	require.Equal(t, "md5", weak.Algo)
}

package image_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy/image"
)

// A qcow2 builds images by the format's description, with all that writers of
// such images may do.
type qcow2 struct {
	version  uint32
	bits     uint   // of a cluster
	compress string // "zlib", "zstd" or "" for not
	extended bool
	shuffle  bool // clusters in the file in no order
	change   func(header []byte)
	dataLast bool // in the file, behind the tables
}

// build returns an image of a disk with that content, of which holes are left
// out.
func (q qcow2) build(disk []byte) []byte {
	be := binary.BigEndian
	cluster := 1 << q.bits
	entry := 8
	if q.extended {
		entry = 16
	}
	perTable := cluster / entry
	clusters := (len(disk) + cluster - 1) / cluster
	tables := (clusters + perTable - 1) / perTable
	l1Clusters := (tables*8 + cluster - 1) / cluster
	headerClusters := (112 + cluster - 1) / cluster
	out := make([]byte, cluster*(headerClusters+l1Clusters))
	alloc := func(data []byte) int {
		out = append(out, make([]byte, (cluster-len(out)%cluster)%cluster)...)
		off := len(out)
		out = append(out, data...)
		return off
	}
	l2 := map[int][]byte{}
	early := 0
	if q.dataLast {
		early = alloc(make([]byte, cluster*tables))
	}
	numbers := make([]int, clusters)
	for i := range numbers {
		numbers[i] = i
	}
	if q.shuffle {
		rand.New(rand.NewPCG(1, 2)).Shuffle(clusters, func(i, j int) { numbers[i], numbers[j] = numbers[j], numbers[i] })
	}
	for _, n := range numbers {
		data := make([]byte, cluster)
		copy(data, disk[n*cluster:])
		if bytes.Equal(data, make([]byte, cluster)) && n%3 > 0 {
			continue
		}
		table := l2[n/perTable]
		if table == nil {
			table = make([]byte, cluster)
			l2[n/perTable] = table
		}
		at := n % perTable * entry
		var small []byte
		if q.compress != "" {
			small = q.deflate(data)
		}
		switch {
		case bytes.Equal(data, make([]byte, cluster)):
			switch {
			case q.extended:
				be.PutUint64(table[at+8:], 0xffffffff<<32)
			case q.version > 2: // zero, with a cluster that holds something else
				be.PutUint64(table[at:], uint64(alloc(noise(cluster)))|1<<63|1)
			}
		case 0 < len(small) && len(small) < cluster:
			off := len(out)
			out = append(out, small...) // behind one another, in the middle of sectors
			sectors := (off%512+len(small)+511)/512 - 1
			shift := 62 - (q.bits - 8)
			be.PutUint64(table[at:], 1<<62|uint64(sectors)<<shift|uint64(off))
		default:
			be.PutUint64(table[at:], uint64(alloc(q.subclusters(data, table[at:])))|1<<63)
		}
	}
	for i, table := range l2 {
		off := early + i*cluster
		if q.dataLast {
			copy(out[off:], table)
		} else {
			off = alloc(table)
		}
		be.PutUint64(out[cluster*headerClusters+i*8:], uint64(off)|1<<63)
	}
	copy(out, "QFI\xfb")
	be.PutUint32(out[4:], q.version)
	be.PutUint32(out[20:], uint32(q.bits))
	be.PutUint64(out[24:], uint64(len(disk)))
	be.PutUint32(out[36:], uint32(tables))
	be.PutUint64(out[40:], uint64(cluster*headerClusters))
	if q.version == 3 {
		be.PutUint32(out[96:], 4)
		be.PutUint32(out[100:], 112)
		var features uint64
		if q.compress == "zstd" {
			features |= 8
			out[104] = 1
		}
		if q.extended {
			features |= 16
		}
		be.PutUint64(out[72:], features)
	}
	if q.change != nil {
		q.change(out)
	}
	return out
}

// subclusters marks those that are zeros as such, or as never written, and puts
// something else in the file.
func (q qcow2) subclusters(data, entry []byte) []byte {
	if !q.extended {
		return data
	}
	data = bytes.Clone(data)
	sub := len(data) / 32
	var bitmap uint64
	for i := range 32 {
		part := data[i*sub : (i+1)*sub]
		switch {
		case !bytes.Equal(part, make([]byte, sub)):
			bitmap |= 1 << i
			continue
		case i%2 == 0:
			bitmap |= 1 << (32 + i)
		}
		copy(part, noise(sub))
	}
	binary.BigEndian.PutUint64(entry[8:], bitmap)
	return data
}

func (q qcow2) deflate(data []byte) []byte {
	if q.compress == "zstd" {
		return zstdEncoder.EncodeAll(data, nil)
	}
	var b bytes.Buffer
	w := flaters.Get().(*flate.Writer)
	defer flaters.Put(w)
	w.Reset(&b)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

var (
	zstdEncoder, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstd.MinWindowSize))
	flaters        = sync.Pool{New: func() any { w, _ := flate.NewWriter(nil, flate.BestSpeed); return w }}
)

// text is content that can be compressed, with holes of all sizes.
func text(n int) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	content := make([]byte, n)
	for off := 0; off < n; {
		run := min(512*(1+r.IntN(400)), n-off)
		if r.IntN(3) > 0 {
			for i := off; i < off+run; i++ {
				content[i] = "abcdefgh"[r.IntN(8)]
			}
		}
		off += run
	}
	return content
}

func variants() map[string]qcow2 {
	all := map[string]qcow2{}
	for _, bits := range []uint{9, 12, 16, 21} {
		for _, shuffle := range []bool{false, true} {
			for _, q := range []qcow2{
				{version: 2}, {version: 3}, {version: 2, compress: "zlib"}, {version: 3, compress: "zlib"}, {version: 3, compress: "zstd"}, {version: 3, extended: true},
			} {
				if q.extended && bits < 14 || bits == 21 && (shuffle || q.version == 2) {
					continue
				}
				q.bits, q.shuffle = bits, shuffle
				all[fmt.Sprintf("v%d, %s, 2^%d, subclusters %v, shuffled %v", q.version, q.compress, bits, q.extended, shuffle)] = q
			}
		}
	}
	return all
}

func TestQCOW2(t *testing.T) {
	t.Parallel()
	for name, q := range variants() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := text(5*mib/2 + 512)
			if q.bits < 16 {
				content = text(mib/4 + 512)
			}
			img := q.build(content)
			d, m := newDisk(diskSize)
			r, err := image.Write(t.Context(), d, file(img), image.Options{Format: image.QCOW2, Checksum: sum(img)})
			require.NoError(t, err)
			requireOn(t, content, m.data)
			require.EqualValues(t, len(content), r.Size)
			require.EqualValues(t, len(img), r.Stored)

			disk, err := image.NewQCOW2Reader(bytes.NewReader(img), int64(len(img)))
			require.NoError(t, err)
			require.EqualValues(t, len(content), disk.Size())
			got := make([]byte, len(content)+1)
			n, err := disk.ReadAt(got, 0)
			require.Error(t, err, "it has an end")
			require.True(t, bytes.Equal(content, got[:n]))
			for range 20 {
				off := rand.IntN(len(content))
				part := make([]byte, 1+rand.IntN(min(len(content)-off, 50000)))
				_, err := disk.ReadAt(part, int64(off))
				require.NoError(t, err)
				require.True(t, bytes.Equal(content[off:off+len(part)], part), "%d bytes at %d", len(part), off)
			}
			info, err := image.Inspect(t.Context(), file(img), image.QCOW2)
			require.NoError(t, err)
			require.Equal(t, image.Info{Stored: int64(len(img)), Size: int64(len(content))}, info)
		})
	}
}

// TestQCOW2Ends has files that end within their last cluster, where nothing but
// zeros would be, and files that lack more.
func TestQCOW2Ends(t *testing.T) {
	t.Parallel()
	content := make([]byte, mib)
	copy(content[mib-65536:], noise(100))
	img := qcow2{version: 3, bits: 16, dataLast: true}.build(content)
	for cut, want := range map[int]error{0: nil, 65536 - 100: nil, 65536: image.ErrTruncated, 2 * 65536: image.ErrTruncated} {
		d, m := newDisk(diskSize)
		img := img[:len(img)-cut]
		_, err := image.Write(t.Context(), d, file(img), image.Options{Format: image.QCOW2})
		require.ErrorIs(t, err, want)
		r, err := image.NewQCOW2Reader(bytes.NewReader(img), int64(len(img)))
		got := make([]byte, len(content))
		if err == nil {
			_, err = r.ReadAt(got, 0)
		}
		require.ErrorIs(t, err, want)
		if want == nil {
			requireOn(t, content, m.data)
			require.True(t, bytes.Equal(content, got))
		}
	}
}

// be64 puts a number into a header.
func be64(at int, v uint64) func([]byte) {
	return func(b []byte) { binary.BigEndian.PutUint64(b[at:], v) }
}

func be32(at int, v uint32) func([]byte) {
	return func(b []byte) { binary.BigEndian.PutUint32(b[at:], v) }
}

func TestQCOW2Refused(t *testing.T) {
	t.Parallel()
	content := text(mib)
	l1, l2 := 65536, func(b []byte) int { return int(binary.BigEndian.Uint64(b[65536:]) &^ (1 << 63)) }
	for name, tc := range map[string]struct {
		change func([]byte)
		want   error
		text   string
		dead   bool
	}{
		"backing file":        {be64(8, 200), image.ErrUnsupported, "backing file", false},
		"data file":           {be64(72, 4), image.ErrUnsupported, "another file", false},
		"encrypted":           {be32(32, 1), image.ErrUnsupported, "encrypted", false},
		"encrypted by LUKS":   {be32(32, 2), image.ErrUnsupported, "encrypted", false},
		"corrupt":             {be64(72, 2), image.ErrFormat, "corrupt", false},
		"unknown feature":     {be64(72, 32), image.ErrUnsupported, "0x20", false},
		"unknown compression": {func(b []byte) { be64(72, 8)(b); b[104] = 9 }, image.ErrUnsupported, "compression type 9", false},
		"version":             {be32(4, 4), image.ErrUnsupported, "version 4", false},
		"tiny clusters":       {be32(20, 8), image.ErrFormat, "2^8", false},
		"huge clusters":       {be32(20, 22), image.ErrFormat, "2^22", false},
		"no disk":             {be64(24, 0), image.ErrFormat, "0 bytes", false},
		"negative disk":       {be64(24, 1<<63), image.ErrFormat, "bytes", false},
		"too large":           {be64(24, diskSize+1), image.ErrTooLarge, "", false},
		"far too large":       {func(b []byte) { be64(24, 1<<62)(b); be32(36, 1<<31)(b) }, image.ErrUnsupported, "", false},
		"short L1":            {be32(36, 0), image.ErrFormat, "first-level table of 0 entries", false},
		"L1 nowhere":          {be64(40, 0), image.ErrFormat, "first-level table at 0", false},
		"L1 behind the end":   {be64(40, 1<<30), image.ErrTruncated, "", false},
		"L1 unaligned":        {be64(40, 65537), image.ErrFormat, "", false},
		"L1 entry":            {be64(l1, 1), image.ErrFormat, "entry 0 of the first-level table is 0x1", false},
		"L2 behind the end":   {be64(l1, 1<<40), image.ErrTruncated, "", false},
		"L2 entry":            {func(b []byte) { be64(l2(b), 1<<57)(b) }, image.ErrFormat, "entry 0 of table 0", false},
		"data behind the end": {func(b []byte) { be64(l2(b), 1<<40)(b) }, image.ErrTruncated, "", true},
		"compressed garbage":  {func(b []byte) { be64(l2(b), 1<<62|65536)(b) }, image.ErrFormat, "a compressed cluster", true},
		"overlapping": {func(b []byte) {
			for i := range 16 {
				be64(l2(b)+i*8, 1<<62|63<<54|uint64(65536+i))(b)
			}
		}, image.ErrFormat, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			img := qcow2{version: 3, bits: 16, change: tc.change}.build(content)
			d, m := newDisk(diskSize)
			_, err := image.Write(t.Context(), d, file(img), image.Options{Format: image.QCOW2})
			require.ErrorIs(t, err, tc.want)
			require.ErrorContains(t, err, tc.text)
			if tc.dead {
				requireDead(t, m.data)
			} else {
				requireUntouched(t, m.data)
			}
			r, err := image.NewQCOW2Reader(bytes.NewReader(img), int64(len(img)))
			if err == nil && tc.want != image.ErrTooLarge {
				_, err = r.ReadAt(make([]byte, mib), 0)
			}
			if tc.want != image.ErrTooLarge {
				require.ErrorIs(t, err, tc.want)
			}
		})
	}
	for n := range 105 {
		_, err := image.NewQCOW2Reader(bytes.NewReader(qcow2{version: 3, bits: 16}.build(content)[:n]), int64(n))
		require.Error(t, err)
	}
}

// TestQCOW2Flipped has one byte of an image flipped, everywhere that tells
// something and here and there in the data.
func TestQCOW2Flipped(t *testing.T) {
	t.Parallel()
	content := text(mib / 2)
	img := qcow2{version: 3, bits: 12, compress: "zlib"}.build(content)
	right := sum(img)
	for at := 0; at < len(img); at += 1 + at/9 {
		bad := bytes.Clone(img)
		bad[at] ^= 0x10
		d, m := newDisk(2 * mib)
		_, err := image.Write(t.Context(), d, file(bad), image.Options{Format: image.QCOW2, Checksum: right})
		require.Error(t, err, "byte %d", at)
		if m.data[0] != old {
			requireDead(t, m.data)
		}
	}
}

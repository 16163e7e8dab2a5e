package fat_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot/fat"
	"github.com/ferrule/ferrule/task"
)

// A volume reads an image by what its parameter block says, as firmware does.
type volume struct {
	data           []byte
	clusterSize    int
	table          []byte
	root, clusters []byte
	bits           int
}

func open(t *testing.T, img *fat.Image) *volume {
	var buf bytes.Buffer
	n, err := img.WriteTo(&buf)
	require.NoError(t, err)
	require.Equal(t, img.Size(), n)
	b := buf.Bytes()
	require.Len(t, b, int(n))
	le := binary.LittleEndian
	require.EqualValues(t, 512, le.Uint16(b[11:]))
	sectors := int(le.Uint16(b[19:])) + int(le.Uint32(b[32:]))
	require.Equal(t, len(b)/512, sectors)
	table := int(le.Uint16(b[22:])) * 512
	rootAt := 512 + 2*table
	dataAt := rootAt + int(le.Uint16(b[17:]))*32
	v := &volume{data: b, clusterSize: int(b[13]) * 512, table: b[512 : 512+table], root: b[rootAt:dataAt], clusters: b[dataAt:], bits: 12}
	require.Equal(t, v.table, b[512+table:rootAt], "both tables are the same")
	clusters := len(v.clusters) / v.clusterSize
	if clusters >= 4085 {
		v.bits = 16
	}
	require.Less(t, clusters, 65525)
	require.GreaterOrEqual(t, len(v.table)*8/v.bits, clusters+2)
	require.Equal(t, fmt.Sprintf("FAT%d   ", v.bits), string(b[54:62]))
	return v
}

func (v *volume) next(c int) int {
	if v.bits == 16 {
		return int(binary.LittleEndian.Uint16(v.table[2*c:]))
	}
	pair := int(binary.LittleEndian.Uint16(v.table[c*3/2:]))
	if c%2 == 1 {
		return pair >> 4
	}
	return pair & 0xfff
}

func (v *volume) chain(c int) []byte {
	var b []byte
	for end := 1<<v.bits - 8; c >= 2 && c < end; c = v.next(c) {
		b = append(b, v.clusters[(c-2)*v.clusterSize:][:v.clusterSize]...)
	}
	return b
}

// walk collects files below a folder, and the label.
func (v *volume) walk(entries []byte, dir string, files map[string]string) {
	var long []uint16
	for ; len(entries) >= 32 && entries[0] != 0; entries = entries[32:] {
		e := entries[:32]
		if e[11] == 0x0f {
			var part []uint16
			for _, at := range []int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
				part = append(part, binary.LittleEndian.Uint16(e[at:]))
			}
			long = append(part, long...)
			continue
		}
		base, ext := strings.TrimRight(string(e[:8]), " "), strings.TrimRight(string(e[8:11]), " ")
		name := base
		if ext != "" {
			name += "." + ext
		}
		if len(long) > 0 {
			if i := slices.Index(long, 0); i >= 0 {
				long = long[:i]
			}
			name = string(utf16.Decode(long))
			long = nil
		}
		first, size := int(binary.LittleEndian.Uint16(e[26:])), int(binary.LittleEndian.Uint32(e[28:]))
		switch {
		case e[11]&0x08 != 0:
			files["label"] = string(e[:11])
		case base == "." || base == "..":
		case e[11]&0x10 != 0:
			v.walk(v.chain(first), dir+name+"/", files)
		default:
			files[dir+name] = string(v.chain(first)[:size])
		}
	}
}

func (v *volume) files() map[string]string {
	files := map[string]string{}
	v.walk(v.root, "", files)
	return files
}

func repeat(s string, n int) []byte { return bytes.Repeat([]byte(s), n/len(s)+1)[:n] }

var sets = []struct {
	name   string
	config fat.Config
}{
	{"floppy", fat.Config{Label: "IR-VFD-DEV", Size: fat.Floppy, Files: []fat.File{fat.Bytes("parameters.txt", []byte("a=b\n"))}}},
	{"empty", fat.Config{Size: fat.Floppy}},
	{"nothing at all", fat.Config{}},
	{"loaders", fat.Config{Label: "ESP", Files: []fat.File{
		fat.Bytes("EFI/BOOT/BOOTX64.EFI", repeat("shim", 930_001)),
		fat.Bytes("EFI/BOOT/grubx64.efi", repeat("grub", 2_300_000)),
		fat.Bytes("EFI/almalinux/grub.cfg", []byte("exit")),
		fat.Bytes("empty", nil),
	}}},
	{"FAT16", fat.Config{Size: 20 << 20, Files: []fat.File{fat.Bytes("big", repeat("0123456789", 300<<10)), fat.Bytes("next", []byte("next"))}}},
	{"names", fat.Config{Files: []fat.File{
		fat.Bytes("a long name with blanks.text", []byte("1")), fat.Bytes("a long name with others.text", []byte("2")),
		fat.Bytes("ünï/çödé", []byte("3")), fat.Bytes(".disk/info", []byte("4")), fat.Bytes("exactly13char", []byte("5")),
		fat.Bytes("two.dots.txt", []byte("6")), fat.Bytes("𝔘nicode", []byte("7")),
	}}},
}

func TestFilesReadBack(t *testing.T) {
	for _, s := range sets {
		t.Run(s.name, func(t *testing.T) {
			img, err := fat.New(s.config)
			require.NoError(t, err)
			if s.config.Size != 0 {
				require.Equal(t, s.config.Size, img.Size())
			}
			want := map[string]string{}
			if s.config.Label != "" {
				want["label"] = fmt.Sprintf("%-11s", s.config.Label)
			}
			for _, f := range s.config.Files {
				data := make([]byte, f.Size)
				_, err := f.Content.ReadAt(data, 0)
				require.True(t, err == nil || err == io.EOF)
				want[f.Name] = string(data)
			}
			got := open(t, img).files()
			require.ElementsMatch(t, slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(got)))
			for name := range want {
				require.True(t, want[name] == got[name], name)
			}
			again, err := fat.New(s.config)
			require.NoError(t, err)
			require.True(t, bytes.Equal(open(t, img).data, open(t, again).data), "the same bytes each time")
		})
	}
}

func TestFloppyGeometry(t *testing.T) {
	img, err := fat.New(fat.Config{Size: fat.Floppy})
	require.NoError(t, err)
	b := open(t, img).data
	// As DOS formats a 1440 KiB disk: 1 sector a cluster, 2 tables of 9 sectors, 224
	// entries, 2880 sectors, media F0, 18 sectors a track, 2 heads.
	require.Equal(t, []byte{0, 2, 1, 1, 0, 2, 224, 0, 0x40, 0x0b, 0xf0, 9, 0, 18, 0, 2, 0}, b[11:28])
}

func TestAsLargeAsNeeded(t *testing.T) {
	for _, size := range []int64{1, 512, 100 << 10, 2 << 20, 16 << 20, 17 << 20, 600 << 20} {
		img, err := fat.New(fat.Config{Files: []fat.File{{Name: "a", Content: strings.NewReader(""), Size: size}}})
		require.NoError(t, err)
		require.Greater(t, img.Size(), size)
		require.Less(t, img.Size(), size+size/100+300<<10, "not much more than the file")
	}
}

func TestRefused(t *testing.T) {
	one := func(name string) fat.Config { return fat.Config{Files: []fat.File{fat.Bytes(name, nil)}} }
	many := fat.Config{}
	for i := range 600 {
		many.Files = append(many.Files, fat.Bytes(fmt.Sprintf("F%d", i), nil))
	}
	for name, c := range map[string]fat.Config{
		"label":       {Label: "much too long"},
		"label case":  {Label: "a.b"},
		"size":        {Size: 1000},
		"too small":   {Size: 8192},
		"huge":        {Size: 4 << 30},
		"no room":     {Size: fat.Floppy, Files: []fat.File{fat.Bytes("x", make([]byte, 1500<<10))}},
		"absolute":    one("/x"),
		"up":          one("../x"),
		"none":        one(""),
		"star":        one("a*"),
		"control":     one("a\n"),
		"dot":         one("a."),
		"blank":       one(" a/b"),
		"long":        one(strings.Repeat("x", 256)),
		"twice":       {Files: []fat.File{fat.Bytes("a", nil), fat.Bytes("A", nil)}},
		"in a file":   {Files: []fat.File{fat.Bytes("a", nil), fat.Bytes("a/b", nil)}},
		"no content":  {Files: []fat.File{{Name: "a", Size: 1}}},
		"size of one": {Files: []fat.File{{Name: "a", Size: -1, Content: strings.NewReader("")}}},
		"root full":   many,
	} {
		_, err := fat.New(c)
		require.ErrorIs(t, err, task.ErrInvalidParameter, name)
	}
	_, err := fat.New(fat.Config{Label: "***", Files: []fat.File{fat.Bytes("a*", nil), fat.Bytes("b.", nil)}})
	require.Len(t, task.Problems(err), 3, "all at once")
}

// TestPeers has dosfstools check the images, and mtools read them.
func TestPeers(t *testing.T) {
	if os.Getenv("FERRULE_LAB") != "1" {
		t.Skip("needs dosfstools and mtools: set FERRULE_LAB=1 to run it")
	}
	for _, s := range sets {
		t.Run(s.name, func(t *testing.T) {
			img, err := fat.New(s.config)
			require.NoError(t, err)
			path := filepath.Join(t.TempDir(), "image")
			f, err := os.Create(path)
			require.NoError(t, err)
			_, err = img.WriteTo(f)
			require.NoError(t, err)
			require.NoError(t, f.Close())
			out, err := exec.Command("fsck.vfat", "-n", "-v", path).CombinedOutput()
			require.NoError(t, err, "%s", out)
			for _, file := range s.config.Files {
				if strings.ContainsFunc(file.Name, func(r rune) bool { return r > '~' }) {
					continue // mtools has its own idea of character sets
				}
				got, err := exec.Command("mtype", "-i", path, "::"+file.Name).Output()
				require.NoError(t, err, file.Name)
				want := make([]byte, file.Size)
				_, _ = file.Content.ReadAt(want, 0)
				require.True(t, bytes.Equal(want, got), file.Name)
			}
		})
	}
}

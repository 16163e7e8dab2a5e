package initramfs_test

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent/ramdisk/initramfs"
)

func Example() {
	var b bytes.Buffer
	err := initramfs.Write(&b, []initramfs.File{
		{Name: "init", Mode: 0o755, Data: []byte("\x7fELF...")},
		{Name: "etc/agent.conf", Mode: 0o644, Data: []byte("{}\n")},
		{Name: "bin", Link: "usr/bin"},
	})
	for _, line := range list(&b) {
		fmt.Println(line)
	}
	fmt.Println(err)
	// Output:
	// 120777 bin 7
	// 040755 etc 0
	// 100644 etc/agent.conf 3
	// 100755 init 7
	// <nil>
}

// list reads an archive as the kernel does: mode, name and size.
func list(r io.Reader) []string {
	unpacked, err := gzip.NewReader(r)
	if err != nil {
		return []string{err.Error()}
	}
	data, err := io.ReadAll(unpacked)
	if err != nil {
		return []string{err.Error()}
	}
	var all []string
	for at := 0; ; {
		var mode, size, name int
		if n, err := fmt.Sscanf(string(data[at+14:at+22])+" "+string(data[at+54:at+62])+" "+string(data[at+94:at+102]), "%x %x %x", &mode, &size, &name); n != 3 || string(data[at:at+6]) != "070701" {
			return append(all, fmt.Sprintf("at %d: %v", at, err))
		}
		text := strings.TrimRight(string(data[at+110:at+110+name]), "\x00")
		if text == "TRAILER!!!" {
			return all
		}
		all = append(all, fmt.Sprintf("%06o %s %d", mode, text, size))
		at = (at+110+name+3)&^3 + (size+3)&^3
	}
}

func TestSameFilesSameBytes(t *testing.T) {
	t.Parallel()
	files := []initramfs.File{{Name: "a", Data: []byte("1")}, {Name: "b/c", Data: []byte("2")}, {Name: "b", Mode: fs.ModeDir | 0o700}}
	var one, other bytes.Buffer
	require.NoError(t, initramfs.Write(&one, files))
	files[0], files[2] = files[2], files[0]
	require.NoError(t, initramfs.Write(&other, files))
	require.Equal(t, one.Bytes(), other.Bytes())
	require.Equal(t, []string{"100000 a 1", "040700 b 0", "100000 b/c 1"}, list(&one))
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	for says, files := range map[string][]initramfs.File{
		"no path below":               {{Name: "../x"}},
		`"/init" is no path`:          {{Name: "/init"}},
		"twice":                       {{Name: "a"}, {Name: "a"}},
		"neither":                     {{Name: "a", Data: []byte("x"), Link: "b"}},
		"is no folder":                {{Name: "a", Data: []byte("x")}, {Name: "a/b"}},
		`"b" is neither a folder nor`: {{Name: "b", Mode: fs.ModeDevice}},
	} {
		var b bytes.Buffer
		require.ErrorContains(t, initramfs.Write(&b, files), says)
		require.Zero(t, b.Len())
	}
}

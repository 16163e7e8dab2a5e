package extent_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/internal/extent"
)

func Example() {
	list := extent.List{{Off: 0, Size: 5, From: strings.NewReader("hello")}, {Off: 6, Size: 5, From: strings.NewReader("world, and more")}}
	fmt.Printf("%q\n", read(list))
	// Output: "hello\x00world"
}

func read(l extent.List) []byte {
	data, err := io.ReadAll(io.NewSectionReader(l, 0, l.Size()))
	if err != nil {
		return []byte(err.Error())
	}
	return data
}

var list = extent.List{
	{Off: 2, Size: 3, From: strings.NewReader("abc")},
	{Off: 5, Size: 0, From: strings.NewReader("")},
	{Off: 5, Size: 2, From: strings.NewReader("de")},
	{Off: 9, Size: 1, From: strings.NewReader("f")},
	{Off: 12, Size: 2},
}

const whole = "\x00\x00abcde\x00\x00f\x00\x00\x00\x00"

func TestReadAtEveryRange(t *testing.T) {
	require.NoError(t, list.Check())
	require.EqualValues(t, len(whole), list.Size())
	require.NoError(t, iotest.TestReader(io.NewSectionReader(list, 0, list.Size()), []byte(whole)))
	for off := range len(whole) {
		for n := range len(whole) + 2 {
			p := bytes.Repeat([]byte{0xff}, n)
			got, err := list.ReadAt(p, int64(off))
			want := whole[off:min(off+n, len(whole))]
			require.Equal(t, want, string(p[:got]))
			if got < n {
				require.Equal(t, io.EOF, err)
			} else {
				require.NoError(t, err)
			}
		}
	}
}

func TestReadAtBeyond(t *testing.T) {
	_, err := list.ReadAt(make([]byte, 1), list.Size())
	require.Equal(t, io.EOF, err)
	_, err = list.ReadAt(make([]byte, 1), -1)
	require.Error(t, err)
	_, err = extent.List(nil).ReadAt(make([]byte, 1), 0)
	require.Equal(t, io.EOF, err)
}

func TestShortSource(t *testing.T) {
	short := extent.List{{Size: 5, From: strings.NewReader("abc")}, {Off: 5, Size: 1}}
	p := make([]byte, 6)
	n, err := short.ReadAt(p, 0)
	require.Equal(t, 3, n)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestCheck(t *testing.T) {
	for name, l := range map[string]extent.List{
		"overlap":   {{Off: 0, Size: 3}, {Off: 2, Size: 3}},
		"order":     {{Off: 4, Size: 1}, {Off: 0, Size: 1}},
		"negative":  {{Off: -1, Size: 1}},
		"bad size":  {{Off: 0, Size: -1}},
		"both of 2": {{Off: 0, Size: 1}, {Off: 1, Size: -1}},
	} {
		require.Error(t, l.Check(), name)
	}
}

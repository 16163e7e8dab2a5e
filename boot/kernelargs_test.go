package boot_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/task"
)

func ExampleKernelArgs_Render() {
	args, err := boot.Params{"ipa-api-url": "http://192.0.2.1:6385", "note": "rack 7"}.Args()
	if err != nil {
		fmt.Println(err)
		return
	}
	args = append(boot.KernelArgs{{Key: "nofb", Flag: true}}, args...)
	fmt.Println(args.Render())

	_, err = boot.Params{"note": "a\nboot"}.Args()
	fmt.Println(err)
	// Output:
	// nofb ipa-api-url=http://192.0.2.1:6385 note="rack 7" <nil>
	// invalid: kernel argument "note" has a newline or another control character, which would end the line
}

func TestParseKernelArgs(t *testing.T) {
	for line, want := range map[string]boot.KernelArgs{
		"":                       nil,
		"   ":                    nil,
		"quiet":                  {{Key: "quiet", Flag: true}},
		" a=1  b ":               {{Key: "a", Value: "1"}, {Key: "b", Flag: true}},
		"a=":                     {{Key: "a"}},
		"root=UUID=1-2 rw":       {{Key: "root", Value: "UUID=1-2"}, {Key: "rw", Flag: true}},
		`n="a b" c`:              {{Key: "n", Value: "a b"}, {Key: "c", Flag: true}},
		`"n=a b" c`:              {{Key: "n", Value: "a b"}, {Key: "c", Flag: true}},
		`n=""`:                   {{Key: "n"}},
		"console=ttyS0 n=\u00e4": {{Key: "console", Value: "ttyS0"}, {Key: "n", Value: "\u00e4"}},
	} {
		got, err := boot.ParseKernelArgs(line)
		require.NoError(t, err, line)
		require.Empty(t, cmp.Diff(want, got), line)
	}
}

func TestParseKernelArgsRefuses(t *testing.T) {
	for line, says := range map[string]string{
		`a="b c`:      "quote without end",
		`"a b"`:       "has a blank",
		`""`:          "has no name",
		"=x":          "has no name",
		`a=b"c d"`:    "has a quote in its value",
		`a"b` + `"=1`: "has a blank, a quote",
		"a=b\tc":      "control character",
		"a=b\nboot":   "control character",
	} {
		_, err := boot.ParseKernelArgs(line)
		require.ErrorIs(t, err, task.ErrInvalidParameter, line)
		require.ErrorContains(t, err, says, line)
	}
}

func TestRenderKernelArgs(t *testing.T) {
	line, err := boot.KernelArgs{{Key: "a", Value: "1"}, {Key: "flag", Flag: true}, {Key: "s", Value: " x "}, {Key: "e"}}.Render()
	require.NoError(t, err)
	require.Equal(t, `a=1 flag s=" x " e=`, line)

	// The kernel takes the second byte of à for a space.
	line, err = boot.KernelArgs{{Key: "town", Value: "Cefal\u00f9"}, {Key: "via", Value: "\u00e0"}}.Render()
	require.NoError(t, err)
	require.Equal(t, "town=Cefal\u00f9 via=\"\u00e0\"", line)
	_, err = boot.KernelArgs{{Key: "\u00e0", Flag: true}}.Render()
	require.ErrorIs(t, err, task.ErrInvalidParameter)
}

func TestRenderKernelArgsReportsAll(t *testing.T) {
	line, err := boot.KernelArgs{
		{Key: "", Value: "x"}, {Key: "ok", Value: "1"}, {Key: "a b", Flag: true}, {Key: `a"`, Flag: true}, {Key: "a=b", Flag: true},
		{Key: "q", Value: `"`}, {Key: "n", Value: "\n"}, {Key: "nel", Value: "\u0085"}, {Key: "ls", Value: "\u2028"}, {Key: "del\x7f", Flag: true},
	}.Render()
	require.Equal(t, "ok=1", line, "what is right is rendered all the same")
	problems := task.Problems(err)
	require.Len(t, problems, 9)
	for _, p := range problems {
		require.ErrorIs(t, p, task.ErrInvalidParameter)
		require.NotContains(t, p.Error(), "\n")
	}
}

func TestParamsArgs(t *testing.T) {
	args, err := boot.Params{"b": "2", "a": "1"}.Args()
	require.NoError(t, err)
	require.Equal(t, boot.KernelArgs{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}}, args)
	args, err = boot.Params(nil).Args()
	require.NoError(t, err)
	require.Empty(t, args)
	_, err = boot.Params{"a": "\x00", "": "1", "ok": "1"}.Args()
	require.Len(t, task.Problems(err), 2)
}

// What renders is parsed as it was, and what is parsed renders to the same.
func FuzzKernelArgs(f *testing.F) {
	for _, line := range []string{"", "quiet", `a=1 b="x y" c=`, `n="`, "=x", "a=b\x00", `a=b"c d"`, " \u0085", "\xff=\xfe "} {
		f.Add(line, "key", "value of "+line)
	}
	f.Add("", `ke"y`, "x")
	f.Add("", "k=", "")
	roundTrip := func(t *testing.T, args boot.KernelArgs) {
		line, err := args.Render()
		require.NoError(t, err)
		require.False(t, strings.ContainsAny(line, "\r\n\x00"), "%q", line)
		again, err := boot.ParseKernelArgs(line)
		require.NoError(t, err, "%q", line)
		require.Empty(t, cmp.Diff(args, again), "%q", line)
	}
	f.Fuzz(func(t *testing.T, line, key, value string) {
		args, err := boot.ParseKernelArgs(line)
		if err == nil {
			roundTrip(t, args)
		} else {
			require.ErrorIs(t, err, task.ErrInvalidParameter)
		}
		args = boot.KernelArgs{{Key: key, Value: value}, {Key: key, Flag: true}}
		if _, err := args.Render(); err == nil {
			roundTrip(t, args)
		}
	})
}

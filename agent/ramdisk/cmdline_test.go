package ramdisk_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent/ramdisk"
)

func ExampleParseCommandLine() {
	params := ramdisk.ParseCommandLine(`nofb root_device="model=big disk" ipa-api-url=http://192.0.2.1:6385 ipa-debug=1`)
	fmt.Println(params["ipa-api-url"])
	fmt.Println(params["root_device"])
	_, ok := params["nofb"]
	fmt.Println(ok)
	// Output:
	// http://192.0.2.1:6385
	// model=big disk
	// true
}

func TestParseCommandLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]map[string]string{
		"":                      {},
		" \t\n":                 {},
		"a=1 b  c=\n":           {"a": "1", "b": "", "c": ""},
		"a=1 a=2":               {"a": "2"},
		`a="x y" b`:             {"a": "x y", "b": ""},
		`"a=x y" b`:             {"a": "x y", "b": ""},
		`a=x" y"z`:              {"a": `x" y"z`},
		`a="open until the end`: {"a": "open until the end"},
		"a=b=c":                 {"a": "b=c"},
		"=x":                    {"=x": ""},
		"a -- b":                {"a": "", "b": ""},
		`"" "`:                  {},
		`a="`:                   {"a": ""},
	} {
		require.Equal(t, want, ramdisk.ParseCommandLine(in), "%q", in)
	}
}

func FuzzParseCommandLine(f *testing.F) {
	for _, s := range []string{"", `a=1 b="c d" "e=f g"`, `"`, `a="`, "=", `""="" x`, "a\x00b=\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for name, value := range ramdisk.ParseCommandLine(s) {
			require.NotEmpty(t, name)
			require.Contains(t, s, name)
			require.Contains(t, s, value)
		}
	})
}

package loader_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/loader"
	"github.com/ferrule/ferrule/task"
)

func Example() {
	args := boot.KernelArgs{{Key: "ipa-api-url", Value: "http://192.0.2.1:6385"}, {Key: "quiet", Flag: true}, {Key: "note", Value: "rack 7"}}
	fmt.Println(loader.Check(args, loader.Syslinux, loader.GRUB))
	fmt.Println("linux " + loader.GRUBWords("/boot/vmlinuz", args))

	args[2].Value = "it's rack 7"
	fmt.Println(loader.Check(args, loader.Syslinux, loader.GRUB))
	fmt.Println(loader.Check(args, loader.IPXE))
	// Output:
	// <nil>
	// linux '/boot/vmlinuz' 'ipa-api-url=http://192.0.2.1:6385' 'quiet' 'note=rack 7'
	// invalid: kernel argument "note" has a ' or \, which grub would not hand over as it is
	// <nil>
}

// TestRules has, for each kind of argument, the rules that refuse it; "all" for what
// no loader can do anything about.
func TestRules(t *testing.T) {
	rules := map[string]loader.Rule{"syslinux": loader.Syslinux, "mboot": loader.Mboot, "grub": loader.GRUB, "ipxe": loader.IPXE}
	value := func(v string) boot.KernelArg { return boot.KernelArg{Key: "k", Value: v} }
	flag := func(k string) boot.KernelArg { return boot.KernelArg{Key: k, Flag: true} }
	for name, c := range map[string]struct {
		arg     boot.KernelArg
		refused string
	}{
		"plain":                {value("v"), ""},
		"empty":                {value(""), ""},
		"words":                {value("a b"), ""},
		"flag":                 {flag("quiet"), ""},
		"a shell's words":      {value("$x; y#y | `z` * <> %default%"), ""},
		"letter":               {value("\u00e4"), ""},
		"newline":              {value("a\nb"), "all"},
		"double quote":         {value(`"`), "all"},
		"initrd":               {boot.KernelArg{Key: "initrd", Value: "x"}, "all"},
		"initrd flag":          {flag("initrd"), "all"},
		"initrd inside":        {value("--initrd=x"), "all"},
		"dtb":                  {boot.KernelArg{Key: "dtb", Value: "x"}, "all"},
		"BOOT_IMAGE":           {boot.KernelArg{Key: "BOOT_IMAGE", Value: "x"}, "syslinux"},
		"blank first":          {value(" a"), "syslinux"},
		"blank last":           {value("a "), "syslinux"},
		"blanks":               {value("a  b"), "syslinux ipxe"},
		"hyphens":              {value("a --- b"), "mboot"},
		"hyphens alone":        {flag("---"), "mboot"},
		"hyphens named":        {boot.KernelArg{Key: "----"}, "mboot"},
		"two hyphens":          {flag("--"), ""},
		"quote":                {value("it's"), "grub"},
		"backslash":            {value(`\`), "grub"},
		"second half of a a0":  {value("voil\u00e0"), "grub"},
		"a setting":            {value("${net0/mac}"), "ipxe"},
		"or":                   {value("a || shell"), "ipxe"},
		"end of a command":     {value("a ; shell"), "ipxe"},
		"a comment":            {value("a #b"), "ipxe"},
		"a comment's flag":     {flag("#b"), "ipxe"},
		"several at once, one": {value("it's  \\"), "syslinux grub ipxe"},
	} {
		for of, rule := range rules {
			err := loader.Check(boot.KernelArgs{c.arg}, rule)
			if c.refused != "all" && !strings.Contains(c.refused, of) {
				require.NoError(t, err, "%s: %s", name, of)
				continue
			}
			require.ErrorIs(t, err, task.ErrInvalidParameter, "%s: %s", name, of)
			require.Len(t, task.Problems(err), 1, "%s: %s", name, of)
		}
	}
}

func TestCheckReportsAll(t *testing.T) {
	args := boot.KernelArgs{{Key: "initrd", Flag: true}, {Key: "good", Value: "x"}, {Key: "", Value: "x"}, {Key: "k", Value: "it's  two"}}
	require.Len(t, task.Problems(loader.Check(args, loader.Syslinux, loader.GRUB)), 3, "one an argument")
	require.Len(t, task.Problems(loader.Check(args)), 2)
	require.NoError(t, loader.Check(nil, loader.IPXE))
}

func TestCheckLength(t *testing.T) {
	require.NoError(t, loader.CheckLength(2047))
	require.ErrorIs(t, loader.CheckLength(2048), task.ErrInvalidParameter)
}

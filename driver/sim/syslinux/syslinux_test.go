package syslinux_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver/sim/syslinux"
)

func Example() {
	e, err := syslinux.Parse("default boot\nlabel boot\n  kernel ::n1/kernel\n  append initrd=::n1/ramdisk quiet\n  ipappend 2\n")
	fmt.Println(e.Kernel, e.Initrd(), err)
	fmt.Println(e.CommandLine("01-52-54-00-00-00-01"))
	// Output:
	// ::n1/kernel ::n1/ramdisk <nil>
	// BOOT_IMAGE=::n1/kernel initrd=::n1/ramdisk quiet BOOTIF=01-52-54-00-00-00-01
}

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want syslinux.Entry
		fail string
	}{
		"local":        {text: "DEFAULT local\nPROMPT 0\nLABEL local\n LOCALBOOT -1\n", want: syslinux.Entry{Local: true}},
		"of two":       {text: "default b\nlabel a\nkernel x\nlabel b\nkernel y\nappend z\n", want: syslinux.Entry{Kernel: "y", Append: "z"}},
		"own initrd":   {text: "default a\nlabel a\nlinux x\nappend z\ninitrd i", want: syslinux.Entry{Kernel: "x", Append: "initrd=i z"}},
		"sysappend":    {text: "default a\nlabel a\nkernel x\nsysappend 2", want: syslinux.Entry{Kernel: "x", BOOTIF: true}},
		"not BOOTIF":   {text: "default a\nlabel a\nkernel x\nipappend 1", want: syslinux.Entry{Kernel: "x"}},
		"nothing":      {fail: "no default"},
		"no label":     {text: "default a\nkernel x\n", fail: `no label "a"`},
		"another":      {text: "default a\nlabel b\nkernel x\n", fail: `no label "a"`},
		"nothing in a": {text: "default a\nlabel a\nappend x\n", fail: `label "a" has no kernel`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := syslinux.Parse(c.text)
			if c.fail != "" {
				require.ErrorContains(t, err, c.fail)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("default boot\nlabel boot\n  kernel k\n  append initrd=r a=b\n  ipappend 2\n")
	f.Add("default local\nlabel local\n  localboot -1\n")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := syslinux.Parse(text)
		if err == nil && e.Kernel == "" && !e.Local {
			t.Fatalf("nothing to start in %+v", e)
		}
		_, _ = e.Initrd(), e.CommandLine("x")
	})
}

package pxe_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/task"
)

func TestHostileArgs(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"it's", `a=\`, `a="b\"`, "---", "--- tboot", `k="a --- b"`, "a\nboot", "a\rb", "a\tb", "a\x00b", `a="b`, `k="a  b"`, `k=" a"`, `k="a "`, "k=voil\u00e0", "BOOT_IMAGE=x",
		"initrd=other", "initrd", "a=--initrd=x", "dtb=y", "BOOTIF=x", strings.Repeat("x", 2000),
	} {
		s := newSite(t)
		tk := s.task(t, "n1")
		tk.Node.DriverInfo["kernel_append_params"] = line
		require.ErrorIs(t, s.boot.PrepareRamdisk(t.Context(), tk, nil), task.ErrInvalidParameter, "%q", line)
		require.Empty(t, s.left(), "%q", line)
		if len(line) < 1000 {
			require.ErrorIs(t, s.boot.Validate(t.Context(), tk), task.ErrInvalidParameter, "%q", line)
		}
	}
	// What means something to a shell, a template or iPXE means nothing here.
	const strange = `a={{ROOT}} b=((x)) c=${net0/mac} d=$root e=;reboot f=a|b g=#x h="x # y; z" i=|| j=<> k=* l=%default --`
	s := newSite(t)
	tk := s.task(t, "n1")
	tk.Node.DriverInfo["kernel_append_params"] = strange
	require.NoError(t, s.boot.Validate(t.Context(), tk))
	require.NoError(t, s.boot.PrepareRamdisk(t.Context(), tk, nil))
	require.Contains(t, s.pxelinux(t, "", tk.Ports[0].Address).line, strange)
	require.Subset(t, args(t, s.grub(t, tk.Ports[0].Address).line), args(t, strange))
}

// FuzzKernelArgs checks that both loaders hand over what was asked for, or that
// it was refused.
func FuzzKernelArgs(f *testing.F) {
	for _, s := range []string{"a=b", "a='b'", `a=\`, "a= ; reboot", "a=---", "k=a  b", "a=#", "#=x", "a=\u00a0", "---=", "a=--- x"} {
		k, v, _ := strings.Cut(s, "=")
		f.Add(k, v)
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		s := newSite(t)
		tk := s.task(t, "n1")
		if err := s.boot.PrepareRamdisk(t.Context(), tk, boot.Params{key: value}); err != nil {
			require.ErrorIs(t, err, task.ErrInvalidParameter)
			require.Empty(t, s.left())
			return
		}
		mac := tk.Ports[0].Address
		bios, uefi := args(t, s.pxelinux(t, "", mac).line), args(t, s.grub(t, mac).line)
		require.Equal(t, bios, uefi)
		require.Contains(t, bios, key+"="+value+" false")
	})
}

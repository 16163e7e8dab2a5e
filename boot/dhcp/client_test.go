package dhcp_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/task"
)

func TestClientOf(t *testing.T) {
	t.Parallel()
	for number, want := range map[uint16]string{
		0: "bios x86_64 by tftp", 6: "uefi i386 by tftp", 7: "uefi x86_64 by tftp", 9: "uefi x86_64 by tftp",
		10: "uefi arm by tftp", 11: "uefi aarch64 by tftp", 15: "uefi i386 by http", 16: "uefi x86_64 by http",
		18: "uefi arm by http", 19: "uefi aarch64 by http", 27: "uefi riscv64 by tftp", 28: "uefi riscv64 by http",
	} {
		c, ok := dhcp.ClientOf(number)
		require.True(t, ok, number)
		require.Equal(t, want, c.String(), number)
	}
	for _, number := range []uint16{1, 2, 12, 31, 65535} {
		_, ok := dhcp.ClientOf(number)
		require.False(t, ok, number)
	}
}

func TestParseArch(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]dhcp.Arch{
		"x86_64": dhcp.X8664, "AMD64": dhcp.X8664, " i686 ": dhcp.I386, "arm64": dhcp.ARM64, "aarch64": dhcp.ARM64, "armv7l": dhcp.ARM32, "riscv64": dhcp.RISCV64,
	} {
		got, err := dhcp.ParseArch(s)
		require.NoError(t, err)
		require.Equal(t, want, got, s)
	}
	_, err := dhcp.ParseArch("vax")
	require.ErrorIs(t, err, task.ErrInvalidParameter)
	require.ErrorContains(t, err, `"vax"`)
	require.ErrorContains(t, err, "aarch64")
}

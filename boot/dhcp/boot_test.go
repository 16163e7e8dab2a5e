package dhcp_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/task"
)

func TestBootCheck(t *testing.T) {
	t.Parallel()
	good := aBoot()
	good.Firmware, good.Arch = task.UEFI, dhcp.X8664
	require.NoError(t, good.Check())
	require.NoError(t, new(dhcp.Boot).Check(), "nothing to boot")

	tftp := func(url string) dhcp.Boot {
		return dhcp.Boot{IPv4: dhcp.Files{Loaders: map[dhcp.Client]string{uefi: url}}}
	}
	http := func(url string) dhcp.Boot {
		return dhcp.Boot{IPv4: dhcp.Files{Loaders: map[dhcp.Client]string{uefiHTTP: url}}}
	}
	script := func(url string) dhcp.Boot { return dhcp.Boot{IPv4: dhcp.Files{Script: url}} }
	script6 := func(url string) dhcp.Boot { return dhcp.Boot{IPv6: dhcp.Files{Script: url}} }
	for _, row := range []struct {
		name string
		boot dhcp.Boot
		want string
	}{
		{"an HTTP loader for TFTP", tftp("http://192.0.2.1/x"), "IPv4.Loaders[uefi x86_64 by tftp]"},
		{"a TFTP loader for HTTP", http("tftp://192.0.2.1/x"), "no URL of http or https"},
		{"no URL", tftp("snponly.efi"), "give the whole URL"},
		{"no file", tftp("tftp://192.0.2.1/"), "tftp://host/file"},
		{"a port", tftp("tftp://192.0.2.1:69/x"), "leave out port"},
		{"a name where firmware needs an address", tftp("tftp://boot.example/x"), "firmware needs an address"},
		{"a file that does not fit", tftp("tftp://192.0.2.1/" + strings.Repeat("x", 128)), "room for 127"},
		{"a URL that does not fit", script("http://h/" + strings.Repeat("x", 250)), "more than the 255"},
		{"a blank", script("http://h/a b"), "without blanks"},
		{"a newline", script("http://h/a\nb"), "without blanks"},
		{"a quote", script(`http://h/"`), "without blanks"},
		{"a user", script("http://u:secret@h/x"), "every machine on the network could read"},
		{"IPv6 over IPv4", script("http://[2001:db8::1]/x"), "the other version of IP"},
		{"IPv4 over IPv6", script6("http://192.0.2.1/x"), "the other version of IP"},
		{"a kind that does not exist", dhcp.Boot{IPv4: dhcp.Files{Loaders: map[dhcp.Client]string{{Arch: dhcp.ARM64, Firmware: task.BIOS, Transport: dhcp.TFTP}: "tftp://192.0.2.1/x"}}}, "no machine calls itself that"},
		{"a boot mode", dhcp.Boot{Firmware: "coreboot"}, "set it to bios or uefi"},
		{"an architecture by another name", dhcp.Boot{Arch: "amd64"}, "use what ParseArch returns"},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := row.boot.Check()
			require.ErrorIs(t, err, task.ErrInvalidParameter)
			require.ErrorContains(t, err, row.want)
			require.NotContains(t, err.Error(), "secret")
			require.Len(t, task.Problems(err), 1)
		})
	}

	bad := dhcp.Boot{Firmware: "x", Arch: "y", IPv4: dhcp.Files{Script: "z", Loaders: map[dhcp.Client]string{uefi: ""}}, IPv6: dhcp.Files{Script: "z"}}
	require.Len(t, task.Problems(bad.Check()), 5, "every problem at once")
	require.NoError(t, (&dhcp.Boot{IPv6: dhcp.Files{Loaders: map[dhcp.Client]string{uefi: "tftp://boot.example/x"}, Script: "https://boot.example/y"}}).Check(), "names over IPv6")
}

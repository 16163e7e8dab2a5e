package tftp

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

func TestParseRequest(t *testing.T) {
	many := strings.Repeat("o\x001\x00", 100)
	for _, test := range []struct {
		name, packet string
		want         request
		code         uint16
		refused      string
	}{
		{name: "plain", packet: "\x00\x01a/b\x00octet\x00", want: request{name: "a/b"}},
		{name: "mode in capitals", packet: "\x00\x01a\x00OcTeT\x00", want: request{name: "a"}},
		{name: "options", packet: "\x00\x01a\x00octet\x00BLKSIZE\x001468\x00tsize\x000\x00", want: request{"a", []option{{"blksize", "1468"}, {"tsize", "0"}}}},
		{name: "option without value", packet: "\x00\x01a\x00octet\x00tsize\x000\x00blksize\x00", want: request{"a", []option{{"tsize", "0"}}}},
		{name: "option cut off", packet: "\x00\x01a\x00octet\x00tsize\x000\x00blk", want: request{"a", []option{{"tsize", "0"}}}},
		{name: "value cut off", packet: "\x00\x01a\x00octet\x00tsize\x000", want: request{name: "a"}},
		{name: "padded with zeros", packet: "\x00\x01a\x00octet\x00tsize\x000\x00\x00\x00\x00\x00", want: request{"a", []option{{"tsize", "0"}}}},
		{name: "empty value", packet: "\x00\x01a\x00octet\x00tsize\x00\x00", want: request{"a", []option{{"tsize", ""}}}},
		{name: "write", packet: "\x00\x02a\x00octet\x00", code: codeAccess, refused: "read-only"},
		{name: "netascii", packet: "\x00\x01a\x00netascii\x00", code: codeIllegal, refused: "octet"},
		{name: "mail", packet: "\x00\x01a\x00mail\x00", code: codeIllegal, refused: "octet"},
		{name: "no mode", packet: "\x00\x01a\x00", code: codeIllegal, refused: "without mode"},
		{name: "mode cut off", packet: "\x00\x01a\x00octet", code: codeIllegal, refused: "without mode"},
		{name: "no name", packet: "\x00\x01\x00octet\x00", code: codeIllegal, refused: "without file name"},
		{name: "nothing", packet: "\x00\x01", code: codeIllegal, refused: "without file name"},
		{name: "name cut off", packet: "\x00\x01abc", code: codeIllegal, refused: "without file name"},
		{name: "too long", packet: "\x00\x01" + strings.Repeat("a", 600) + "\x00octet\x00", code: codeIllegal, refused: "512"},
		{name: "100 options that fit", packet: "\x00\x01a\x00octet\x00" + many, want: request{"a", nil}},
		{name: "other opcode", packet: "\x00\x09a\x00octet\x00", code: codeIllegal, refused: "no such operation"},
		{name: "empty", packet: "", code: codeIllegal, refused: "no such operation"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseRequest([]byte(test.packet))
			if test.refused != "" {
				var r *refusal
				require.ErrorAs(t, err, &r)
				require.ErrorContains(t, r, test.refused)
				require.Equal(t, test.code, r.code)
				return
			}
			require.NoError(t, err)
			if strings.Contains(test.packet, many) {
				require.Len(t, got.options, 100)
				got.options = nil
			}
			require.Empty(t, cmp.Diff(test.want, got, cmp.AllowUnexported(request{}, option{})))
		})
	}
}

func TestNegotiate(t *testing.T) {
	base := terms{block: 512, window: 1, timeout: time.Second}
	with := func(block, window int, timeout time.Duration, oack ...string) terms {
		return terms{block, window, timeout, []byte("\x00\x06" + strings.Join(oack, "\x00") + "\x00")}
	}
	for _, test := range []struct {
		name    string
		options []option
		want    terms
	}{
		{"none", nil, base},
		{"all", []option{{"blksize", "1468"}, {"tsize", "0"}, {"timeout", "3"}, {"windowsize", "16"}},
			with(1468, 16, 3*time.Second, "blksize", "1468", "tsize", "70000", "timeout", "3", "windowsize", "16")},
		{"unknown", []option{{"multicast", ""}, {"utimeout", "1000"}, {"tsize", "0"}}, with(512, 1, time.Second, "tsize", "70000")},
		{"smallest block", []option{{"blksize", "8"}}, with(8, 1, time.Second, "blksize", "8")},
		{"largest block", []option{{"blksize", "65464"}}, with(65464, 1, time.Second, "blksize", "65464")},
		{"block too large", []option{{"blksize", "65465"}}, with(65464, 1, time.Second, "blksize", "65464")},
		{"block too small", []option{{"blksize", "7"}}, base},
		{"block of nothing", []option{{"blksize", "0"}}, base},
		{"block negative", []option{{"blksize", "-1"}}, base},
		{"block of words", []option{{"blksize", "big"}, {"blksize", ""}, {"blksize", "0x200"}, {"blksize", "1e3"}, {"blksize", " 512"}}, base},
		{"number without end", []option{{"blksize", strings.Repeat("9", 300)}}, base},
		{"window too large", []option{{"windowsize", "65535"}}, with(512, maxWindow, time.Second, "windowsize", "64")},
		{"window of nothing", []option{{"windowsize", "0"}}, base},
		{"timeout out of range", []option{{"timeout", "0"}, {"timeout", "31"}, {"timeout", "256"}}, base},
		{"longest timeout", []option{{"timeout", "30"}}, with(512, 1, 30*time.Second, "timeout", "30")},
		{"twice", []option{{"blksize", "600"}, {"blksize", "1000"}, {"tsize", "0"}, {"tsize", "0"}}, with(600, 1, time.Second, "blksize", "600", "tsize", "70000")},
		{"nonsense, then sense", []option{{"blksize", "no"}, {"blksize", "600"}}, with(600, 1, time.Second, "blksize", "600")},
		{"wrong tsize", []option{{"tsize", "123"}}, with(512, 1, time.Second, "tsize", "70000")},
		{"tsize of words", []option{{"tsize", "?"}}, base},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := new(Server).negotiate(test.options, 70000)
			require.Empty(t, cmp.Diff(test.want, got, cmp.AllowUnexported(terms{})))
		})
	}
	got := (&Server{MaxBlockSize: 1400}).negotiate([]option{{"blksize", "1468"}}, 0)
	require.Equal(t, 1400, got.block)
	require.Equal(t, 7*time.Second, (&Server{Timeout: 7 * time.Second}).negotiate(nil, 0).timeout)
}

func TestPath(t *testing.T) {
	long := strings.Repeat("n", 255)
	for _, test := range []struct {
		name     string
		prefixes []string
		want     string // empty: refused
	}{
		{name: "x", want: "x"},
		{name: "/x", want: "x"},
		{name: "//x", want: "x"},
		{name: "/tftpboot/x", want: "x"},
		{name: "tftpboot/x", want: "x"},
		{name: "//tftpboot//x", want: "x"},
		{name: "/tftpboot/tftpboot/x", want: "tftpboot/x"},
		{name: "/tftpbootx", want: "tftpbootx"},
		{name: "./a//b/./c", want: "a/b/c"},
		{name: "pxelinux.cfg/01-52-54-00-aa-bb-cc", want: "pxelinux.cfg/01-52-54-00-aa-bb-cc"},
		{name: "52:54:00:aa:bb:cc.conf", want: "52:54:00:aa:bb:cc.conf"},
		{name: "..x/x..y/...", want: "..x/x..y/..."},
		{name: "Ünïcode", want: "Ünïcode"},
		{name: long, want: long},
		{name: "/srv/b/x", prefixes: []string{"/srv/a", "srv/b/"}, want: "x"},
		{name: "/tftpboot/x", prefixes: []string{}, want: "tftpboot/x"},
		{name: "/x", prefixes: []string{"/"}, want: "x"},
		{name: "../x"},
		{name: "/tftpboot/../../etc/passwd"},
		{name: "a/../b"},
		{name: "a/.."},
		{name: ".."},
		{name: "."},
		{name: "/"},
		{name: "//"},
		{name: `a\b`},
		{name: `..\..\x`},
		{name: `C:\boot.ini`},
		{name: "C:/boot.ini"},
		{name: "/c:x"},
		{name: "a\nb"},
		{name: "a\x7fb"},
		{name: "a\u0085b"},
		{name: "\xff\xfe"},
		{name: long + "n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := (&Server{Prefixes: test.prefixes}).path(test.name)
			require.Equal(t, test.want, got)
			require.Equal(t, test.want == "", err != nil)
		})
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte("\x00\x01/tftpboot/pxelinux.0\x00octet\x00tsize\x000\x00blksize\x001408\x00"))
	f.Add([]byte("\x00\x02x\x00octet\x00"))
	f.Add([]byte("\x00\x01..\\x\x00octet\x00windowsize\x0099999999999999999999\x00"))
	var s Server
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRequest(b)
		if err != nil {
			packet := err.(*refusal).packet()
			require.Equal(t, uint16(opError), opcode(packet))
			require.Less(t, len(packet), 64)
			return
		}
		tm := s.negotiate(r.options, 1<<40)
		require.True(t, tm.block >= minBlock && tm.block <= maxBlock)
		require.True(t, tm.window >= 1 && tm.window <= maxWindow)
		require.True(t, tm.timeout >= time.Second && tm.timeout <= maxTimeout*time.Second)
		require.Less(t, len(tm.oack), 128)
		if name, err := s.path(r.name); err == nil {
			require.True(t, utf8.ValidString(name) && !strings.Contains("/"+name+"/", "/../") && !strings.ContainsAny(name, "\\\x00") && name[0] != '/', name)
		}
	})
}

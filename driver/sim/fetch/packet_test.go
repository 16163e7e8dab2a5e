package fetch

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParsePacketRefuses(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"", "\x00", "\x00\x03\x00", "\x00\x05\x00", // short
		"\x00\x01f\x00octet\x00", "\x00\x04\x00\x01", "\x01\x03\x00\x01", // not for a reader
		"\x00\x06ab", "\x00\x06a\x00b", "\x00\x06\x00x\x00", "\x00\x06a\x001\x00A\x002\x00", "\x00\x06a\x00\x00\x00", // options
	} {
		_, err := parsePacket([]byte(raw))
		require.ErrorIs(t, err, errPacket, "%q", raw)
	}
}

func TestReadRequest(t *testing.T) {
	t.Parallel()
	require.Equal(t, "\x00\x01a/b\x00octet\x00tsize\x000\x00blksize\x001432\x00timeout\x001\x00",
		string(readRequest("a/b", new(Client).offer())))
}

// A packet that parses is one that says the same when it is written again.
func FuzzParsePacket(f *testing.F) {
	for _, seed := range []string{
		"\x00\x03\x00\x01data", "\x00\x03\xff\xff", "\x00\x05\x00\x01File not found\x00", "\x00\x05\x00\x08", "\x00\x06blksize\x001432\x00TSIZE\x00123\x00",
		"\x00\x06\x00\x00", "\x00\x06a\x00\x00", "\x00\x04\x00\x01",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := parsePacket(raw)
		if err != nil {
			return
		}
		again := binary.BigEndian.AppendUint16(nil, p.op)
		switch p.op {
		case opData:
			again = append(binary.BigEndian.AppendUint16(again, p.block), p.data...)
			require.Equal(t, raw, again)
			return
		case opError:
			require.NotContains(t, p.err.Message, "\x00")
			again = errorPacket(p.err.Code, p.err.Message)
		case opAcknowledge:
			for name, value := range p.options {
				require.Equal(t, strings.ToLower(name), name)
				again = append(again, name+"\x00"+value+"\x00"...)
			}
		}
		q, err := parsePacket(again)
		require.NoError(t, err)
		require.Equal(t, p, q)
	})
}

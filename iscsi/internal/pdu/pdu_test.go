package pdu_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/iscsi/internal/pdu"
)

// Two PDUs go over a wire.
func Example() {
	var wire bytes.Buffer
	b := pdu.Batch{HeaderDigest: true, DataDigest: true}
	ping := pdu.New(pdu.NopOut, pdu.Final, 7)
	b.Add(&ping, []byte("hello"))
	b.Add(&ping, nil)
	b.Flush(&wire)

	r := pdu.NewReader(&wire, 8192)
	r.HeaderDigest, r.DataDigest = true, true
	for {
		h, err := r.Next()
		if err != nil {
			fmt.Println(err)
			return
		}
		data, _ := r.Data()
		fmt.Printf("task %d: %q\n", h.ITT(), data)
	}
	// Output:
	// task 7: "hello"
	// task 7: ""
	// EOF
}

func TestRoundTrip(t *testing.T) {
	for _, digests := range []bool{false, true} {
		for _, into := range []bool{false, true} {
			t.Run(fmt.Sprintf("digests %t, into %t", digests, into), func(t *testing.T) {
				var wire bytes.Buffer
				b := pdu.Batch{HeaderDigest: digests, DataDigest: digests}
				var want [][]byte
				for n := range 300 {
					h := pdu.New(pdu.DataOut, pdu.Final, uint32(n))
					want = append(want, bytes.Repeat([]byte{byte(n)}, n*n%9000))
					b.Add(&h, want[n])
				}
				size := b.Size()
				require.NoError(t, b.Flush(&wire))
				require.Equal(t, size, wire.Len())
				require.Zero(t, b.Size())

				r := pdu.NewReader(iotest.HalfReader(&wire), 9000)
				r.HeaderDigest, r.DataDigest = digests, digests
				for n := range want {
					h, err := r.Next()
					require.NoError(t, err)
					require.Equal(t, uint32(n), h.ITT())
					if n%7 == 3 {
						continue // whoever does not want the data goes on
					}
					got := make([]byte, h.DataLen())
					if into {
						err = r.DataInto(got)
					} else {
						got, err = r.Data()
					}
					require.NoError(t, err)
					require.True(t, bytes.Equal(want[n], got))
				}
				_, err := r.Next()
				require.Equal(t, io.EOF, err)
			})
		}
	}
}

func TestEveryFlippedBitIsSeen(t *testing.T) {
	var wire bytes.Buffer
	b := pdu.Batch{HeaderDigest: true, DataDigest: true}
	h := pdu.New(pdu.DataOut, pdu.Final, 1)
	b.Add(&h, []byte("some data"))
	require.NoError(t, b.Flush(&wire))
	for n := range wire.Len() {
		bad := bytes.Clone(wire.Bytes())
		bad[n] ^= 4
		r := pdu.NewReader(bytes.NewReader(bad), 1<<16)
		r.HeaderDigest, r.DataDigest = true, true
		_, err := r.Next()
		if err == nil {
			_, err = r.Data()
		}
		require.Error(t, err, "byte %d", n)
	}
}

func TestReaderRefuses(t *testing.T) {
	h := pdu.New(pdu.DataOut, 0, 1)
	h.SetDataLen(8193)
	_, err := pdu.NewReader(bytes.NewReader(h[:]), 8192).Next()
	require.ErrorIs(t, err, pdu.ErrProtocol)

	_, err = pdu.NewReader(bytes.NewReader(h[:20]), 8192).Next()
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)

	h.SetDataLen(100)
	r := pdu.NewReader(bytes.NewReader(h[:]), 8192)
	_, err = r.Next()
	require.NoError(t, err)
	_, err = r.Data()
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestText(t *testing.T) {
	var p pdu.Pairs
	p.Add("TargetName", "iqn.2026-01.test:a")
	p.Add("TargetAddress", "[::1]:3260,1")
	p.Add("TargetAddress", "127.0.0.1:3260,1")
	got, err := pdu.ParseText(p.Bytes())
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(p, got))

	for name, text := range map[string]string{
		"no key":     "=x\x00",
		"no value":   "Foo\x00",
		"twice":      "A=1\x00A=2\x00",
		"space":      "A B=1\x00",
		"long key":   strings.Repeat("K", 64) + "=1\x00",
		"no end":     strings.Repeat("K=", pdu.MaxText),
		"other byte": "K\xff=1\x00",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pdu.ParseText([]byte(text))
			require.ErrorIs(t, err, pdu.ErrProtocol)
		})
	}
}

func TestNumber(t *testing.T) {
	for text, want := range map[string]int{"0": 0, "512": 512, "0x200": 512, "0XfF": 255, "": -1, "-1": -1, "1_0": -1, "0b11": -1, "0o7": -1, "70000": -1, "x": -1} {
		n, err := pdu.Number(text, 0, 65535)
		if want < 0 {
			require.Error(t, err, text)
			continue
		}
		require.NoError(t, err, text)
		require.Equal(t, want, n, text)
	}
}

func TestMeet(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"MaxBurstLength", "16777215", "262144"},
		{"MaxBurstLength", "4096", "4096"},
		{"FirstBurstLength", "0x1000", "4096"},
		{"MaxOutstandingR2T", "8", "1"},
		{"InitialR2T", "No", "Yes"},
		{"ImmediateData", "No", "No"},
		{"DefaultTime2Wait", "2", "2"},
		{"DefaultTime2Retain", "20", "0"},
		{"ErrorRecoveryLevel", "2", "0"},
		{"MaxConnections", "4", "1"},
		{"DataPDUInOrder", "No", "Yes"},
		{"MaxRecvDataSegmentLength", "65536", ""},
	} {
		l := pdu.DefaultLimits()
		got, known, err := l.Meet(c.key, c.value)
		require.NoError(t, err, c.key)
		require.True(t, known, c.key)
		require.Equal(t, c.want, got, c.key)
		_, _, err = l.Meet(c.key, "perhaps")
		require.ErrorIs(t, err, pdu.ErrProtocol, c.key)
	}
	l := pdu.DefaultLimits()
	_, known, err := l.Meet("X-com.example", "1")
	require.NoError(t, err)
	require.False(t, known)
}

func FuzzReader(f *testing.F) {
	h := pdu.New(pdu.DataIn, 0, 1)
	h.SetDataLen(5)
	f.Add(append(h[:], "hello\x00\x00\x00"...), false, false)
	f.Add(append(h[:], "hello\x00\x00\x00\x01\x02\x03\x04"...), true, true)
	f.Fuzz(func(t *testing.T, wire []byte, header, data bool) {
		r := pdu.NewReader(bytes.NewReader(wire), 8192)
		r.HeaderDigest, r.DataDigest = header, data
		for n := 0; ; n++ {
			h, err := r.Next()
			if err != nil {
				return
			}
			if n%2 == 0 {
				err = r.DataInto(make([]byte, h.DataLen()))
			} else {
				_, err = r.Data()
			}
			if err != nil {
				return
			}
		}
	})
}

func FuzzParseText(f *testing.F) {
	f.Add([]byte("HeaderDigest=CRC32C,None\x00MaxRecvDataSegmentLength=8192\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := pdu.ParseText(b)
		if err != nil {
			return
		}
		again, err := pdu.ParseText(p.Bytes())
		require.NoError(t, err)
		require.Equal(t, p, again)
		l := pdu.DefaultLimits()
		for _, x := range p {
			_, _, _ = l.Meet(x.Key, x.Value)
		}
		require.Positive(t, min(l.MaxBurst, l.FirstBurst, l.MaxSend, l.MaxR2T))
	})
}

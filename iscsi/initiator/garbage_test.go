package initiator_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/iscsi/initiator"
	"github.com/ferrule/ferrule/iscsi/internal/pdu"
	"github.com/ferrule/ferrule/iscsi/iscsitest"
)

// With digests no garbled byte gets through: the disk is right, or there is an error.
func TestGarbledBytes(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			s := iscsitest.New(t, iscsitest.Options{Pipe: true, Limits: asked})
			c := piped(s)
			c.HeaderDigest, c.DataDigest = true, true
			d := open(t, c)
			r := rand.New(rand.NewPCG(seed, seed))
			var mu sync.Mutex
			s.Wire.Garble(func(_ bool, p []byte) {
				mu.Lock()
				defer mu.Unlock()
				if len(p) > 0 && r.IntN(400) == 0 {
					p[r.IntN(len(p))] ^= byte(1 + r.IntN(255))
				}
			})
			want := random(4 << 20)
			if _, err := d.WriteAt(want, 0); err == nil {
				requireContent(t, s.Disk, 0, want)
			}
			s.Wire.Garble(nil)
		})
	}
}

// A scripted target logs the initiator in and then says whatever it is given, PDU
// by PDU as the initiator sends something.
type scripted struct {
	conns sync.WaitGroup
	hasty bool // hangs up after an answer, but for one that loggedIn gives
}

func (s *scripted) dial(answer func(n int, h *pdu.Header) []byte) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		s.conns.Go(func() {
			defer theirs.Close()
			r := pdu.NewReader(theirs, 64<<10)
			for n := 0; ; n++ {
				h, err := r.Next()
				if err != nil {
					return
				}
				if _, err := r.Data(); err != nil {
					return
				}
				b := answer(n, h)
				if b == nil {
					return
				}
				if _, err := theirs.Write(b); err != nil || s.hasty && !bytes.Equal(b, loggedIn(h)) {
					return
				}
			}
		})
		return ours, nil
	}
}

// loggedIn answers a login PDU with consent to whatever it asks for.
func loggedIn(h *pdu.Header) []byte {
	r := pdu.New(pdu.LoginResponse, h.Flags(), h.ITT())
	r.SetWindow(1, 64)
	var b bytes.Buffer
	var batch pdu.Batch
	batch.Add(&r, nil)
	_ = batch.Flush(&b)
	return b.Bytes()
}

// FuzzTarget has a target that answers garbage once it is logged in to: Open ends,
// with an error or a disk, in bounded memory, and Close ends as well.
func FuzzTarget(f *testing.F) {
	ok := pdu.New(pdu.Response, pdu.Final, 1)
	ok.SetStatSN(1)
	f.Add(ok[:])
	in := pdu.New(pdu.DataIn, pdu.Final|pdu.HasStatus, 1)
	in.SetStatSN(1)
	in.SetDataLen(36)
	f.Add(append(bytes.Clone(in[:]), make([]byte, 36)...))
	for _, op := range []pdu.Opcode{pdu.R2T, pdu.NopIn, pdu.Async, pdu.Reject, pdu.TaskResponse, pdu.LogoutResponse} {
		h := pdu.New(op, pdu.Final, 1)
		f.Add(h[:])
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		s := scripted{hasty: true}
		defer s.conns.Wait()
		d, err := initiator.Open(t.Context(), initiator.Config{Portal: "192.0.2.1", Target: "t", RecoveryTime: -1, Dial: s.dial(func(_ int, h *pdu.Header) []byte {
			if h.Opcode() == pdu.Login {
				return loggedIn(h)
			}
			return wire[:len(wire):len(wire)]
		})})
		if err == nil {
			_ = d.Close()
		}
	})
}

// FuzzLogin is the same for the login itself.
func FuzzLogin(f *testing.F) {
	h := pdu.New(pdu.LoginResponse, 0x81, 0)
	text := []byte("AuthMethod=None\x00")
	h.SetDataLen(len(text))
	f.Add(append(bytes.Clone(h[:]), text...))
	f.Fuzz(func(t *testing.T, wire []byte) {
		s := scripted{hasty: true}
		defer s.conns.Wait()
		_, err := initiator.Discover(t.Context(), initiator.Config{Portal: "192.0.2.1", Dial: s.dial(func(int, *pdu.Header) []byte { return wire[:len(wire):len(wire)] })})
		require.Error(t, err)
	})
}

// What a target must not do ends the session; with nothing to go back to, the call
// fails and says why.
func TestProtocolErrors(t *testing.T) {
	answer := func(op pdu.Opcode, change func(h *pdu.Header)) func(*pdu.Header) []byte {
		return func(q *pdu.Header) []byte {
			h := pdu.New(op, pdu.Final, q.ITT())
			h.SetWindow(1, 64)
			change(&h)
			return append(h[:], make([]byte, h.DataLen())...)
		}
	}
	for name, do := range map[string]func(*pdu.Header) []byte{
		"no such task":         answer(pdu.Response, func(h *pdu.Header) { h.SetITT(99); h.SetStatSN(1) }),
		"status out of turn":   answer(pdu.Response, func(h *pdu.Header) { h.SetStatSN(7) }),
		"failed at the target": answer(pdu.Response, func(h *pdu.Header) { h.SetStatSN(1); h[2] = 1 }),
		"more than was asked":  answer(pdu.DataIn, func(h *pdu.Header) { h.SetDataLen(100) }),
		"at another place":     answer(pdu.DataIn, func(h *pdu.Header) { h.SetDataLen(4); h.SetOffset(8) }),
		"asks for a read":      answer(pdu.R2T, func(h *pdu.Header) { h.SetDesired(512) }),
		"rejects":              answer(pdu.Reject, func(h *pdu.Header) { h[2] = 4 }),
		"unknown":              answer(0x3e, func(*pdu.Header) {}),
		"too long":             answer(pdu.NopIn, func(h *pdu.Header) { h.SetDataLen(1 << 20) }),
		"drops":                answer(pdu.Async, func(h *pdu.Header) { h.SetStatSN(1); h[36] = 2 }),
	} {
		t.Run(name, func(t *testing.T) {
			var s scripted
			defer s.conns.Wait()
			_, err := initiator.Open(t.Context(), initiator.Config{Portal: "192.0.2.1", Target: "t", Dial: s.dial(func(_ int, h *pdu.Header) []byte {
				if h.Opcode() == pdu.Login {
					return loggedIn(h)
				}
				return do(h)
			})})
			require.Error(t, err)
			require.NotErrorIs(t, err, io.EOF)
			if name != "drops" {
				require.ErrorContains(t, err, "protocol error")
			}
		})
	}
}

// A target that says that it has all, having asked for nothing, is not believed.
func TestTargetThatTakesNothing(t *testing.T) {
	s := iscsitest.New(t, iscsitest.Options{Pipe: true, Limits: asked})
	var lie bool
	c := piped(s)
	c.Dial = func(ctx context.Context, n, a string) (net.Conn, error) {
		conn, err := s.Dial(ctx, n, a)
		return &lying{Conn: conn, lie: &lie}, err
	}
	d := open(t, c)
	lie = true
	_, err := d.WriteAt(make([]byte, 1<<20), 0)
	require.ErrorIs(t, err, initiator.ErrShort)
}

// A lying connection makes a request for data an answer that all is well.
type lying struct {
	net.Conn
	lie *bool
}

func (c *lying) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if *c.lie && n >= pdu.HeaderLen {
		h := (*pdu.Header)(p)
		if h.Opcode() == pdu.R2T {
			h[0], h[2], h[3] = byte(pdu.Response), 0, 0
			h.SetDesired(0)
		}
	}
	return n, err
}

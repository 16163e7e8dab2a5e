package target_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/iscsi/internal/pdu"
	"github.com/ferrule/ferrule/iscsi/internal/scsi"
	"github.com/ferrule/ferrule/iscsi/target"
	"github.com/ferrule/ferrule/task"
)

// A file is served until the context ends.
func Example() {
	dir, _ := os.MkdirTemp("", "")
	defer os.RemoveAll(dir)
	file, _ := os.Create(filepath.Join(dir, "disk.img"))
	defer file.Close()
	_ = file.Truncate(1 << 30)

	ctx, cancel := context.WithCancel(context.Background())
	t := &target.Target{Name: "iqn.2026-01.org.example:disk", Disks: map[int]target.Disk{1: {Store: file, Size: 1 << 30}}}
	time.AfterFunc(10*time.Millisecond, cancel)
	fmt.Println(t.ListenAndServe(ctx, "127.0.0.1:0"))
	// Output: context canceled
}

// memory is a small disk.
type memory []byte

func (m memory) ReadAt(p []byte, off int64) (int, error)  { return copy(p, m[off:]), nil }
func (m memory) WriteAt(p []byte, off int64) (int, error) { return copy(m[off:], p), nil }

const name = "iqn.2026-01.test:t"

// serve returns one end of a connection to a target.
func serve(t testing.TB, tg *target.Target) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- tg.Serve(ctx, l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	t.Cleanup(func() {
		conn.Close()
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		require.Empty(t, tg.Sessions())
	})
	return conn
}

// A client speaks to a target PDU by PDU.
type client struct {
	t     testing.TB
	conn  net.Conn
	r     *pdu.Reader
	cmdSN uint32
}

func logIn(t testing.TB, tg *target.Target, text string) *client {
	c := &client{t: t, conn: serve(t, tg), cmdSN: 1}
	c.r = pdu.NewReader(c.conn, 1<<20)
	h := pdu.New(pdu.Login, 0x87, 1) // operational, to full feature phase
	h.SetImmediate()
	h.SetCmdSN(1)
	got, _ := c.call(h, []byte("InitiatorName=iqn.2026-01.test:i\x00TargetName="+name+"\x00"+text))
	require.Zero(t, got[36], "login refused")
	return c
}

func (c *client) send(h pdu.Header, data []byte) {
	var b pdu.Batch
	b.Add(&h, data)
	require.NoError(c.t, b.Flush(c.conn))
}

func (c *client) next() (pdu.Header, []byte) {
	h, err := c.r.Next()
	require.NoError(c.t, err)
	data, err := c.r.Data()
	require.NoError(c.t, err)
	return *h, bytes.Clone(data)
}

func (c *client) call(h pdu.Header, data []byte) (pdu.Header, []byte) {
	c.send(h, data)
	return c.next()
}

func (c *client) command(flags byte, cdb scsi.CDB, length uint32) pdu.Header {
	h := pdu.New(pdu.Command, flags, 100+c.cmdSN)
	h.SetLUN(scsi.LUN(1))
	h.SetTransferLen(length)
	h.SetCmdSN(c.cmdSN)
	c.cmdSN++
	*h.CDB() = cdb
	return h
}

func small(m memory) *target.Target {
	return &target.Target{Name: name, Disks: map[int]target.Disk{1: {Store: m, Size: int64(len(m))}}}
}

func TestResiduals(t *testing.T) {
	const finalRead, finalWrite = pdu.Final | pdu.Read, pdu.Final | pdu.Write
	read1 := scsi.Range(scsi.Read10, scsi.Read16, 0, 1)
	write1 := scsi.Range(scsi.Write10, scsi.Write16, 0, 1)
	for _, c := range []struct {
		name         string
		flags        byte
		cdb          scsi.CDB
		length       uint32
		data         int
		status       byte
		residual     uint32
		residualFlag byte
	}{
		{"read as expected", finalRead, read1, 512, 0, 0, 0, 0},
		{"read of more than expected", finalRead, read1, 100, 0, 0, 412, pdu.Overflow},
		{"read of less than expected", finalRead, read1, 1000, 0, 0, 488, pdu.Underflow},
		{"write as expected", finalWrite, write1, 512, 512, 0, 0, 0},
		{"write of less than expected", finalWrite, write1, 1024, 1024, 0, 512, pdu.Underflow},
		{"out of range", finalRead, scsi.Range(scsi.Read10, scsi.Read16, 15, 2), 1024, 0, 2, 1024, pdu.Underflow},
		{"no such command", pdu.Final, scsi.CDB{0xfe}, 0, 0, 2, 0, 0},
		{"answer cut by the command", finalRead, scsi.InquiryCDB(-1, 5), 255, 0, 0, 250, pdu.Underflow},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := logIn(t, small(make(memory, 8192)), "")
			h, _ := cl.call(cl.command(c.flags, c.cdb, c.length), make([]byte, c.data))
			require.Equal(t, c.status, h[3])
			require.Equal(t, c.residual, h.Residual())
			require.Equal(t, c.residualFlag, h.Flags()&(pdu.Overflow|pdu.Underflow))
		})
	}
}

// What an initiator must not do ends its connection, and nothing else.
func TestProtocolErrors(t *testing.T) {
	write16 := scsi.Range(scsi.Write10, scsi.Write16, 0, 16)
	dataOut := func(itt, ttt, sn, off uint32, flags byte) pdu.Header {
		h := pdu.New(pdu.DataOut, flags, itt)
		h.SetTTT(ttt)
		h.SetDataSN(sn)
		h.SetOffset(off)
		return h
	}
	for name, do := range map[string]func(c *client){
		"command out of turn": func(c *client) { c.cmdSN = 9; c.send(c.command(pdu.Final, scsi.CDB{}, 0), nil) },
		"login again":         func(c *client) { h := pdu.New(pdu.Login, 0x87, 1); h.SetImmediate(); c.send(h, nil) },
		"a target's PDU":      func(c *client) { h := pdu.New(pdu.R2T, 0, 1); h.SetImmediate(); c.send(h, nil) },
		"too much at once": func(c *client) {
			h := pdu.New(pdu.NopOut, 0, 1)
			h.SetImmediate()
			h.SetDataLen(8 << 20)
			_, _ = c.conn.Write(h[:])
		},
		"not asked for":         func(c *client) { c.send(c.command(pdu.Write, write16, 8192), nil) },
		"more than the command": func(c *client) { c.send(c.command(pdu.Write|pdu.Final, write16, 512), make([]byte, 1024)) },
		"beyond what was asked": func(c *client) {
			h, _ := c.call(c.command(pdu.Write|pdu.Final, write16, 8192), nil)
			require.Equal(c.t, pdu.R2T, h.Opcode())
			c.send(dataOut(h.ITT(), h.TTT(), 0, 0, pdu.Final), make([]byte, 9000))
		},
		"another offset": func(c *client) {
			h, _ := c.call(c.command(pdu.Write|pdu.Final, write16, 8192), nil)
			c.send(dataOut(h.ITT(), h.TTT(), 0, 512, 0), make([]byte, 512))
		},
		"another transfer": func(c *client) {
			h, _ := c.call(c.command(pdu.Write|pdu.Final, write16, 8192), nil)
			c.send(dataOut(h.ITT(), h.TTT()+1, 0, 0, 0), make([]byte, 512))
		},
		"final too early": func(c *client) {
			h, _ := c.call(c.command(pdu.Write|pdu.Final, write16, 8192), nil)
			c.send(dataOut(h.ITT(), h.TTT(), 0, 0, pdu.Final), make([]byte, 512))
		},
		"the same task twice": func(c *client) {
			h := c.command(pdu.Write|pdu.Final, write16, 8192)
			c.call(h, nil)
			h.SetCmdSN(h.CmdSN() + 1)
			c.send(h, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			tg := small(make(memory, 8192))
			tg.Limits.InitialR2T = true
			c := logIn(t, tg, "")
			do(c)
			_, err := c.r.Next()
			require.True(t, errors.Is(err, io.EOF) || errors.As(err, new(*net.OpError)), "%v", err)
			require.Eventually(t, func() bool { return len(tg.Sessions()) == 0 }, 5*time.Second, time.Millisecond)
		})
	}
}

func TestLoginRefused(t *testing.T) {
	const who = "InitiatorName=iqn.2026-01.test:i\x00"
	for name, c := range map[string]struct {
		flags  byte
		text   string
		detail byte
	}{
		"no name":         {0x87, "TargetName=" + name + "\x00", 7},
		"no target":       {0x87, who, 7},
		"other target":    {0x87, who + "TargetName=x\x00", 3},
		"other session":   {0x87, who + "SessionType=Odd\x00", 9},
		"back in stage":   {0x84, who + "TargetName=" + name + "\x00", 0x0b},
		"no text":         {0x87, "\xff\xff", 0},
		"wrong number":    {0x87, who + "TargetName=" + name + "\x00MaxBurstLength=-1\x00", 0},
		"only CHAP":       {0x81, who + "TargetName=" + name + "\x00AuthMethod=CHAP\x00", 1},
		"stage that isnt": {0x8b, who + "TargetName=" + name + "\x00", 0x0b},
	} {
		t.Run(name, func(t *testing.T) {
			conn := serve(t, small(make(memory, 512)))
			cl := &client{t: t, conn: conn, r: pdu.NewReader(conn, 8192)}
			h := pdu.New(pdu.Login, c.flags, 1)
			h.SetImmediate()
			got, _ := cl.call(h, []byte(c.text))
			require.Equal(t, byte(2), got[36])
			require.Equal(t, c.detail, got[37])
		})
	}
}

// An initiator that skips the security stage does not get past CHAP.
func TestCHAPIsNotSkipped(t *testing.T) {
	tg := small(make(memory, 512))
	tg.CHAP = &target.CHAP{User: "u", Secret: "s"}
	for _, texts := range [][]string{{"AuthMethod=None\x00"}, {"AuthMethod=CHAP\x00", "CHAP_N=u\x00CHAP_R=0x00\x00", ""}, {"AuthMethod=CHAP\x00", "CHAP_A=5\x00", "CHAP_N=u\x00CHAP_R=0x00\x00"}} {
		for _, flags := range []byte{0x81, 0x83, 0x87} {
			conn := serve(t, tg)
			cl := &client{t: t, conn: conn, r: pdu.NewReader(conn, 8192)}
			for n, text := range texts {
				h := pdu.New(pdu.Login, flags, 1)
				h.SetImmediate()
				if n == 0 {
					text = "InitiatorName=iqn.2026-01.test:i\x00TargetName=" + name + "\x00" + text
				}
				got, _ := cl.call(h, []byte(text))
				require.Zero(t, got.Flags()&pdu.Transit)
				if got[36] != 0 {
					break
				}
			}
			require.Empty(t, tg.Sessions())
			conn.Close()
		}
	}
}

func TestReinstatement(t *testing.T) {
	tg := small(make(memory, 512))
	first := logIn(t, tg, "")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- tg.Serve(ctx, l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	second := &client{t: t, conn: conn, r: pdu.NewReader(conn, 8192)}
	h := pdu.New(pdu.Login, 0x87, 1)
	h.SetImmediate()
	second.call(h, []byte("InitiatorName=iqn.2026-01.test:i\x00TargetName="+name+"\x00"))
	_, err = first.r.Next()
	require.Error(t, err, "the first session is over")
	require.Len(t, tg.Sessions(), 1)
	conn.Close()
	cancel()
	<-done
}

func TestAbort(t *testing.T) {
	m := make(memory, 8192)
	c := logIn(t, small(m), "InitialR2T=Yes\x00")
	r2t, _ := c.call(c.command(pdu.Write|pdu.Final, scsi.Range(scsi.Write10, scsi.Write16, 0, 16), 8192), nil)
	abort := pdu.New(pdu.TaskRequest, pdu.Final|1, 7)
	abort.SetImmediate()
	abort.SetTTT(r2t.ITT())
	h, _ := c.call(abort, nil)
	require.Equal(t, pdu.TaskResponse, h.Opcode())
	require.Zero(t, h[2])
	late := pdu.New(pdu.DataOut, pdu.Final, r2t.ITT())
	late.SetTTT(r2t.TTT())
	c.send(late, bytes.Repeat([]byte{1}, 8192))
	h, _ = c.call(abort, nil)
	require.Equal(t, byte(1), h[2], "there is no such task")
	require.Equal(t, make(memory, 8192), m)
}

func TestServeChecks(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	bad := &target.Target{Disks: map[int]target.Disk{-1: {BlockSize: 100}}, CHAP: &target.CHAP{}, Limits: target.Limits{MaxBurst: 1, MaxR2T: -1}}
	err = bad.Serve(context.Background(), l)
	require.ErrorIs(t, err, task.ErrInvalidParameter)
	require.Len(t, task.Problems(err), 9)
}

// Whatever an initiator sends, the target neither panics nor hangs.
func FuzzSession(f *testing.F) {
	h := pdu.New(pdu.Command, pdu.Final|pdu.Read, 1)
	h.SetLUN(scsi.LUN(1))
	h.SetCmdSN(1)
	h.SetTransferLen(512)
	for _, cdb := range []scsi.CDB{scsi.Range(scsi.Read10, scsi.Read16, 0, 1), scsi.InquiryCDB(0x83, 255), scsi.ReadCapacity16CDB(), scsi.ReportLUNsCDB(255), {scsi.ModeSense6, 0, 0x3f, 0, 255}} {
		*h.CDB() = cdb
		f.Add(bytes.Clone(h[:]))
	}
	h[1] = pdu.Final | pdu.Write
	*h.CDB() = scsi.Range16(scsi.WriteSame16, 0, 1)
	h.SetDataLen(512)
	f.Add(append(bytes.Clone(h[:]), make([]byte, 512)...))
	f.Fuzz(func(t *testing.T, wire []byte) {
		c := logIn(t, small(make(memory, 8192)), "InitialR2T=No\x00")
		_, _ = c.conn.Write(wire)
		_ = c.conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c.conn)
	})
}

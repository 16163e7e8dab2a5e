package dhcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/ferrule/ferrule/task"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// What one serving loop takes from the network at once, and how long a request
// may be.
const (
	batchSize  = 32
	maxRequest = 2048
)

// Serve4 answers the DHCPv4 requests that come to conn, which is bound to port
// 67 of all addresses, until ctx ends, and returns ctx's cause then. It starts
// no goroutine, works on one request at a time, and leaves conn open. An error
// of a single answer is logged; an error of conn that stays is returned. A
// request is answered from the address that it was sent to, or by the interface
// that it came in on where it was broadcast; the system must tell which that
// is, as Windows does not.
func (r *Responder) Serve4(ctx context.Context, conn *net.UDPConn) error {
	return r.serve4(ctx, conn, false, 0)
}

// ServePXE is Serve4 for port 4011, where PXE clients ask that a proxy offered
// something to.
func (r *Responder) ServePXE(ctx context.Context, conn *net.UDPConn) error {
	return r.serve4(ctx, conn, true, 0)
}

// serve4 answers what came in on the interface with index only, 0 for all.
func (r *Responder) serve4(ctx context.Context, conn *net.UDPConn, pxe bool, only int) error {
	pc := ipv4.NewPacketConn(conn)
	if err := pc.SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true); err != nil {
		return noControl("dhcp.Serve4", err)
	}
	var known links
	return r.loop(ctx, conn, pc, func(data, oob []byte, from netip.AddrPort, now time.Time) answer {
		var cm ipv4.ControlMessage
		if err := cm.Parse(oob); err != nil || !through(only, cm.IfIndex) {
			return answer{}
		}
		dst, _ := netip.AddrFromSlice(cm.Dst)
		at := arrival{from: from, pxePort: pxe}
		at.server, at.unicast = known.server4(&r.cfg, dst.Unmap(), cm.IfIndex, now)
		if !at.server.IsValid() {
			return answer{}
		}
		reply, to := r.handle4(data, at, now)
		out := ipv4.ControlMessage{Src: at.server.AsSlice()}
		if to.Addr() == broadcast {
			out.IfIndex = cm.IfIndex
		}
		return answer{reply, out.Marshal(), to}
	})
}

// Serve6 is Serve4 for DHCPv6: conn is bound to port 547 of all addresses, and
// a member of the group ff02::1:2 on the links that are served.
func (r *Responder) Serve6(ctx context.Context, conn *net.UDPConn) error {
	return r.serve6(ctx, conn, 0)
}

func (r *Responder) serve6(ctx context.Context, conn *net.UDPConn, only int) error {
	pc := ipv6.NewPacketConn(conn)
	if err := pc.SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true); err != nil {
		return noControl("dhcp.Serve6", err)
	}
	var known links
	return r.loop(ctx, conn, pc, func(data, oob []byte, from netip.AddrPort, now time.Time) answer {
		var cm ipv6.ControlMessage
		if err := cm.Parse(oob); err != nil || !through(only, cm.IfIndex) {
			return answer{}
		}
		reply, to := r.handle6(data, from, known.in6(&r.cfg, cm.IfIndex, now), now)
		var out ipv6.ControlMessage
		if to.Addr().IsLinkLocalUnicast() {
			out.IfIndex = cm.IfIndex
		}
		if !cm.Dst.IsMulticast() {
			out.Src = cm.Dst
		}
		return answer{reply, out.Marshal(), to}
	})
}

func through(only, index int) bool { return only == 0 || only == index }

func noControl(op string, err error) error {
	return &task.Error{Op: op, Err: fmt.Errorf("%w: this system does not tell which address and interface a request came to: %v", task.ErrUnsupported, err),
		Remedy: "serve from another system, or use another DHCP provider"}
}

// An answer goes to an address, or nowhere where that is invalid.
type answer struct {
	data, oob []byte
	to        netip.AddrPort
}

// A batchConn moves several packets in one system call where the system can.
// Messages of IPv4 and IPv6 are the same type.
type batchConn interface {
	ReadBatch(ms []ipv4.Message, flags int) (int, error)
	WriteBatch(ms []ipv4.Message, flags int) (int, error)
}

func (r *Responder) loop(ctx context.Context, conn *net.UDPConn, pc batchConn, handle func(data, oob []byte, from netip.AddrPort, now time.Time) answer) error {
	// A canceled context interrupts the read. The deadline is taken back after
	// that function ended, for conn may be served again.
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		conn.SetReadDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !stop() {
			<-ended
			conn.SetReadDeadline(time.Time{})
		}
	}()
	in := make([]ipv4.Message, batchSize)
	for i := range in {
		in[i].Buffers = [][]byte{make([]byte, maxRequest)}
		in[i].OOB = make([]byte, 128)
	}
	out := make([]ipv4.Message, batchSize)
	for i := range out {
		out[i].Buffers = make([][]byte, 1)
	}
	faults := 0
	for {
		n, err := pc.ReadBatch(in, 0)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			if faults++; faults > 10 || errors.Is(err, net.ErrClosed) {
				return &task.Error{Op: "dhcp.Serve", Err: err, Remedy: "check the network interface"}
			}
			r.cfg.logger().Warn("DHCP: reading failed", "error", err)
			if !pause(ctx, 100*time.Millisecond) {
				return context.Cause(ctx)
			}
			continue
		}
		faults = 0
		now, answers := time.Now(), 0
		for _, m := range in[:n] {
			from, ok := m.Addr.(*net.UDPAddr)
			if !ok || m.N == maxRequest { // cut off, perhaps
				continue
			}
			a := handle(m.Buffers[0][:m.N], m.OOB[:m.NN], unmap(from.AddrPort()), now)
			if a.data != nil {
				o := &out[answers]
				o.Buffers[0], o.OOB, o.Addr = a.data, a.oob, net.UDPAddrFromAddrPort(a.to)
				answers++
			}
		}
		send(pc, out[:answers], r.cfg.logger())
	}
}

// send passes over an answer that cannot be sent: its client asks again.
func send(pc batchConn, out []ipv4.Message, log *slog.Logger) {
	for len(out) > 0 {
		n, err := pc.WriteBatch(out, 0)
		if err != nil {
			log.Debug("DHCP: sending failed", "to", out[0].Addr, "error", err)
			n = 1
		}
		out = out[max(n, 1):]
	}
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// pause waits for d, and reports whether ctx did not end.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

package tftp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	inMessages  = 64
	inSize      = 1024 // longer datagrams are no requests; they are cut
	outMessages = 128
	outBlocks   = 512
	maxSegments = 64    // UDP_MAX_SEGMENTS of older kernels
	maxPayload  = 65507 // of one datagram before it is cut up
	socketSpace = 4 << 20
)

// A batchPort receives and sends many datagrams with one system call, and hands
// whole windows to the system to be cut into packets.
type batchPort struct {
	conn     *net.UDPConn
	index    int
	fd       int32 // valid while conn is open
	raw      syscall.RawConn
	inet6    bool // the socket's family
	wildcard bool // datagrams tell the address that they were sent to
	segments bool // the kernel can cut packets (UDP_SEGMENT)

	in struct {
		headers [inMessages]mmsghdr
		vectors [inMessages]unix.Iovec
		names   [inMessages]unix.RawSockaddrInet6
		control [inMessages][8]uint64
		data    [inMessages][inSize]byte
		got     [inMessages]datagram
	}
	out struct {
		messages int
		vectors  int
		blocks   int
		headers  [outMessages]mmsghdr
		peers    [outMessages]*peer
		names    [outMessages]unix.RawSockaddrInet6
		control  [outMessages][12]uint64
		vector   [2*outBlocks + outMessages]unix.Iovec
		block    [outBlocks][headerSize]byte
	}

	// What the system calls leave behind; the functions are made once.
	n      int
	errno  syscall.Errno
	from   int
	doSend func(fd uintptr) bool
	doRecv func(fd uintptr)
}

// mmsghdr is struct mmsghdr.
type mmsghdr struct {
	unix.Msghdr
	n uint32
}

func newBatchPort(conn *net.UDPConn, index int) (*batchPort, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	p := &batchPort{conn: conn, raw: raw, index: index}
	if local, ok := conn.LocalAddr().(*net.UDPAddr); ok {
		p.wildcard = local.IP.IsUnspecified()
	}
	// Acknowledgements are small but take up much of a socket's memory.
	_ = conn.SetReadBuffer(socketSpace)
	_ = conn.SetWriteBuffer(socketSpace)
	var setErr error
	err = raw.Control(func(fd uintptr) { p.fd, setErr = int32(fd), p.setUp(int(fd)) })
	if err == nil {
		err = setErr
	}
	if err != nil {
		return nil, err
	}
	for i := range p.in.headers {
		h := &p.in.headers[i]
		p.in.vectors[i].Base = &p.in.data[i][0]
		p.in.vectors[i].SetLen(inSize)
		h.Iov = &p.in.vectors[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&p.in.names[i]))
	}
	p.doRecv = func(fd uintptr) {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&p.in.headers[0])), inMessages, unix.MSG_DONTWAIT, 0, 0)
		p.n, p.errno = int(n), errno
	}
	p.doSend = func(fd uintptr) bool {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&p.out.headers[p.from])), uintptr(p.out.messages-p.from), unix.MSG_DONTWAIT, 0, 0)
		p.n, p.errno = int(n), errno
		return errno != unix.EAGAIN && errno != unix.EINTR
	}
	return p, nil
}

func (p *batchPort) setUp(fd int) error {
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketSpace) // beyond rmem_max, where allowed
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	p.inet6 = domain == unix.AF_INET6
	p.segments = unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT, 0) == nil
	switch {
	case !p.wildcard:
	case p.inet6:
		err = unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1)
	default:
		err = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_PKTINFO, 1)
	}
	return os.NewSyscallError("setsockopt", err)
}

func (p *batchPort) receive() ([]datagram, error) {
	for i := range p.in.headers {
		h := &p.in.headers[i]
		h.Namelen = unix.SizeofSockaddrInet6
		if p.wildcard {
			h.Control = (*byte)(unsafe.Pointer(&p.in.control[i]))
			h.SetControllen(int(unsafe.Sizeof(p.in.control[i])))
		}
	}
	if err := p.raw.Control(p.doRecv); err != nil {
		return nil, err
	}
	if p.errno == unix.EAGAIN || p.errno == unix.EINTR {
		return nil, nil
	}
	if p.errno != 0 {
		return nil, os.NewSyscallError("recvmmsg", p.errno)
	}
	for i := range p.n {
		h := &p.in.headers[i]
		p.in.got[i] = datagram{data: p.in.data[i][:h.n], port: p.index, from: parseName(&p.in.names[i])}
		if p.wildcard {
			control := unsafe.Slice((*byte)(unsafe.Pointer(&p.in.control[i])), int(h.Controllen))
			p.in.got[i].local, p.in.got[i].broadcast = parseLocal(control)
		}
	}
	return p.in.got[:p.n], nil
}

func parseName(sa *unix.RawSockaddrInet6) netip.AddrPort {
	if sa.Family == unix.AF_INET {
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(sa4.Addr), bigEndian(sa4.Port))
	}
	addr := netip.AddrFrom16(sa.Addr).Unmap()
	if sa.Scope_id != 0 {
		addr = addr.WithZone(strconv.Itoa(int(sa.Scope_id)))
	}
	return netip.AddrPortFrom(addr, bigEndian(sa.Port))
}

// bigEndian swaps the bytes of a port as it lies in memory, on machines where
// that is not its order.
func bigEndian(v uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&v))[:])
}

// parseLocal returns the address that a datagram was sent to, or that of the
// interface if it was broadcast.
func parseLocal(control []byte) (local netip.Addr, broadcast bool) {
	for len(control) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		if h.Len < unix.SizeofCmsghdr || uint64(h.Len) > uint64(len(control)) {
			break
		}
		data := control[unix.CmsgLen(0):h.Len]
		switch {
		case h.Level == unix.SOL_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0]))
			return netip.AddrFrom4(info.Spec_dst), info.Addr != info.Spec_dst
		case h.Level == unix.SOL_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0]))
			addr := netip.AddrFrom16(info.Addr).Unmap()
			if addr.IsLinkLocalUnicast() && addr.Is6() {
				addr = addr.WithZone(strconv.Itoa(int(info.Ifindex)))
			}
			return addr, addr.IsMulticast() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255})
		}
		control = control[min(unix.CmsgSpace(int(h.Len)-unix.CmsgLen(0)), len(control)):]
	}
	return netip.Addr{}, false
}

func (p *batchPort) send(to *peer, packet []byte) {
	if p.out.messages == outMessages || p.out.vectors+1 > len(p.out.vector) {
		p.flush()
	}
	h := p.message(to, 0)
	p.add(packet)
	h.SetIovlen(1)
}

func (p *batchPort) sendBlocks(to *peer, r run) {
	each := 1
	if p.segments && !to.unsegment {
		each = max(min(maxSegments, maxPayload/(headerSize+r.size)), 1)
	}
	for from := 0; from < r.count; from += each {
		count := min(each, r.count-from)
		if p.out.messages == outMessages || p.out.blocks+count > outBlocks {
			p.flush()
		}
		segment := 0
		if count > 1 { // cutting one packet would cost more than sending it
			segment = headerSize + r.size
		}
		h := p.message(to, segment)
		before := p.out.vectors
		for i := from; i < from+count; i++ {
			head := &p.out.block[p.out.blocks]
			p.out.blocks++
			head[1] = opData
			binary.BigEndian.PutUint16(head[2:], r.first+uint16(i))
			p.add(head[:])
			if data := r.block(i); len(data) > 0 {
				p.add(data)
			}
		}
		h.SetIovlen(p.out.vectors - before)
	}
}

// message begins the next message of the batch, to be cut into segments of that
// size if it is not 0.
func (p *batchPort) message(to *peer, segment int) *unix.Msghdr {
	i := p.out.messages
	p.out.messages++
	p.out.peers[i] = to
	h := &p.out.headers[i].Msghdr
	*h = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&p.out.names[i])), Iov: &p.out.vector[p.out.vectors]}
	h.Namelen = p.putName(&p.out.names[i], to.addr)
	control := unsafe.Slice((*byte)(unsafe.Pointer(&p.out.control[i])), unsafe.Sizeof(p.out.control[i]))
	n := 0
	if p.wildcard && to.local.IsValid() {
		n = p.putLocal(control, to.local)
	}
	if segment > 0 { // last, for sendUncut to leave out
		data := putControl(control[n:], unix.SOL_UDP, unix.UDP_SEGMENT, 2)
		*(*uint16)(unsafe.Pointer(&data[0])) = uint16(segment)
		n += unix.CmsgSpace(2)
	}
	if n > 0 {
		h.Control = &control[0]
		h.SetControllen(n)
	}
	return h
}

func (p *batchPort) add(b []byte) {
	v := &p.out.vector[p.out.vectors]
	p.out.vectors++
	v.Base = &b[0]
	v.SetLen(len(b))
}

func (p *batchPort) putName(sa *unix.RawSockaddrInet6, a netip.AddrPort) uint32 {
	if !p.inet6 {
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		*sa4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: bigEndian(a.Port()), Addr: a.Addr().As4()}
		return unix.SizeofSockaddrInet4
	}
	*sa = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: bigEndian(a.Port()), Addr: a.Addr().As16(), Scope_id: scope(a.Addr())}
	return unix.SizeofSockaddrInet6
}

func scope(a netip.Addr) uint32 {
	n, _ := strconv.ParseUint(a.Zone(), 10, 32)
	return uint32(n)
}

// putLocal adds the address to send from, and returns the bytes that it takes.
func (p *batchPort) putLocal(control []byte, local netip.Addr) int {
	if !p.inet6 {
		data := putControl(control, unix.SOL_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
		*(*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0])) = unix.Inet4Pktinfo{Spec_dst: local.As4()}
		return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
	}
	data := putControl(control, unix.SOL_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
	*(*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0])) = unix.Inet6Pktinfo{Addr: local.As16(), Ifindex: scope(local)}
	return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
}

func putControl(control []byte, level, kind int32, size int) []byte {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	h.Level, h.Type = level, kind
	h.SetLen(unix.CmsgLen(size))
	return control[unix.CmsgLen(0):unix.CmsgSpace(size)]
}

// flush sends the batch. A message that the system will not cut up is sent
// packet by packet, as are all for that peer from then on.
func (p *batchPort) flush() {
	for p.from = 0; p.from < p.out.messages; p.from += max(p.n, 1) {
		if err := p.raw.Write(p.doSend); err != nil {
			break
		}
		if p.errno == 0 {
			continue
		}
		p.n = 0
		if h := &p.out.headers[p.from].Msghdr; h.Iovlen > 2 {
			p.out.peers[p.from].unsegment = true
			p.sendUncut(h)
		}
	}
	p.out.messages, p.out.vectors, p.out.blocks = 0, 0, 0
}

func (p *batchPort) sendUncut(whole *unix.Msghdr) {
	vectors := unsafe.Slice(whole.Iov, int(whole.Iovlen))
	one := *whole
	one.SetControllen(int(one.Controllen) - unix.CmsgSpace(2))
	for ; len(vectors) > 0; vectors = vectors[min(2, len(vectors)):] {
		one.Iov = &vectors[0]
		one.SetIovlen(min(2, len(vectors)))
		err := p.raw.Write(func(fd uintptr) bool {
			_, _, errno := unix.Syscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&one)), unix.MSG_DONTWAIT)
			return errno != unix.EAGAIN && errno != unix.EINTR
		})
		if err != nil {
			return
		}
	}
}

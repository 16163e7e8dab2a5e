package tftp

import (
	"encoding/binary"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	inMessages  = 64
	inSize      = maxRequest + 1 // longer datagrams are no requests; they are cut
	outMessages = 128
	outBlocks   = 512
	maxSegments = 64    // UDP_MAX_SEGMENTS of older kernels
	maxPayload  = 65507 // of one datagram before it is cut up
	socketSpace = 4 << 20
	sendWait    = 100 // milliseconds that the system may take to have room again
)

// A batchPort is one socket. It receives and sends many datagrams with one
// system call, and hands whole windows to the system to be cut into packets.
type batchPort struct {
	conn     *net.UDPConn
	raw      syscall.RawConn
	index    int
	fd       int32 // valid while conn is open
	inet6    bool  // the socket's family
	wildcard bool  // datagrams tell the address that they were sent to
	segments bool  // the system can cut packets (UDP_SEGMENT)

	// receiveFrom and flushTo, made once, and what the former leaves behind.
	doReceive, doFlush func(fd uintptr)
	n                  int
	err                error

	in struct {
		headers [inMessages]mmsghdr
		vectors [inMessages]unix.Iovec
		names   [inMessages]unix.RawSockaddrInet6
		control [inMessages]controlBuffer
		data    [inMessages][inSize]byte
		got     [inMessages]datagram
	}
	out struct {
		messages int // in use, as the next two
		vectors  int
		blocks   int
		headers  [outMessages]mmsghdr
		peers    [outMessages]*peer
		names    [outMessages]unix.RawSockaddrInet6
		control  [outMessages]controlBuffer
		vector   [2*outBlocks + outMessages]unix.Iovec
		block    [outBlocks][headerSize]byte
	}
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
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
	p.doReceive, p.doFlush = p.receiveFrom, p.flushTo
	// Acknowledgements are small but take up much of a socket's memory.
	_ = conn.SetReadBuffer(socketSpace)
	_ = conn.SetWriteBuffer(socketSpace)
	if err := raw.Control(func(fd uintptr) { p.err = p.setUp(int(fd)) }); err != nil {
		return nil, err
	}
	if p.err != nil {
		return nil, p.err
	}
	for i := range p.in.headers {
		h := &p.in.headers[i]
		p.in.vectors[i].Base = &p.in.data[i][0]
		p.in.vectors[i].SetLen(inSize)
		h.Iov = &p.in.vectors[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&p.in.names[i]))
	}
	return p, nil
}

func (p *batchPort) setUp(fd int) error {
	p.fd = int32(fd)
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

// receive returns what has come, without waiting.
func (p *batchPort) receive() ([]datagram, error) {
	for i := range p.in.headers {
		h := &p.in.headers[i]
		h.Namelen = unix.SizeofSockaddrInet6
		if p.wildcard {
			h.Control = &p.in.control[i].bytes()[0]
			h.SetControllen(len(p.in.control[i].bytes()))
		}
	}
	if err := p.raw.Control(p.doReceive); err != nil {
		return nil, err
	}
	if p.err != nil {
		return nil, p.err
	}
	for i := range p.n {
		h := &p.in.headers[i]
		d := datagram{data: p.in.data[i][:h.n], port: p.index, from: parseName(&p.in.names[i])}
		if p.wildcard {
			d.local, d.broadcast = parseLocal(p.in.control[i].bytes()[:h.Controllen])
		}
		p.in.got[i] = d
	}
	return p.in.got[:p.n], nil
}

func (p *batchPort) receiveFrom(fd uintptr) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&p.in.headers[0])), inMessages, unix.MSG_DONTWAIT, 0, 0)
	p.n, p.err = int(n), nil
	if errno != 0 {
		p.n = 0
		if errno != unix.EAGAIN && errno != unix.EINTR {
			p.err = os.NewSyscallError("recvmmsg", errno)
		}
	}
}

func (p *batchPort) send(to *peer, packet []byte) {
	if p.out.messages == outMessages {
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
	h.Namelen = putName(&p.out.names[i], to.addr, p.inet6)
	control, n := p.out.control[i].bytes(), 0
	if p.wildcard && to.local.IsValid() {
		n = putLocal(control, to.local, p.inet6)
	}
	if segment > 0 { // last, for sendUncut to leave out
		n += putSegment(control[n:], segment)
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

// flush sends the batch.
func (p *batchPort) flush() {
	if p.out.messages > 0 {
		_ = p.raw.Control(p.doFlush)
	}
	p.out.messages, p.out.vectors, p.out.blocks = 0, 0, 0
}

// flushTo sends what it can. A message that the system will not cut up is sent
// packet by packet, as are all for that peer from then on.
func (p *batchPort) flushTo(fd uintptr) {
	for from := 0; from < p.out.messages; {
		n, errno := sendMessages(fd, p.out.headers[from:p.out.messages])
		if errno == 0 && n > 0 {
			from += n
			continue
		}
		if h := &p.out.headers[from].Msghdr; h.Iovlen > 2 {
			p.out.peers[from].unsegment = true
			sendUncut(fd, h)
		}
		from++
	}
}

// sendUncut sends a message packet by packet.
func sendUncut(fd uintptr, whole *unix.Msghdr) {
	one := []mmsghdr{{Msghdr: *whole}}
	one[0].SetControllen(int(whole.Controllen) - segmentSpace)
	vectors := unsafe.Slice(whole.Iov, int(whole.Iovlen))
	for ; len(vectors) > 0; vectors = vectors[min(2, len(vectors)):] {
		one[0].Iov = &vectors[0]
		one[0].SetIovlen(min(2, len(vectors)))
		_, _ = sendMessages(fd, one)
	}
}

// sendMessages returns how many it sent. Where the system has no room it waits
// a little, so that nothing is lost that is only early.
func sendMessages(fd uintptr, messages []mmsghdr) (int, syscall.Errno) {
	for tries := 0; ; tries++ {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
		if errno != unix.EAGAIN && errno != unix.EINTR || tries > 2 {
			return int(n), errno
		}
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, sendWait)
	}
}

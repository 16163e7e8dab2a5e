package tftp_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() { children["load"] = runLoad }

// A loadSpec is what the load client does: clients at once, one read each.
type loadSpec struct {
	Server                 string // address
	File                   string
	Size                   int64
	Clients, Block, Window int
}

// A loadResult is what it saw.
type loadResult struct {
	Seconds float64
	Repeats int // packets of the client that were sent twice
	Packets int // datagrams that carried data
}

// runLoad reads a loadSpec from its only argument and prints a loadResult. One
// thread does all, with as little work as possible, so that the measurement is
// of the server: it looks at the numbers of blocks, not at their content.
func runLoad(args []string) error {
	var spec loadSpec
	if err := json.Unmarshal([]byte(args[0]), &spec); err != nil {
		return err
	}
	l, err := newLoad(spec)
	if err != nil {
		return err
	}
	result, err := l.run()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

const loadBatch = 64

type load struct {
	spec    loadSpec
	server  unix.SockaddrInet4
	epoll   int
	readers map[int32]*loadReader
	left    int
	result  loadResult

	headers [loadBatch]loadHeader
	vectors [loadBatch]unix.Iovec
	data    [loadBatch][]byte
	from    unix.RawSockaddrInet4
}

type loadHeader struct {
	unix.Msghdr
	n uint32
}

type loadReader struct {
	fd      int
	bound   bool  // connected to the port of the transfer
	have    int64 // blocks
	acked   int64 // block of the last ACK
	window  int
	block   int
	bytes   int64
	heardAt time.Time
}

func newLoad(spec loadSpec) (*load, error) {
	addr, err := net.ResolveUDPAddr("udp4", spec.Server)
	if err != nil {
		return nil, err
	}
	l := &load{spec: spec, server: unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())}, readers: map[int32]*loadReader{}}
	if l.epoll, err = unix.EpollCreate1(0); err != nil {
		return nil, err
	}
	for i := range l.headers {
		l.data[i] = make([]byte, 1<<16)
		l.vectors[i].Base = &l.data[i][0]
		l.vectors[i].SetLen(len(l.data[i]))
		l.headers[i].Iov = &l.vectors[i]
		l.headers[i].SetIovlen(1)
	}
	for range spec.Clients {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return nil, err
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20)
		if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			return nil, err
		}
		l.readers[int32(fd)] = &loadReader{fd: fd, window: 1, block: 512}
	}
	return l, nil
}

func (l *load) run() (loadResult, error) {
	l.left = len(l.readers)
	start := time.Now()
	for _, r := range l.readers {
		if err := l.request(r); err != nil {
			return l.result, err
		}
	}
	events := make([]unix.EpollEvent, loadBatch)
	for l.left > 0 {
		n, err := unix.EpollWait(l.epoll, events, 1000)
		if err != nil && err != unix.EINTR {
			return l.result, err
		}
		for _, e := range events[:max(n, 0)] {
			if err := l.receive(l.readers[e.Fd]); err != nil {
				return l.result, err
			}
		}
		if n == 0 {
			if err := l.repeat(); err != nil {
				return l.result, err
			}
		}
	}
	l.result.Seconds = time.Since(start).Seconds()
	return l.result, nil
}

func (l *load) request(r *loadReader) error {
	r.heardAt = time.Now()
	b := []byte("\x00\x01" + l.spec.File + "\x00octet\x00")
	if l.spec.Block != 512 {
		b = append(b, "blksize\x00"+strconv.Itoa(l.spec.Block)+"\x00"...)
	}
	if l.spec.Window != 1 {
		b = append(b, "windowsize\x00"+strconv.Itoa(l.spec.Window)+"\x00"...)
	}
	return unix.Sendto(r.fd, b, 0, &l.server)
}

// repeat sends again what had no answer for a while.
func (l *load) repeat() error {
	for _, r := range l.readers {
		if time.Since(r.heardAt) > 20*time.Second {
			return fmt.Errorf("server is silent after %d bytes", r.bytes)
		}
		l.result.Repeats++
		if r.bound {
			if err := r.ack(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *loadReader) ack() error {
	r.acked = r.have
	var b [4]byte
	b[1] = 4
	binary.BigEndian.PutUint16(b[2:], uint16(r.have))
	_, err := unix.Write(r.fd, b[:])
	return err
}

func (l *load) receive(r *loadReader) error {
	if r == nil {
		return nil
	}
	count := loadBatch
	l.headers[0].Name = nil
	l.headers[0].Namelen = 0
	if !r.bound { // learn the server's port from one packet
		count = 1
		l.headers[0].Name = (*byte)(unsafe.Pointer(&l.from))
		l.headers[0].Namelen = unix.SizeofSockaddrInet4
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(r.fd), uintptr(unsafe.Pointer(&l.headers[0])), uintptr(count), unix.MSG_DONTWAIT, 0, 0)
	switch {
	case errno == unix.EAGAIN:
		return nil
	case errno != 0:
		return os.NewSyscallError("recvmmsg", errno)
	}
	if !r.bound {
		r.bound = true
		port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&l.from.Port))[:])
		if err := unix.Connect(r.fd, &unix.SockaddrInet4{Port: int(port), Addr: l.from.Addr}); err != nil {
			return err
		}
	}
	r.heardAt = time.Now()
	for i := range int(n) {
		if done, err := l.take(r, l.data[i][:l.headers[i].n]); done || err != nil {
			return err
		}
	}
	return nil
}

// take takes a packet, and reports whether it was the last one.
func (l *load) take(r *loadReader, b []byte) (bool, error) {
	switch {
	case len(b) < 4:
		return false, errors.New("short packet")
	case b[1] == 5:
		return false, fmt.Errorf("server says %q", b[4:])
	case b[1] == 6:
		r.agree(b)
		return false, r.ack()
	}
	number := int64(binary.BigEndian.Uint16(b[2:]))
	if number != (r.have+1)&0xffff {
		if r.acked != r.have { // a gap
			return false, r.ack()
		}
		return false, nil
	}
	r.have++
	r.bytes += int64(len(b) - 4)
	l.result.Packets++
	last := len(b)-4 < r.block
	if !last && r.have-r.acked < int64(r.window) {
		return false, nil
	}
	if err := r.ack(); err != nil {
		return false, err
	}
	if last {
		if r.bytes != l.spec.Size {
			return false, fmt.Errorf("got %d bytes of %d", r.bytes, l.spec.Size)
		}
		delete(l.readers, int32(r.fd))
		l.left--
		return true, unix.Close(r.fd)
	}
	return false, nil
}

// agree takes over the options that the server acknowledged.
func (r *loadReader) agree(b []byte) {
	words := strings.Split(string(b[2:]), "\x00")
	for i := 0; i+1 < len(words); i += 2 {
		switch n, _ := strconv.Atoi(words[i+1]); words[i] {
		case "blksize":
			r.block = n
		case "windowsize":
			r.window = n
		}
	}
}

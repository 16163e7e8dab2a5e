package tftp

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A controlBuffer has room for what goes with one message, aligned as struct
// cmsghdr must be.
type controlBuffer [12]uint64

func (c *controlBuffer) bytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(c)), unsafe.Sizeof(*c))
}

// putControl puts a header, and returns where its data goes.
func putControl(control []byte, level, kind int32, size int) unsafe.Pointer {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	h.Level, h.Type = level, kind
	h.SetLen(unix.CmsgLen(size))
	return unsafe.Pointer(&control[unix.CmsgLen(0)])
}

// segmentSpace is what putSegment takes.
var segmentSpace = unix.CmsgSpace(2)

// putSegment has a message cut into packets of that size.
func putSegment(control []byte, size int) int {
	*(*uint16)(putControl(control, unix.SOL_UDP, unix.UDP_SEGMENT, 2)) = uint16(size)
	return segmentSpace
}

// putLocal has a message sent from that address, and returns the space it took.
func putLocal(control []byte, local netip.Addr, inet6 bool) int {
	if inet6 {
		data := putControl(control, unix.SOL_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
		*(*unix.Inet6Pktinfo)(data) = unix.Inet6Pktinfo{Addr: local.As16(), Ifindex: zone(local)}
		return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
	}
	data := putControl(control, unix.SOL_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
	*(*unix.Inet4Pktinfo)(data) = unix.Inet4Pktinfo{Spec_dst: local.As4()}
	return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
}

// parseLocal returns the address that a datagram was sent to, or that of the
// interface if it was broadcast.
func parseLocal(control []byte) (local netip.Addr, broadcast bool) {
	for len(control) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		if uint64(h.Len) < unix.SizeofCmsghdr || uint64(h.Len) > uint64(len(control)) {
			break
		}
		data := control[min(unix.CmsgLen(0), len(control)):h.Len]
		switch {
		case h.Level == unix.SOL_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0]))
			return netip.AddrFrom4(info.Spec_dst), info.Addr != info.Spec_dst
		case h.Level == unix.SOL_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0]))
			local = withZone(netip.AddrFrom16(info.Addr).Unmap(), info.Ifindex)
			return local, local.IsMulticast() || local == netip.AddrFrom4([4]byte{255, 255, 255, 255})
		}
		control = control[min(unix.CmsgSpace(int(h.Len)-unix.CmsgLen(0)), len(control)):]
	}
	return netip.Addr{}, false
}

func putName(sa *unix.RawSockaddrInet6, a netip.AddrPort, inet6 bool) uint32 {
	if inet6 {
		*sa = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: networkOrder(a.Port()), Addr: a.Addr().As16(), Scope_id: zone(a.Addr())}
		return unix.SizeofSockaddrInet6
	}
	*(*unix.RawSockaddrInet4)(unsafe.Pointer(sa)) = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: networkOrder(a.Port()), Addr: a.Addr().As4()}
	return unix.SizeofSockaddrInet4
}

func parseName(sa *unix.RawSockaddrInet6) netip.AddrPort {
	if sa.Family == unix.AF_INET {
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(sa4.Addr), networkOrder(sa4.Port))
	}
	return netip.AddrPortFrom(withZone(netip.AddrFrom16(sa.Addr).Unmap(), sa.Scope_id), networkOrder(sa.Port))
}

// withZone adds the index of an interface to an address that has no meaning
// without.
func withZone(a netip.Addr, index uint32) netip.Addr {
	if index == 0 || !a.Is6() || !a.IsLinkLocalUnicast() {
		return a
	}
	return a.WithZone(strconv.FormatUint(uint64(index), 10))
}

func zone(a netip.Addr) uint32 {
	n, _ := strconv.ParseUint(a.Zone(), 10, 32)
	return uint32(n)
}

// networkOrder turns a port into what lies in memory as the network has it, and
// back.
func networkOrder(port uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&port))[:])
}

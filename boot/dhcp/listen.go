package dhcp

import (
	"context"
	"fmt"
	"net"

	"github.com/ferrule/ferrule/task"
	"golang.org/x/net/ipv6"
	"golang.org/x/sync/errgroup"
)

// ListenAndServe serves DHCPv4 on the network interface with that name until ctx
// ends, and returns ctx's cause then: port 67, and in Proxy mode port 4011 too.
// It needs the right to bind those ports and, on Linux, to bind them to one
// interface (CAP_NET_RAW). When it returns, the sockets are closed.
func (r *Responder) ListenAndServe(ctx context.Context, ifname string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var g errgroup.Group
	serve := func(port int) {
		g.Go(func() error {
			err := listen(ctx, "udp4", ifname, port, func(conn *net.UDPConn, only *net.Interface) error {
				return r.serve4(ctx, conn, port == pxePort, indexOf(only))
			})
			cancel(err) // one without the other would leave machines half way
			return err
		})
	}
	serve(serverPort)
	if r.cfg.Mode == Proxy {
		serve(pxePort)
	}
	return g.Wait()
}

// ListenAndServe6 serves DHCPv6 on the network interface with that name until
// ctx ends, and returns ctx's cause then. Clients ask only where a router
// advertisement tells them to; those come from the site's router.
func (r *Responder) ListenAndServe6(ctx context.Context, ifname string) error {
	return listen(ctx, "udp6", ifname, serverPort6, func(conn *net.UDPConn, only *net.Interface) error {
		if err := ipv6.NewPacketConn(conn).JoinGroup(only, &net.UDPAddr{IP: net.ParseIP("ff02::1:2")}); err != nil {
			return &task.Error{Op: "dhcp.ListenAndServe6", Field: ifname, Err: fmt.Errorf("joining the group of DHCPv6 servers: %w", err),
				Remedy: "check that the interface is up and has IPv6"}
		}
		return r.serve6(ctx, conn, indexOf(only))
	})
}

func listen(ctx context.Context, network, ifname string, port int, serve func(*net.UDPConn, *net.Interface) error) error {
	only, err := net.InterfaceByName(ifname)
	if err != nil {
		return &task.Error{Op: "dhcp.ListenAndServe", Field: ifname, Err: err, Remedy: "name a network interface of this machine"}
	}
	lc := net.ListenConfig{Control: bindTo(ifname)}
	conn, err := lc.ListenPacket(ctx, network, fmt.Sprintf(":%d", port))
	if err != nil {
		return &task.Error{Op: "dhcp.ListenAndServe", Field: ifname, Err: err, Remedy: "run with the right to bind the port, and stop other DHCP servers on this interface"}
	}
	defer conn.Close()
	return serve(conn.(*net.UDPConn), only)
}

// indexOf returns the index of the interface that requests must have come
// through, 0 where the socket sees no others anyway.
func indexOf(only *net.Interface) int {
	if bindsToInterface {
		return 0
	}
	return only.Index
}

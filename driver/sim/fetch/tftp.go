package fetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	defaultBlock = 512 // RFC 1350
	minBlock     = 8   // RFC 2348
	maxBlock     = 65464
)

// fetchTFTP asks with options, then without if the server refuses them.
func (c *Client) fetchTFTP(ctx context.Context, u *url.URL) ([]byte, error) {
	file := strings.TrimPrefix(u.Path, "/")
	if file == "" || strings.Contains(file, "\x00") {
		return nil, errors.New("URL has no usable file name")
	}
	server, err := resolve(ctx, u)
	if err != nil {
		return nil, err
	}
	data, err := c.read(ctx, server, file, c.offer())
	var refused *TFTPError
	if errors.As(err, &refused) && refused.Code == codeNegotiation {
		data, err = c.read(ctx, server, file, nil)
	}
	return data, err
}

func resolve(ctx context.Context, u *url.URL) (netip.AddrPort, error) {
	port := uint64(69)
	if u.Port() != "" {
		var err error
		if port, err = strconv.ParseUint(u.Port(), 10, 16); err != nil {
			return netip.AddrPort{}, errors.New("URL has no usable port")
		}
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(addrs[0].Unmap(), uint16(port)), nil
}

// offer returns the options to ask for.
func (c *Client) offer() []option {
	options := []option{{"tsize", 0}}
	block := c.BlockSize
	if block == 0 {
		block = 1432
	}
	if block >= minBlock && block <= maxBlock {
		options = append(options, option{"blksize", block})
	}
	if s := c.timeout() / time.Second; s*time.Second == c.timeout() && s >= 1 && s <= 255 {
		options = append(options, option{"timeout", int(s)})
	}
	return options
}

func (c *Client) timeout() time.Duration {
	if c.Timeout == 0 {
		return time.Second
	}
	return c.Timeout
}

func (c *Client) retries() int {
	if c.Retries == 0 {
		return 5
	}
	return max(c.Retries, 0)
}

// A transfer is one read request and what comes of it.
type transfer struct {
	conn   *net.UDPConn
	server netip.AddrPort // after the first answer with the port of the transfer
	bound  bool           // server has that port
	buf    []byte

	block int   // size of a full block
	size  int64 // announced; -1 if not
}

func (c *Client) read(ctx context.Context, server netip.AddrPort, file string, options []option) ([]byte, error) {
	var lc net.ListenConfig
	network := "udp4"
	if server.Addr().Is6() {
		network = "udp6"
	}
	pc, err := lc.ListenPacket(ctx, network, ":0")
	if err != nil {
		return nil, err
	}
	defer func() { _ = pc.Close() }()
	t := &transfer{conn: pc.(*net.UDPConn), server: server, buf: make([]byte, 1<<16), block: defaultBlock, size: -1}
	stop := context.AfterFunc(ctx, func() { _ = t.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()

	var data []byte
	send, want := readRequest(file, options), uint16(1)
	for {
		p, err := c.exchange(ctx, t, send, want)
		if err != nil {
			return nil, err
		}
		switch {
		case p.op == opAcknowledge:
			if err := t.accept(p.options, options); err != nil {
				t.fail(codeNegotiation, "option not asked for")
				return nil, err
			}
			if t.size > c.maxBytes() {
				t.fail(codeFull, "file too large")
				return nil, c.tooLarge()
			}
			send = ack(0)
			continue
		case len(p.data) > t.block:
			t.fail(codeIllegal, "block too large")
			return nil, fmt.Errorf("server sent a block of %d bytes where %d were agreed", len(p.data), t.block)
		case int64(len(data)+len(p.data)) > c.maxBytes():
			t.fail(codeFull, "file too large")
			return nil, c.tooLarge()
		}
		data = append(data, p.data...)
		send = ack(want)
		want++ // from 65535 to 0
		if len(p.data) < t.block {
			break
		}
	}
	// The last ACK is sent once: should it be lost the server repeats itself in
	// vain, and has sent everything nonetheless.
	t.write(send)
	if t.size >= 0 && int64(len(data)) != t.size {
		return nil, fmt.Errorf("server announced %d bytes and sent %d", t.size, len(data))
	}
	return data, nil
}

// accept takes over the options of an OACK, which must be among those offered.
func (t *transfer) accept(got map[string]string, offered []option) error {
	for name, text := range got {
		value, err := strconv.ParseInt(text, 10, 64)
		ok := false
		for _, o := range offered {
			if o.name != name || err != nil {
				continue
			}
			switch name {
			case "tsize":
				t.size, ok = value, value >= 0
			case "blksize":
				t.block, ok = int(value), value >= minBlock && value <= int64(o.value)
			case "timeout":
				ok = value == int64(o.value)
			}
		}
		if !ok {
			return fmt.Errorf("server acknowledged option %q with %q, which was not asked for", name, text)
		}
	}
	return nil
}

// exchange sends a packet until the next DATA block, or the OACK of a read
// request, comes. Nothing that others send prolongs the wait.
func (c *Client) exchange(ctx context.Context, t *transfer, send []byte, want uint16) (packet, error) {
	request := send[1] == opRead
	for range c.retries() + 1 {
		t.write(send)
		deadline := time.Now().Add(c.timeout())
		for {
			p, from, err := t.receive(ctx, deadline)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			switch {
			case err != nil:
				return packet{}, err
			case p.op == opError:
				return packet{}, p.err
			case p.op == opAcknowledge && request, p.op == opData && p.block == want:
				t.server, t.bound = from, true
				return p, nil
			case p.op == opData && p.block == want-1 && !request, p.op == opAcknowledge && want == 1:
				t.write(send) // our last packet was lost
			}
		}
	}
	return packet{}, fmt.Errorf("%w from %s to %d requests, %v apart", ErrTimeout, t.server.Addr(), c.retries()+1, c.timeout())
}

// receive returns the next packet of the server and where it came from: any of
// its ports until the transfer is bound to one. Malformed ones are skipped.
func (t *transfer) receive(ctx context.Context, deadline time.Time) (packet, netip.AddrPort, error) {
	for {
		if err := t.conn.SetReadDeadline(deadline); err != nil {
			return packet{}, netip.AddrPort{}, err
		}
		// A cancel before this line is seen here, one after it moves the deadline.
		if err := ctx.Err(); err != nil {
			return packet{}, netip.AddrPort{}, err
		}
		n, from, err := t.conn.ReadFromUDPAddrPort(t.buf)
		if ctx.Err() != nil {
			return packet{}, netip.AddrPort{}, ctx.Err()
		}
		if err != nil {
			return packet{}, netip.AddrPort{}, err
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if from.Addr().WithZone("") != t.server.Addr().WithZone("") || t.bound && from.Port() != t.server.Port() {
			_, _ = t.conn.WriteToUDPAddrPort(errorPacket(codeUnknownTID, "unknown transfer ID"), from)
			continue
		}
		if p, err := parsePacket(t.buf[:n]); err == nil {
			return p, from, nil
		}
	}
}

// write sends; what is lost on the way out is as good as lost further on.
func (t *transfer) write(b []byte) { _, _ = t.conn.WriteToUDPAddrPort(b, t.server) }

func (t *transfer) fail(code uint16, message string) { t.write(errorPacket(code, message)) }

package fetch_test

import (
	"encoding/binary"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tftpServer sends one file, with faults. It never repeats itself unasked, so
// that a loss shows whether the client asks again.
type tftpServer struct {
	file []byte

	noOptions   bool              // ignores options
	refuse      uint16            // answers options with this error
	fail        []byte            // answers every request with this packet
	options     map[string]string // overrides values in the OACK; "" leaves one out
	loseRequest int               // requests to lose
	loseData    map[int]bool      // blocks whose first sending is lost; 0 is the OACK
	silentAfter int               // block after which nothing comes any more; 0: never
	twice       bool              // sends everything twice, ignores repeated ACKs
	garbage     bool              // sends nonsense before each packet
	stranger    bool              // has a stranger send a block before each block, once the transfer has a port

	conn net.PacketConn
	wg   sync.WaitGroup

	mu        sync.Mutex // guards what follows
	requests  [][]string
	transfers []net.PacketConn
	errors    []uint16 // codes that the client sent
	rejected  int      // times that the stranger was answered with error 5
	sent      map[int]bool
}

func (s *tftpServer) start(t *testing.T) string {
	t.Helper()
	var err error
	s.conn, err = net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	s.wg.Go(s.serve)
	t.Cleanup(s.stop)
	return "tftp://" + s.conn.LocalAddr().String() + "/dir/file%201"
}

// wait waits for the transfers to end, which they do at the last ACK and at an
// error packet.
func (s *tftpServer) wait() {
	_ = s.conn.Close()
	s.wg.Wait()
}

// stop ends them.
func (s *tftpServer) stop() {
	_ = s.conn.Close()
	s.mu.Lock()
	for _, conn := range s.transfers {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *tftpServer) serve() {
	buf := make([]byte, 2048)
	for {
		n, client, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		s.mu.Lock()
		words := strings.Split(strings.TrimSuffix(string(buf[2:n]), "\x00"), "\x00")
		s.requests = append(s.requests, words)
		lost := len(s.requests) <= s.loseRequest
		s.mu.Unlock()
		if lost {
			continue
		}
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			return
		}
		s.mu.Lock()
		s.transfers = append(s.transfers, conn)
		s.mu.Unlock()
		s.wg.Go(func() { s.transfer(conn, client, words[2:]) })
	}
}

func (s *tftpServer) transfer(conn net.PacketConn, client net.Addr, options []string) {
	defer func() { _ = conn.Close() }()
	switch {
	case s.fail != nil:
		_, _ = conn.WriteTo(s.fail, client)
		return
	case s.refuse != 0 && len(options) > 0:
		_, _ = conn.WriteTo(wireError(s.refuse, "no options here"), client)
		return
	}
	next, size := 1, 512
	oack := []byte(nil)
	if len(options) > 0 && !s.noOptions {
		next = 0
		oack, size = s.negotiate(options)
	}
	send := func() {
		if s.loses(next) {
			return
		}
		if s.stranger && next > 0 {
			s.intrude(client, uint16(next))
		}
		packet := oack
		if next > 0 {
			from := min((next-1)*size, len(s.file))
			packet = append(binary.BigEndian.AppendUint16([]byte{0, 3}, uint16(next)), s.file[from:min(from+size, len(s.file))]...)
		}
		if s.garbage {
			for _, g := range []string{"", "\x00\x03", "\x00\x09zzzz", "\x00\x06x", "\x00\x03\x77\x77wrong block"} {
				_, _ = conn.WriteTo([]byte(g), client)
			}
		}
		_, _ = conn.WriteTo(packet, client)
		if s.twice {
			_, _ = conn.WriteTo(packet, client)
		}
	}
	send()
	buf := make([]byte, 2048)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		n, _, err := conn.ReadFrom(buf)
		if err != nil || n < 4 {
			return
		}
		number := binary.BigEndian.Uint16(buf[2:])
		switch {
		case buf[1] == 5:
			s.mu.Lock()
			s.errors = append(s.errors, number)
			s.mu.Unlock()
			return
		case buf[1] == 4 && number == uint16(next):
			if next > 0 && next*size > len(s.file) {
				return
			}
			next++
			send()
		case buf[1] == 4 && number == uint16(next-1) && !s.twice:
			send()
		}
	}
}

// loses reports whether a block, or the OACK for 0, is lost this time.
func (s *tftpServer) loses(block int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.sent[block]
	if s.sent == nil {
		s.sent = map[int]bool{}
	}
	s.sent[block] = true
	return s.loseData[block] && first || s.silentAfter > 0 && block > s.silentAfter
}

// negotiate acknowledges what was asked for, or what options says instead.
func (s *tftpServer) negotiate(asked []string) (oack []byte, size int) {
	oack, size = []byte{0, 6}, 512
	values := map[string]string{}
	for i := 0; i+1 < len(asked); i += 2 {
		values[asked[i]] = asked[i+1]
	}
	values["tsize"] = strconv.Itoa(len(s.file))
	for name, value := range s.options {
		values[name] = value
	}
	for name, value := range values {
		if value != "" {
			oack = append(oack, strings.ToUpper(name)+"\x00"+value+"\x00"...)
		}
	}
	if n, err := strconv.Atoi(values["blksize"]); err == nil {
		size = n
	}
	return oack, size
}

// intrude has a stranger send a block, and waits for what the client says.
func (s *tftpServer) intrude(client net.Addr, block uint16) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = conn.WriteTo(append(binary.BigEndian.AppendUint16([]byte{0, 3}, block), "forged"...), client)
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	buf := make([]byte, 64)
	if n, _, err := conn.ReadFrom(buf); err == nil && n > 4 && buf[1] == 5 && buf[3] == 5 {
		s.mu.Lock()
		s.rejected++
		s.mu.Unlock()
	}
}

func wireError(code uint16, message string) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0, 5}, code), message+"\x00"...)
}

package tftp

import (
	"strconv"
	"time"
)

// The bounds of what clients may ask for.
const (
	defaultBlock = 512 // RFC 1350
	minBlock     = 8   // RFC 2348
	maxBlock     = 65464
	maxWindow    = 64 // of the 65535 blocks of RFC 7440
	maxTimeout   = 30 // of the 255 seconds of RFC 2349
)

// terms are what a transfer goes by.
type terms struct {
	block   int // bytes of data in each packet but the last
	window  int // blocks that are sent before an ACK is awaited
	timeout time.Duration
	oack    []byte // the packet that acknowledges options; nil without
}

// negotiate returns the terms for a file of that size. An option that is not
// known, makes no sense or was given before is left out of the acknowledgement,
// which tells the client that it does not hold.
func (s *Server) negotiate(options []option, size int64) terms {
	t := terms{block: defaultBlock, window: 1, timeout: s.timeout()}
	var done [4]bool
	once := func(i int) bool {
		first := !done[i]
		done[i] = true
		return first
	}
	accept := func(name string, value int64) {
		if t.oack == nil {
			t.oack = []byte{0, opOptionAck}
		}
		t.oack = append(append(t.oack, name...), 0)
		t.oack = append(strconv.AppendInt(t.oack, value, 10), 0)
	}
	for _, o := range options {
		value, err := strconv.ParseUint(o.value, 10, 32)
		if err != nil {
			continue
		}
		switch {
		case o.name == "blksize" && value >= minBlock && once(0):
			t.block = int(min(value, uint64(s.maxBlock())))
			accept(o.name, int64(t.block))
		case o.name == "windowsize" && value >= 1 && once(1):
			t.window = int(min(value, maxWindow))
			accept(o.name, int64(t.window))
		case o.name == "timeout" && value >= 1 && value <= maxTimeout && once(2):
			t.timeout = time.Duration(value) * time.Second
			accept(o.name, int64(value))
		case o.name == "tsize" && once(3):
			accept(o.name, size)
		}
	}
	return t
}

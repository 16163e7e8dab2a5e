package pdu

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"net"
)

// A Batch gathers PDUs for one write. Data is not copied: it must stay as it is
// until Flush returns.
type Batch struct {
	HeaderDigest, DataDigest bool

	slab []byte // headers, padding and digests
	iov  [][]byte
	size int
}

// Add appends a PDU. The header is copied, with its data length set.
func (b *Batch) Add(h *Header, data []byte) {
	at := len(b.slab)
	b.slab = append(b.slab, h[:]...)
	head := (*Header)(b.slab[at:])
	head.SetDataLen(len(data))
	if b.HeaderDigest {
		b.slab = binary.LittleEndian.AppendUint32(b.slab, crc32.Checksum(head[:], castagnoli))
	}
	b.append(b.slab[at:])
	if len(data) == 0 {
		return
	}
	b.append(data)
	at = len(b.slab)
	b.slab = append(b.slab, zeros[:padding(len(data))]...)
	if b.DataDigest {
		sum := crc32.Update(crc32.Checksum(data, castagnoli), castagnoli, b.slab[at:])
		b.slab = binary.LittleEndian.AppendUint32(b.slab, sum)
	}
	if len(b.slab) > at {
		b.append(b.slab[at:])
	}
}

var zeros [3]byte

func (b *Batch) append(p []byte) {
	b.iov = append(b.iov, p[:len(p):len(p)])
	b.size += len(p)
}

// Size is how many bytes Flush would write.
func (b *Batch) Size() int { return b.size }

// Pieces is how many pieces they are in.
func (b *Batch) Pieces() int { return len(b.iov) }

// Flush writes what was added, with as few system calls as w allows, and
// empties the batch.
func (b *Batch) Flush(w io.Writer) error {
	if b.size == 0 {
		return nil
	}
	var err error
	if len(b.iov) == 1 {
		_, err = w.Write(b.iov[0])
	} else {
		bufs := net.Buffers(b.iov)
		_, err = bufs.WriteTo(w)
	}
	clear(b.iov)
	b.iov, b.slab, b.size = b.iov[:0], b.slab[:0], 0
	return err
}

package image

import (
	"encoding/binary"
	"fmt"
	"io"
)

const (
	qcow2HeaderSize = 112
	qcow2Version2   = 72 // bytes of its header

	// maxTables is how much of a qcow2 image's tables is kept in memory: those
	// of 128 GiB of data, with clusters of 64 KiB.
	maxTables = 16 << 20
)

// Incompatible features.
const (
	featureDirty       = 1 << 0 // refcounts may be wrong; nothing here reads them
	featureCorrupt     = 1 << 1
	featureDataFile    = 1 << 2
	featureCompression = 1 << 3
	featureExtended    = 1 << 4 // subclusters
)

// A qcow2Header is what of a qcow2 image's header is needed to read it.
type qcow2Header struct {
	version     uint32
	clusterBits uint
	size        int64 // of the disk
	l1Size      int64 // entries
	l1Offset    int64
	extended    bool
	zstd        bool
	snapshots   uint32
}

func (h *qcow2Header) cluster() int64 { return 1 << h.clusterBits }

// entrySize is of a table of the second level.
func (h *qcow2Header) entrySize() int64 {
	if h.extended {
		return 16
	}
	return 8
}

func (h *qcow2Header) perTable() int64 { return h.cluster() / h.entrySize() }

// clusters is how many the disk has.
func (h *qcow2Header) clusters() int64 { return (h.size + h.cluster() - 1) >> h.clusterBits }

func unsupportedQCOW2(format string, args ...any) error {
	return fmt.Errorf("%w: qcow2: %s", ErrUnsupported, fmt.Sprintf(format, args...))
}

func malformedQCOW2(format string, args ...any) error {
	return fmt.Errorf("%w: qcow2: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// parseQCOW2 reads a header and refuses what would have the image read other
// files, or what is unknown.
func parseQCOW2(b []byte) (*qcow2Header, error) {
	if found := otherFormat(b); found != isQCOW2 {
		if found == "" {
			found = "something else"
		}
		return nil, notAs(QCOW2, found)
	}
	if len(b) < qcow2Version2 {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrTruncated, len(b))
	}
	be := binary.BigEndian
	h := &qcow2Header{version: be.Uint32(b[4:]), clusterBits: uint(be.Uint32(b[20:])), size: int64(be.Uint64(b[24:])),
		l1Size: int64(be.Uint32(b[36:])), l1Offset: int64(be.Uint64(b[40:])), snapshots: be.Uint32(b[60:])}
	switch {
	case h.version != 2 && h.version != 3:
		return nil, unsupportedQCOW2("version %d", h.version)
	case be.Uint64(b[8:]) != 0:
		return nil, unsupportedQCOW2("it has a backing file; flatten it with qemu-img convert")
	case be.Uint32(b[32:]) != 0:
		return nil, unsupportedQCOW2("it is encrypted")
	case h.clusterBits < 9 || h.clusterBits > 21:
		return nil, malformedQCOW2("clusters of 2^%d bytes", h.clusterBits)
	case h.size <= 0:
		return nil, malformedQCOW2("a disk of %d bytes", h.size)
	}
	if h.version == 3 {
		if err := h.features(b); err != nil {
			return nil, err
		}
	}
	return h, h.check()
}

// features reads what version 3 adds.
func (h *qcow2Header) features(b []byte) error {
	if len(b) < 104 {
		return fmt.Errorf("%w: it has %d bytes", ErrTruncated, len(b))
	}
	be := binary.BigEndian
	f, length := be.Uint64(b[72:]), be.Uint32(b[100:])
	switch {
	case f&featureDataFile != 0:
		return unsupportedQCOW2("its data is in another file")
	case f&featureCorrupt != 0:
		return malformedQCOW2("it is marked corrupt; repair it with qemu-img check")
	case f&^(featureDirty|featureCompression|featureExtended) != 0:
		return unsupportedQCOW2("unknown incompatible features %#x", f)
	case length < 104:
		return malformedQCOW2("a header of %d bytes", length)
	}
	h.extended = f&featureExtended != 0
	if f&featureCompression == 0 {
		return nil
	}
	if length < 105 || len(b) < 105 {
		return malformedQCOW2("no compression type")
	}
	switch b[104] {
	case 0:
	case 1:
		h.zstd = true
	default:
		return unsupportedQCOW2("compression type %d", b[104])
	}
	return nil
}

// check refuses tables that cannot be.
func (h *qcow2Header) check() error {
	if h.extended && h.clusterBits < 14 {
		return malformedQCOW2("subclusters in clusters of %d bytes", h.cluster())
	}
	if h.clusters() > 1<<32 {
		return unsupportedQCOW2("a disk of %d bytes in clusters of %d", h.size, h.cluster())
	}
	tables := (h.clusters() + h.perTable() - 1) / h.perTable()
	switch {
	case h.l1Size < tables:
		return malformedQCOW2("a first-level table of %d entries for %d tables", h.l1Size, tables)
	case h.l1Offset <= 0 || h.l1Offset%h.cluster() != 0:
		return malformedQCOW2("a first-level table at %d", h.l1Offset)
	case tables*8 > maxTables:
		return unsupportedQCOW2("a first-level table of %d bytes; more than %d are not read", tables*8, maxTables)
	}
	h.l1Size = tables
	return nil
}

// A region is a part of the image file that was read as a table.
type region struct {
	off  int64
	data []byte
}

// qcow2Tables say where in the file each cluster of the disk is.
type qcow2Tables struct {
	*qcow2Header
	regions []region // of the file, in no order
	l2      [][]byte // nil where nothing of the disk is in the file
}

// readQCOW2 reads the tables through read, which fills p.
func readQCOW2(start []byte, read func(p []byte, off int64) error) (*qcow2Tables, error) {
	start = start[:min(len(start), qcow2HeaderSize)]
	h, err := parseQCOW2(start)
	if err != nil {
		return nil, err
	}
	t := &qcow2Tables{qcow2Header: h, l2: make([][]byte, h.l1Size)}
	t.regions = append(t.regions, region{0, append([]byte(nil), start...)})
	l1 := make([]byte, h.l1Size*8)
	if err := t.read(read, l1, h.l1Offset); err != nil {
		return nil, err
	}
	room := maxTables - int64(len(l1))
	for i := range t.l2 {
		e := binary.BigEndian.Uint64(l1[i*8:])
		off := int64(e & offsetMask)
		switch {
		case e&^(offsetMask|flagCopied) != 0 || off%h.cluster() != 0:
			return nil, malformedQCOW2("entry %d of the first-level table is %#x", i, e)
		case off == 0:
			continue
		case room < h.cluster():
			return nil, unsupportedQCOW2("its tables are larger than %d bytes; convert it to larger clusters, or to raw", maxTables)
		}
		room -= h.cluster()
		t.l2[i] = make([]byte, h.cluster())
		if err := t.read(read, t.l2[i], off); err != nil {
			return nil, err
		}
	}
	return t, t.check()
}

func (t *qcow2Tables) read(read func(p []byte, off int64) error, p []byte, off int64) error {
	t.regions = append(t.regions, region{off, p})
	return read(p, off)
}

const (
	offsetMask     = 1<<56 - 1<<9
	flagCopied     = 1 << 63
	flagCompressed = 1 << 62
	flagZero       = 1 << 0
	allSubclusters = 1<<32 - 1
)

// A cluster is one of the disk.
type cluster struct {
	off        int64 // in the file
	length     int64 // in the file; 0 where the file has nothing of it
	compressed bool
	subs       uint32 // of the 32 subclusters, those that are in the file
}

// cluster returns the one of that number.
func (t *qcow2Tables) cluster(n int64) cluster {
	table := t.l2[n/t.perTable()]
	if table == nil {
		return cluster{}
	}
	at := n % t.perTable() * t.entrySize()
	e := binary.BigEndian.Uint64(table[at:])
	if e&flagCompressed != 0 {
		bits := 62 - (t.clusterBits - 8)
		off := int64(e & (1<<bits - 1))
		sectors := int64(e&(flagCompressed-1)) >> bits
		return cluster{off: off, length: (sectors+1)*512 - off%512, compressed: true, subs: allSubclusters}
	}
	c := cluster{off: int64(e & offsetMask), length: t.qcow2Header.cluster(), subs: allSubclusters}
	switch {
	case t.extended:
		c.subs = uint32(binary.BigEndian.Uint64(table[at+8:]))
	case e&flagZero != 0:
		c.subs = 0
	}
	if c.off == 0 {
		c.subs = 0
	}
	if c.subs == 0 {
		return cluster{}
	}
	return c
}

// check refuses entries that cannot be.
func (t *qcow2Tables) check() error {
	for i, table := range t.l2 {
		for at := int64(0); at < int64(len(table)); at += t.entrySize() {
			e := binary.BigEndian.Uint64(table[at:])
			if e&flagCompressed != 0 {
				continue
			}
			allowed := uint64(offsetMask | flagCopied | flagZero)
			if t.extended || t.version == 2 {
				allowed &^= flagZero
			}
			bad := e&^allowed != 0 || int64(e&offsetMask)%t.qcow2Header.cluster() != 0
			if t.extended {
				m := binary.BigEndian.Uint64(table[at+8:])
				bad = bad || uint32(m)&uint32(m>>32) != 0 || e&offsetMask == 0 && uint32(m) != 0
			}
			if bad {
				return malformedQCOW2("entry %d of table %d is %#x", at/t.entrySize(), i, e)
			}
		}
	}
	return nil
}

// span returns where cluster n is on the disk.
func (t *qcow2Tables) span(n int64) (off, length int64) {
	off = n << t.clusterBits
	return off, min(t.qcow2Header.cluster(), t.size-off)
}

// A QCOW2Reader is the disk in a qcow2 image, for reading at random.
type QCOW2Reader struct {
	tables *qcow2Tables
	file   io.ReaderAt
	length int64 // of the file
	codecs chan inflater
}

// NewQCOW2Reader reads the tables of the image in file, which has size bytes.
// Images that need other files, that are encrypted, or whose tables are larger
// than 16 MiB are refused.
func NewQCOW2Reader(file io.ReaderAt, size int64) (*QCOW2Reader, error) {
	s := &fileStream{SectionReader: io.NewSectionReader(file, 0, size)}
	start := make([]byte, min(qcow2HeaderSize, size))
	if err := s.readAt(start, 0); err != nil {
		return nil, err
	}
	t, err := readQCOW2(start, s.readAt)
	if err != nil {
		return nil, err
	}
	return &QCOW2Reader{tables: t, file: file, length: size, codecs: make(chan inflater, 4)}, nil
}

// Size is of the disk.
func (r *QCOW2Reader) Size() int64 { return r.tables.size }

// ReadAt reads from the disk. It may be called by several goroutines.
func (r *QCOW2Reader) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("%w: read at %d", ErrFormat, off)
	}
	for n < len(p) && off < r.Size() {
		start, length := r.tables.span(off >> r.tables.clusterBits)
		part := p[n:min(len(p), n+int(start+length-off))]
		if err := r.readCluster(part, off-start, r.tables.cluster(off>>r.tables.clusterBits)); err != nil {
			return n, err
		}
		n, off = n+len(part), off+int64(len(part))
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (r *QCOW2Reader) readCluster(p []byte, at int64, c cluster) error {
	if c.length > 0 && c.off >= r.length {
		return fmt.Errorf("%w: a cluster at %d of %d bytes", ErrTruncated, c.off, r.length)
	}
	switch {
	case c.length == 0:
		clear(p)
		return nil
	case c.compressed:
		return r.readCompressed(p, at, c)
	}
	sub := r.tables.qcow2Header.cluster() / 32
	for len(p) > 0 {
		i, n := at/sub, min(int64(len(p)), sub-at%sub)
		if c.subs == allSubclusters {
			n = int64(len(p))
		}
		if c.subs>>i&1 == 0 {
			clear(p[:n])
		} else if err := r.readFile(p[:n], c.off+at); err != nil {
			return err
		}
		p, at = p[n:], at+n
	}
	return nil
}

// readFile reads from the file; what is behind its end is zeros, as for the last
// cluster of a file that ends within it.
func (r *QCOW2Reader) readFile(p []byte, off int64) error {
	n, err := r.file.ReadAt(p, off)
	if n < len(p) && err != io.EOF {
		return fmt.Errorf("%w: %w", ErrSource, err)
	}
	clear(p[n:])
	return nil
}

func (r *QCOW2Reader) readCompressed(p []byte, at int64, c cluster) error {
	src := make([]byte, c.length)
	if err := r.readFile(src, c.off); err != nil {
		return err
	}
	var f inflater
	select {
	case f = <-r.codecs:
	default:
		f = r.tables.newInflater()
	}
	data, err := f(src, r.tables.qcow2Header.cluster())
	if err == nil {
		copy(p, data[at:])
	}
	select {
	case r.codecs <- f:
	default:
	}
	return err
}

package fat

import (
	"fmt"

	"github.com/ferrule/ferrule/task"
)

const (
	entrySize = 32

	// How many clusters make FAT12 and FAT16: what tells the two apart.
	maxClusters12 = 4084
	maxClusters16 = 65524

	mediaFloppy = 0xf0
	mediaDisk   = 0xf8
)

// A geometry says where things are: boot sector, two tables, root folder, data.
type geometry struct {
	sectors        int // in all
	clusterSectors int
	clusters       int
	bits           int // of an entry of the table
	tableSectors   int
	rootEntries    int

	media               byte
	trackSectors, heads int
}

func (g *geometry) rootSectors() int { return g.rootEntries * entrySize / sector }

// dataSector is where the first cluster, number 2, is.
func (g *geometry) dataSector() int { return 1 + 2*g.tableSectors + g.rootSectors() }

func (g *geometry) offset(cluster int) int64 {
	return int64(g.dataSector()+(cluster-2)*g.clusterSectors) * sector
}

func (g *geometry) clusterSize() int64 { return int64(g.clusterSectors) * sector }

// clustersOf is how many clusters content of that size takes.
func (g *geometry) clustersOf(size int64) int {
	return int((size + g.clusterSize() - 1) / g.clusterSize())
}

// newGeometry returns the one of an image of size bytes, or, for 0, of one that
// root just fits in.
func newGeometry(size int64, root *folder) (*geometry, error) {
	for clusterSectors := 1; clusterSectors <= 64; clusterSectors *= 2 {
		g := &geometry{clusterSectors: clusterSectors, rootEntries: 512, media: mediaDisk, trackSectors: 32, heads: 64}
		if size == Floppy {
			g.rootEntries, g.media, g.trackSectors, g.heads = 224, mediaFloppy, 18, 2
		}
		need := max(root.clusters(g), 1)
		g.sectors = int(size / sector)
		if size == 0 {
			g.bits = 12
			if need > maxClusters12 {
				g.bits = 16
			}
			g.tableSectors = tableSectors(need, g.bits)
			g.sectors = g.dataSector() + need*clusterSectors
		}
		if !g.fill() {
			continue
		}
		// Larger clusters make FAT12, with a table of 6 KiB, of what would be FAT16 with one of 128.
		if g.bits == 16 && clusterSectors < 8 && g.sectors/8 < maxClusters12 {
			continue
		}
		if g.clusters < need {
			return nil, fmt.Errorf("fat: %w: the files need %d bytes more than the image of %d has", task.ErrInvalidParameter, int64(need-g.clusters)*g.clusterSize(), size)
		}
		return g, nil
	}
	return nil, fmt.Errorf("fat: %w: the files are more than an image can hold", task.ErrInvalidParameter)
}

// fill finds the number of clusters and the size of the tables that go together,
// and reports whether there are some.
func (g *geometry) fill() bool {
	for _, g.bits = range []int{12, 16} {
		for g.tableSectors = 1; g.tableSectors < 257; g.tableSectors++ {
			g.clusters = (g.sectors - g.dataSector()) / g.clusterSectors
			if g.clusters < 1 {
				return false
			}
			if tableSectors(g.clusters, g.bits) <= g.tableSectors {
				break
			}
		}
		switch {
		case g.bits == 12 && g.clusters <= maxClusters12:
			return true
		case g.bits == 16 && g.clusters > maxClusters12 && g.clusters <= maxClusters16:
			return true
		}
	}
	return false
}

func tableSectors(clusters, bits int) int {
	bytes := ((clusters+2)*bits + 7) / 8
	return (bytes + sector - 1) / sector
}

// A table is the chains of clusters. Each chain is in one stretch.
type table struct {
	bytes []byte
	bits  int
	next  int // the first cluster that is free
}

func newTable(g *geometry) *table {
	t := &table{bytes: make([]byte, g.tableSectors*sector), bits: g.bits, next: 2}
	t.set(0, 0xff00|int(g.media))
	t.set(1, 0xffff)
	return t
}

// chain takes n clusters and returns the first, 0 for none.
func (t *table) chain(n int) int {
	if n == 0 {
		return 0
	}
	first := t.next
	for i := first; i < first+n-1; i++ {
		t.set(i, i+1)
	}
	t.set(first+n-1, 0xffff)
	t.next += n
	return first
}

func (t *table) set(i, v int) {
	if t.bits == 16 {
		t.bytes[2*i], t.bytes[2*i+1] = byte(v), byte(v>>8)
		return
	}
	v &= 0xfff
	at := i * 3 / 2
	if i%2 == 0 {
		t.bytes[at] = byte(v)
		t.bytes[at+1] = t.bytes[at+1]&0xf0 | byte(v>>8)
		return
	}
	t.bytes[at] = t.bytes[at]&0x0f | byte(v<<4)
	t.bytes[at+1] = byte(v >> 4)
}

package scsi_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/iscsi/internal/scsi"
)

func ExampleSense() {
	s, _ := scsi.ParseSense(scsi.NoSpace.Bytes())
	fmt.Println(s)
	// Output: data protect, ASC 27h/07h (no space left for the write)
}

func TestBlocks(t *testing.T) {
	for _, c := range []struct {
		lba uint64
		n   uint32
		op  byte
	}{
		{0, 1, scsi.Write10},
		{1<<32 - 8, 8, scsi.Write10},
		{1<<32 - 8, 9, scsi.Write16},
		{5, 1 << 16, scsi.Write16},
		{1 << 33, 2048, scsi.Write16},
	} {
		cdb := scsi.Range(scsi.Write10, scsi.Write16, c.lba, c.n)
		require.Equal(t, c.op, cdb[0])
		lba, n := cdb.Blocks()
		require.Equal(t, c.lba, lba)
		require.Equal(t, c.n, n)
	}
}

func TestLUN(t *testing.T) {
	for n, want := range map[int]uint64{0: 0, 1: 1 << 48, 255: 0xff << 48, 256: 0x4100 << 48, 16383: 0x7fff << 48} {
		require.Equal(t, want, scsi.LUN(n))
		require.Equal(t, n, scsi.ParseLUN(want))
	}
	require.Equal(t, 1, scsi.ParseLUN(0x4001<<48))
	require.Equal(t, -1, scsi.ParseLUN(0xc101<<48))
	require.Equal(t, -1, scsi.ParseLUN(1))
}

func TestAnswersReadBack(t *testing.T) {
	id := scsi.Identity{Vendor: "FERRULE", Product: "DISK", Revision: "1"}
	gotID, err := scsi.ParseIdentity(id.Bytes())
	require.NoError(t, err)
	require.Equal(t, id, gotID)

	capacity := scsi.Capacity{LastLBA: 1 << 40, BlockSize: 4096, Provisioning: true, ReadsZeros: true}
	gotCapacity, err := scsi.ParseCapacity(capacity.Bytes())
	require.NoError(t, err)
	require.Equal(t, capacity, gotCapacity)

	limits := scsi.BlockLimits{MaxTransfer: 1, MaxUnmapBlocks: 2, MaxUnmapExtents: 3, Granularity: 4, MaxWriteSame: 5}
	require.Equal(t, limits, scsi.ParseBlockLimits(limits.Bytes()))

	p := scsi.Provisioning{Unmap: true, WriteSame16: true, ReadsZeros: true}
	content, err := scsi.ParsePage(scsi.PageProvisioning, scsi.PageBytes(scsi.PageProvisioning, p.Bytes()))
	require.NoError(t, err)
	require.Equal(t, p, scsi.ParseProvisioning(content))

	luns, err := scsi.ParseLUNList(scsi.LUNList([]int{0, 1, 300}))
	require.NoError(t, err)
	require.Equal(t, []int{0, 1, 300}, luns)

	extents := []scsi.Extent{{LBA: 1, N: 2}, {LBA: 1 << 40, N: 9}}
	gotExtents, ok := scsi.ParseUnmapParams(scsi.UnmapParams(extents))
	require.True(t, ok)
	require.Empty(t, cmp.Diff(extents, gotExtents))
}

func TestSense(t *testing.T) {
	s, ok := scsi.ParseSense([]byte{0x72, scsi.UnitAttention, 0x29, 0x07, 0, 0, 0, 0})
	require.True(t, ok)
	require.Equal(t, scsi.NexusLost, s)
	s, ok = scsi.ParseSense([]byte{0xf0, 0, scsi.MediumError, 0})
	require.True(t, ok)
	require.Equal(t, scsi.Sense{Key: scsi.MediumError}, s)
	for _, b := range [][]byte{nil, {0x70, 0, 3}, {0x7f, 0, 0, 0, 0}} {
		_, ok := scsi.ParseSense(b)
		require.False(t, ok)
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(scsi.OutOfRange.Bytes())
	f.Add(scsi.LUNList([]int{1}))
	f.Add(scsi.UnmapParams([]scsi.Extent{{LBA: 1, N: 1}}))
	f.Add((&scsi.Identity{}).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, ok := scsi.ParseSense(b); ok {
			require.NotEmpty(t, s.Error())
		}
		_, _ = scsi.ParseIdentity(b)
		_, _ = scsi.ParseCapacity(b)
		_, _ = scsi.ParseLUNList(b)
		_, _ = scsi.ParseUnmapParams(b)
		if content, err := scsi.ParsePage(scsi.PageLimits, b); err == nil {
			scsi.ParseBlockLimits(content)
			scsi.ParseProvisioning(content)
		}
	})
}

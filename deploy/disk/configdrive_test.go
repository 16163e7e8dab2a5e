package disk_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy/disk"
)

// iso is the start of an ISO 9660 file system.
func iso(label string) []byte {
	b := make([]byte, 40<<10)
	copy(b[32769:], "CD001")
	copy(b[32808:], label+"                                ")
	return b
}

func TestWriteConfigDrive(t *testing.T) {
	drive := iso("config-2")
	linux := func(start, size int64) disk.Partition {
		return disk.Partition{Start: start, Size: size, Type: disk.TypeLinux}
	}
	for name, tc := range map[string]struct {
		label disk.Label
		parts []disk.Partition
		hold  int64 // where a config drive is already
		grow  int64 // the disk
		size  int64 // of the disk, 200 MiB if 0
		want  disk.Partition
		err   string
	}{
		"GPT, a new one":       {label: disk.GPT, parts: []disk.Partition{linux(mib, 10*mib)}, want: disk.Partition{Number: 2, Start: 135 * mib, Size: 64 * mib}},
		"GPT, the disk grew":   {label: disk.GPT, parts: []disk.Partition{linux(mib, 10*mib)}, grow: 1000 * mib, want: disk.Partition{Number: 2, Start: 935 * mib, Size: 64 * mib}},
		"GPT, one by name":     {label: disk.GPT, parts: []disk.Partition{linux(mib, 10*mib), {Start: 20 * mib, Size: mib, Type: disk.TypeLinux, Name: "Config-2"}}, want: disk.Partition{Number: 2, Start: 20 * mib, Size: mib}},
		"MBR, a new one":       {label: disk.MBR, parts: []disk.Partition{linux(mib, 10*mib)}, want: disk.Partition{Number: 2, Start: 136 * mib, Size: 64 * mib}},
		"MBR, one that holds":  {label: disk.MBR, parts: []disk.Partition{linux(mib, 10*mib), linux(20*mib, mib)}, hold: 20 * mib, want: disk.Partition{Number: 2, Start: 20 * mib, Size: mib}},
		"MBR, more than 2 TiB": {label: disk.MBR, parts: []disk.Partition{linux(mib, 10*mib)}, grow: 3 << 40, want: disk.Partition{Number: 2, Start: 2097087 * mib, Size: 64 * mib}},
		"MBR, full":            {label: disk.MBR, parts: []disk.Partition{linux(mib, mib), linux(2*mib, mib), linux(3*mib, mib), linux(4*mib, mib)}, err: "all 4 partitions of the msdos table are in use"},
		"no room":              {label: disk.GPT, parts: []disk.Partition{linux(mib, 198*mib)}, err: "partition 1 reaches into"},
		"a tiny disk":          {label: disk.GPT, size: 20 * mib, err: "no room"},
		"two":                  {label: disk.GPT, parts: []disk.Partition{{Start: 10 * mib, Size: mib, Type: disk.TypeLinux, Name: "config-2"}, linux(20*mib, mib)}, hold: 20 * mib, err: "partitions 1 and 2 are both config drives"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.size == 0 {
				tc.size = 200 * mib
			}
			d, f := newDisk(t, tc.size, 512)
			before := disk.Table{Label: tc.label, Partitions: tc.parts}
			require.NoError(t, before.Write(d))
			if tc.hold > 0 {
				write(t, d, string(iso("CONFIG-2")), tc.hold)
			}
			if tc.grow > 0 {
				require.NoError(t, f.Truncate(tc.grow))
				d.Size = tc.grow
			}
			p, err := disk.WriteConfigDrive(d, drive)
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, disk.Partition{Number: p.Number, Start: p.Start, Size: p.Size})
			table, err := disk.Read(d)
			require.NoError(t, err)
			got, err := table.Partition(p.Number)
			require.NoError(t, err)
			require.Equal(t, p.UUID, got.UUID)
			require.Equal(t, before.Partitions[0], table.Partitions[0], "the others stay")
			b := make([]byte, len(drive))
			_, err = d.ReadAt(b, p.Start)
			require.NoError(t, err)
			require.True(t, bytes.Equal(drive, b))

			again, err := disk.WriteConfigDrive(d, drive)
			require.NoError(t, err)
			require.Equal(t, p.Start, again.Start, "the same one again")
		})
	}
	d, _ := newDisk(t, 200*mib, 512)
	_, err := disk.WriteConfigDrive(d, drive)
	require.ErrorIs(t, err, disk.ErrNoTable)
	_, err = disk.WriteConfigDrive(d, make([]byte, disk.MaxConfigDrive+1))
	require.ErrorContains(t, err, "more than 67108864")
	table := disk.Table{Label: disk.GPT, Partitions: []disk.Partition{{Start: 10 * mib, Size: mib, Type: disk.TypeLinux, Name: "config-2"}}}
	require.NoError(t, table.Write(d))
	_, err = disk.WriteConfigDrive(d, make([]byte, mib+1))
	require.ErrorIs(t, err, disk.ErrNoRoom)
}

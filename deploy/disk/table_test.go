package disk_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy/disk"
)

func TestTables(t *testing.T) {
	for _, label := range []disk.Label{disk.GPT, disk.MBR} {
		for _, block := range []int{0, 512, 4096} {
			t.Run(fmt.Sprint(label, block), func(t *testing.T) {
				d, _ := newDisk(t, 100*mib, block)
				write(t, d, "boot code", 0)
				want := disk.Table{Label: label, Partitions: []disk.Partition{
					{Start: mib, Size: 10 * mib, Type: disk.TypeLinux, Bootable: true},
					{Number: 4, Start: 20 * mib, Size: 5 * mib, Type: disk.TypeSwap},
				}}
				if label == disk.GPT {
					want.Partitions[0].Name = "rööt"
				}
				require.NoError(t, want.Write(d))
				got, err := disk.Read(d)
				require.NoError(t, err)
				require.Equal(t, &want, got)
				require.Equal(t, 1, got.Partitions[0].Number)
				require.NotEqual(t, got.Partitions[0].UUID, got.Partitions[1].UUID)
				require.Equal(t, "boot code", read(t, d, 0, 9), "it stays")
				p, err := got.Partition(4)
				require.NoError(t, err)
				require.EqualValues(t, 20*mib, p.Start)
				_, err = got.Partition(2)
				require.ErrorIs(t, err, disk.ErrNotFound)
			})
		}
	}
}

func TestTablesRefused(t *testing.T) {
	one := func(start, size int64, number int) []disk.Partition {
		return []disk.Partition{{Number: number, Start: start, Size: size, Type: disk.TypeLinux}}
	}
	for name, tc := range map[string]struct {
		table disk.Table
		text  string
	}{
		"no label":         {disk.Table{}, `disk label "" is neither gpt nor msdos`},
		"over the table":   {disk.Table{Label: disk.GPT, Partitions: one(512, mib, 1)}, "no room"},
		"over the backup":  {disk.Table{Label: disk.GPT, Partitions: one(99*mib, mib, 1)}, "no room"},
		"behind the end":   {disk.Table{Label: disk.MBR, Partitions: one(99*mib, 2*mib, 1)}, "no room"},
		"not whole blocks": {disk.Table{Label: disk.MBR, Partitions: one(mib+1, mib, 1)}, "not whole blocks"},
		"nothing":          {disk.Table{Label: disk.MBR, Partitions: one(mib, 0, 1)}, "not whole blocks"},
		"a fifth":          {disk.Table{Label: disk.MBR, Partitions: one(mib, mib, 5)}, "numbers 1 to 4"},
		"twice":            {disk.Table{Label: disk.MBR, Partitions: append(one(mib, mib, 1), one(2*mib, mib, 1)...)}, "each once"},
		"overlapping":      {disk.Table{Label: disk.MBR, Partitions: append(one(mib, 2*mib, 1), one(2*mib, mib, 2)...)}, "no room"},
		"no GUID":          {disk.Table{Label: disk.GPT, UUID: "x"}, "no UUID"},
		"no signature":     {disk.Table{Label: disk.MBR, UUID: "x"}, "eight digits"},
		"no byte":          {disk.Table{Label: disk.MBR, Partitions: []disk.Partition{{Start: mib, Size: mib, Type: disk.TypeBIOSBoot}}}, "no byte in an MBR"},
		"no type":          {disk.Table{Label: disk.GPT, Partitions: []disk.Partition{{Start: mib, Size: mib, Type: "linux"}}}, "no UUID"},
		"a long name":      {disk.Table{Label: disk.GPT, Partitions: []disk.Partition{{Start: mib, Size: mib, Type: disk.TypeLinux, Name: strings.Repeat("x", 37)}}}, "36 characters"},
	} {
		t.Run(name, func(t *testing.T) {
			d, _ := newDisk(t, 100*mib, 512)
			require.ErrorContains(t, tc.table.Write(d), tc.text)
		})
	}
}

func TestReadNothing(t *testing.T) {
	d, _ := newDisk(t, 10*mib, 512)
	_, err := disk.Read(d)
	require.ErrorIs(t, err, disk.ErrNoTable)
	_, err = disk.Read(&disk.Disk{Device: d, Size: 100})
	require.ErrorIs(t, err, disk.ErrNoTable)
}

func gptDisk(t testing.TB, size int64) (*disk.Disk, disk.Table) {
	d, _ := newDisk(t, size, 512)
	table := disk.Table{Label: disk.GPT, Partitions: []disk.Partition{{Start: mib, Size: 10 * mib, Type: disk.TypeESP, Name: "a"}, {Start: 20 * mib, Size: 10 * mib, Type: disk.TypeLinux, Name: "b"}}}
	require.NoError(t, table.Write(d))
	return d, table
}

func TestBackup(t *testing.T) {
	for name, damage := range map[string]int64{"header": 512 + 60, "entries": 1024 + 100} {
		t.Run(name, func(t *testing.T) {
			d, want := gptDisk(t, 100*mib)
			write(t, d, "\xff", damage)
			got, err := disk.Read(d)
			require.NoError(t, err)
			require.True(t, got.FromBackup)
			want.FromBackup = true
			require.Equal(t, &want, got)
			moved, err := disk.RepairGPT(d)
			require.NoError(t, err)
			require.True(t, moved)
			got, err = disk.Read(d)
			require.NoError(t, err)
			require.False(t, got.FromBackup)

			write(t, d, "\xff", 512+60)
			write(t, d, "\xff", d.Size-512+60)
			_, err = disk.Read(d)
			require.ErrorIs(t, err, disk.ErrDamaged)
		})
	}
}

func TestRepairGPT(t *testing.T) {
	d, want := gptDisk(t, 100*mib)
	moved, err := disk.RepairGPT(d)
	require.NoError(t, err)
	require.False(t, moved)
	write(t, d, "boot code", 0)

	require.NoError(t, d.Device.(interface{ Truncate(int64) error }).Truncate(3<<40))
	large := &disk.Disk{Device: d.Device, Size: 3 << 40}
	moved, err = disk.RepairGPT(large)
	require.NoError(t, err)
	require.True(t, moved)
	got, err := disk.Read(large)
	require.NoError(t, err)
	require.Equal(t, &want, got)
	require.Equal(t, "EFI PART", read(t, large, large.Size-512, 8))
	require.Equal(t, strings.Repeat("\x00", 8), read(t, large, 100*mib-512, 8), "the old backup is gone")
	require.Equal(t, "boot code", read(t, large, 0, 9))
	require.Equal(t, "\xff\xff\xff\xff", read(t, large, 446+12, 4), "the protective partition goes as far as it can")
	moved, err = disk.RepairGPT(large)
	require.NoError(t, err)
	require.False(t, moved)

	_, err = disk.RepairGPT(&disk.Disk{Device: d.Device, Size: 25 * mib})
	require.ErrorIs(t, err, disk.ErrNoRoom)
	m, _ := newDisk(t, 10*mib, 512)
	require.NoError(t, (&disk.Table{Label: disk.MBR}).Write(m))
	moved, err = disk.RepairGPT(m)
	require.NoError(t, err)
	require.False(t, moved)
}

func TestLayouts(t *testing.T) {
	for name, tc := range map[string]struct {
		layout disk.Layout
		want   string
		label  disk.Label
		boot   disk.Role // the one with the flag
		err    string
	}{
		"net boot, BIOS":    {layout: disk.Layout{RootMiB: 100}, want: "root of 100 MiB", label: disk.MBR},
		"net boot, UEFI":    {layout: disk.Layout{RootMiB: 100, BootMode: disk.UEFI}, want: "root of 100 MiB", label: disk.GPT},
		"local, BIOS, MBR":  {layout: disk.Layout{RootMiB: 100, LocalBoot: true, SwapMiB: 10}, want: "swap of 10 MiB, root of 100 MiB", label: disk.MBR, boot: disk.Root},
		"local, BIOS, GPT":  {layout: disk.Layout{RootMiB: 100, LocalBoot: true, Label: disk.GPT}, want: "bios boot of 1 MiB, root of 100 MiB", label: disk.GPT},
		"local, UEFI":       {layout: disk.Layout{RootMiB: 100, LocalBoot: true, BootMode: disk.UEFI}, want: "efi system partition of 550 MiB, root of 100 MiB", label: disk.GPT},
		"local, UEFI, MBR":  {layout: disk.Layout{RootMiB: 100, LocalBoot: true, BootMode: disk.UEFI, Label: disk.MBR, ESPMiB: 200}, want: "efi system partition of 200 MiB, root of 100 MiB", label: disk.MBR},
		"local, ppc64, MBR": {layout: disk.Layout{RootMiB: 100, LocalBoot: true, CPUArch: "ppc64le"}, want: "PReP boot partition of 8 MiB, root of 100 MiB", label: disk.MBR, boot: disk.PReP},
		"local, ppc64, GPT": {layout: disk.Layout{RootMiB: 100, LocalBoot: true, CPUArch: "ppc64", Label: disk.GPT}, want: "PReP boot partition of 8 MiB, root of 100 MiB", label: disk.GPT},
		"everything":        {layout: disk.Layout{RootMiB: 100, LocalBoot: true, BootMode: disk.UEFI, SwapMiB: 10, EphemeralMiB: 20, ConfigDriveMiB: 1}, want: "efi system partition of 550 MiB, ephemeral of 20 MiB, swap of 10 MiB, config drive of 1 MiB, root of 100 MiB", label: disk.GPT},
		"four of an MBR":    {layout: disk.Layout{RootMiB: 100, SwapMiB: 10, EphemeralMiB: 20, ConfigDriveMiB: 1}, want: "ephemeral of 20 MiB, swap of 10 MiB, config drive of 1 MiB, root of 100 MiB", label: disk.MBR},
		"five of an MBR":    {layout: disk.Layout{RootMiB: 100, LocalBoot: true, CPUArch: "ppc64", SwapMiB: 10, EphemeralMiB: 20, ConfigDriveMiB: 1}, err: "numbers 1 to 4"},
		"too large":         {layout: disk.Layout{RootMiB: 1024}, err: "no room"},
		"just fits":         {layout: disk.Layout{RootMiB: 998, BootMode: disk.UEFI}, want: "root of 998 MiB", label: disk.GPT},
		"no root":           {layout: disk.Layout{}, err: "a root partition of 0 MiB"},
		"no mode":           {layout: disk.Layout{RootMiB: 1, BootMode: "coreboot"}, err: "neither bios nor uefi"},
	} {
		t.Run(name, func(t *testing.T) {
			d, _ := newDisk(t, 1000*mib, 512)
			plan, err := tc.layout.Plan(d)
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, plan.String())
			write(t, d, "old file system", mib+1024)
			require.NoError(t, plan.Write(d))
			got, err := disk.Read(d)
			require.NoError(t, err)
			require.Equal(t, tc.label, got.Label)
			require.Equal(t, &plan.Table, got)
			require.Equal(t, strings.Repeat("\x00", 15), read(t, d, mib+1024, 15))
			for _, p := range got.Partitions {
				require.Zero(t, p.Start%mib)
				want, has := plan.Partition(tc.boot)
				require.Equal(t, has && want.Number == p.Number, p.Bootable)
			}
			root := plan.Section(d, disk.Root)
			require.Equal(t, tc.layout.RootMiB*mib, root.Size)
			require.Nil(t, plan.Section(d, "attic"))

			again, err := tc.layout.Plan(d)
			require.NoError(t, err)
			require.NoError(t, again.Preserve(d))
			require.Equal(t, plan.Table, again.Table)
			tc.layout.SwapMiB++
			if tc.layout.ConfigDriveMiB == 0 && name != "just fits" {
				other, err := tc.layout.Plan(d)
				require.NoError(t, err)
				require.ErrorContains(t, other.Preserve(d), "to keep the ephemeral partition")
			}
		})
	}
}

func TestWipe(t *testing.T) {
	d, _ := gptDisk(t, 100*mib)
	write(t, d, "file system", 20*mib)
	write(t, d, "data", 21*mib)
	write(t, d, "end", 100*mib-3)
	require.NoError(t, disk.Wipe(d))
	_, err := disk.Read(d)
	require.ErrorIs(t, err, disk.ErrNoTable)
	require.Equal(t, "\x00", read(t, d, 20*mib, 1))
	require.Equal(t, "\x00", read(t, d, 100*mib-3, 1))
	require.Equal(t, "data", read(t, d, 21*mib, 4))
}

func TestBounds(t *testing.T) {
	d, _ := newDisk(t, 10*mib, 512)
	part := d.Section(5*mib, mib)
	_, err := part.WriteAt(make([]byte, 10), mib-5)
	require.ErrorIs(t, err, disk.ErrBeyondEnd)
	require.ErrorIs(t, part.Zero(-1, 1), disk.ErrBeyondEnd)
	require.ErrorIs(t, part.Zero(0, mib+1), disk.ErrBeyondEnd)
	n, err := part.ReadAt(make([]byte, 10), mib-5)
	require.Equal(t, 5, n)
	require.Error(t, err)
	_, err = part.ReadAt(make([]byte, 1), mib+1)
	require.ErrorIs(t, err, disk.ErrBeyondEnd)
	require.Panics(t, func() { d.Section(5*mib, 6*mib) })
	write(t, part, "here", 0)
	require.Equal(t, "here", read(t, d, 5*mib, 4))
	require.NoError(t, disk.Verify(part, []byte("here"), 0))
	require.ErrorIs(t, disk.Verify(part, []byte("hers"), 0), disk.ErrVerify)
	require.Error(t, disk.Verify(part, []byte("here"), mib-1))
	require.False(t, part.CanZero())
}

// A pager zeroes whole pages.
type pager struct {
	disk.Device
	asked [][2]int64
}

func (p *pager) Zero(off, n int64) error {
	p.asked = append(p.asked, [2]int64{off, n})
	_, err := p.WriteAt(make([]byte, n), off)
	return err
}

func TestZero(t *testing.T) {
	for _, tc := range []struct {
		off, n int64
		want   [][2]int64
	}{
		{0, 8192, [][2]int64{{0, 8192}}}, {100, 4000, nil}, {100, 8192, [][2]int64{{4096, 4096}}}, {4096, 5000, [][2]int64{{4096, 4096}}}, {4095, 4098, [][2]int64{{4096, 4096}}}, {0, 0, nil},
	} {
		d, f := newDisk(t, mib, 512)
		write(t, d, strings.Repeat("x", mib), 0)
		p := &pager{Device: f}
		d.Device = p
		require.NoError(t, d.Zero(tc.off, tc.n))
		require.Equal(t, tc.want, p.asked)
		require.Equal(t, strings.Repeat("\x00", int(tc.n)), read(t, d, tc.off, int(tc.n)))
		require.Equal(t, "x", read(t, d, tc.off+tc.n, 1))
	}
}

package disk_test

import (
	"bytes"
	"testing"

	"github.com/ferrule/ferrule/deploy/disk"
)

// A medium is a small disk in memory.
type medium []byte

func (m medium) ReadAt(p []byte, off int64) (int, error) { return bytes.NewReader(m).ReadAt(p, off) }
func (m medium) WriteAt(p []byte, off int64) (int, error) {
	return copy(m[off:], p), nil
}
func (m medium) Sync() error { return nil }

// FuzzRead has tables of all sorts read, repaired, wiped and added to.
func FuzzRead(f *testing.F) {
	for _, label := range []disk.Label{disk.GPT, disk.MBR} {
		m := make(medium, 128<<10)
		t := disk.Table{Label: label, Partitions: []disk.Partition{{Start: 64 << 10, Size: 4096, Type: disk.TypeLinux}}}
		if err := t.Write(&disk.Disk{Device: m, Size: int64(len(m))}); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := medium(bytes.Clone(b))
		d := &disk.Disk{Device: m, Size: int64(len(m))}
		if table, err := disk.Read(d); err == nil {
			_ = table.Write(d)
			_, _ = disk.RepairGPT(d)
			_, _ = disk.AddPartition(d, 4096, "x")
			_, _ = disk.WriteConfigDrive(d, []byte("x"))
		}
		_, _, _ = disk.Identify(d)
		if err := disk.Wipe(d); err != nil {
			t.Fatal(err)
		}
	})
}

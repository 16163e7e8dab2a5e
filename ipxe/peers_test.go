package ipxe_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/ipxe"
	"github.com/ferrule/ferrule/task"
)

// thousand prepares nodes and calls then in between, cleans them up, and returns
// the time a node took.
func thousand(t *testing.T, s *site, nodes int, then func()) time.Duration {
	t.Helper()
	template := s.task(t, "n1")
	template.Driver = nil
	all := make([]*task.Task, nodes)
	for i := range all {
		n := *template.Node
		n.UUID = fmt.Sprintf("00000000-0000-4000-8000-%012x", i)
		n.DriverInternalInfo = nil
		port := func(j int) *task.Port {
			return &task.Port{Address: fmt.Sprintf("52:54:00:%02x:%02x:%02x", j, i>>8, i&0xff)}
		}
		all[i] = &task.Task{Node: &n, Ports: []*task.Port{port(0), port(1)}}
	}
	start := time.Now()
	for _, tk := range all {
		require.NoError(t, s.boot.PrepareRamdisk(t.Context(), tk, boot.Params{"ipa-api-url": "http://192.0.2.1:6385"}))
	}
	prepared := time.Since(start)
	then()
	start = time.Now()
	for _, tk := range all {
		require.NoError(t, s.boot.CleanUpRamdisk(t.Context(), tk))
	}
	return (prepared + time.Since(start)) / time.Duration(nodes)
}

func folderSite(t *testing.T, root string) *site {
	folder, err := artifact.NewFolder(root)
	require.NoError(t, err)
	return newSite(t, func(c *ipxe.Config) { c.Tree = folder })
}

// memoryDir is a folder of a file system in memory, for disks of test machines
// take as long as they like to make a file.
func memoryDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "ferrule-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// TestNodesShareFiles holds that a thousand nodes have one kernel and one ramdisk
// on disk between them.
func TestNodesShareFiles(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s := folderSite(t, root)
	for name, size := range map[string]int64{"kernel": 1 << 20, "ramdisk": 2 << 20} {
		require.NoError(t, os.Truncate(filepath.Join(s.dir, name), size))
	}
	thousand(t, s, 1000, func() {
		var large []fs.FileInfo
		require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err == nil && info.Size() >= 1<<20 && !slices.ContainsFunc(large, func(i fs.FileInfo) bool { return os.SameFile(i, info) }) {
				large = append(large, info)
			}
			return err
		}))
		require.Equal(t, 2, len(large), "large files")
	})
}

// TestIronicPrepares measures beside Ironic's own iPXE boot interface, of Debian's
// python3-ironic, and prints the ratios within each round.
func TestIronicPrepares(t *testing.T) {
	if os.Getenv("FERRULE_LAB") != "1" {
		t.Skip("FERRULE_LAB is not 1: needs python3-ironic of Debian")
	}
	fmt.Println("prepare_ramdisk and clean_up_ramdisk of a node with two ports: ironic, ours in a folder, ours in memory; ironic : ours")
	for range 5 {
		out, err := exec.Command("/usr/bin/python3", "testdata/ironic_prepare.py", memoryDir(t), "30").Output()
		require.NoError(t, err)
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		wall, _, _ := strings.Cut(lines[len(lines)-1], " ")
		seconds, err := strconv.ParseFloat(wall, 64)
		require.NoError(t, err)
		theirs := time.Duration(seconds * float64(time.Second))
		inFolder := thousand(t, folderSite(t, memoryDir(t)), 1000, func() {})
		inMemory := thousand(t, newSite(t), 1000, func() {})
		fmt.Printf("%v %v %v; %.0f %.0f\n", theirs.Round(time.Millisecond), inFolder.Round(time.Microsecond), inMemory.Round(time.Microsecond),
			float64(theirs)/float64(inFolder), float64(theirs)/float64(inMemory))
	}
}

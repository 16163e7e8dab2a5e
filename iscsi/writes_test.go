package iscsi_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/iscsi"
	"github.com/ferrule/ferrule/iscsi/iscsitest"
	"github.com/ferrule/ferrule/task"
)

// TestWrites has five disks to write, two at once. One that waits is given up.
func TestWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "system.raw")
		data := bytes.Repeat([]byte("the system "), 3*mib/11)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		instance := task.Info{"image_source": path, "image_os_hash_algo": "sha256", "image_os_hash_value": fmt.Sprintf("%x", sha256.Sum256(data))}
		y := newYard(t, 5, iscsi.Config{Agent: agent.Config{ImageDirs: artifact.Dirs{dir}}, Writes: 2})
		hold := map[*piped]chan struct{}{}
		for _, m := range y.machines {
			held := make(chan struct{})
			hold[m] = held
			m.server.Disk.Fail(func(op iscsitest.Op, _, _ int64) error {
				if op == iscsitest.Write {
					<-held
				}
				return nil
			})
		}
		// asked are those whose ramdisk was asked for its disk, by whether they are
		// being written.
		asked := func() (busy, done []int) {
			synctest.Wait()
			for i, m := range y.machines {
				switch {
				case len(m.server.Target.Sessions()) > 0:
					busy = append(busy, i)
				case m.ordered("iscsi.start_iscsi_target"):
					done = append(done, i)
				}
			}
			return busy, done
		}

		var wg sync.WaitGroup
		errs := make([]error, 5)
		cancels := make([]context.CancelFunc, 5)
		for i := range errs {
			var ctx context.Context
			ctx, cancels[i] = context.WithCancel(t.Context())
			wg.Go(func() { errs[i] = y.write(ctx, i, instance) })
			if i == 1 { // the first two are at it
				busy, done := asked()
				require.Equal(t, []int{0, 1}, busy)
				require.Empty(t, done)
			}
		}
		busy, done := asked()
		require.Equal(t, []int{0, 1}, busy)
		require.Empty(t, done)

		cancels[3]()
		synctest.Wait()
		require.ErrorIs(t, errs[3], context.Canceled)
		close(hold[y.machines[1]])
		busy, done = asked()
		require.Len(t, busy, 2, "the next one is let in")
		require.Equal(t, []int{1}, done)
		for i, m := range y.machines {
			if i != 1 {
				close(hold[m])
			}
		}
		wg.Wait()
		busy, done = asked()
		require.Empty(t, busy)
		require.Equal(t, []int{0, 1, 2, 4}, done)
		require.Empty(t, y.machines[3].orders, "nothing was asked of it")
		for i, err := range errs {
			if i != 3 {
				require.NoError(t, err)
			}
			cancels[i]()
		}
		require.NoError(t, y.write(t.Context(), 3, instance))
	})
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/driver/sim"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// checked returns options whose site is looked at after the run: no lock, no
// published artifact and no file may be left.
func checked(t *testing.T, o options) options {
	t.Helper()
	o.dir = t.TempDir()
	if o.nodes == 0 {
		o.nodes = 1
	}
	var seen atomic.Pointer[site]
	inner := o.observe
	o.observe = func(s *site, e conductor.Event) {
		seen.Store(s)
		if inner != nil {
			inner(s, e)
		}
	}
	t.Cleanup(func() {
		files, err := os.ReadDir(o.dir)
		require.NoError(t, err)
		require.Empty(t, files, "files left")
		s := seen.Load()
		if s == nil {
			return
		}
		for r, err := range s.conductor.Manager().List(context.Background()) {
			require.NoError(t, err)
			require.Empty(t, r.Lease, "lock left on %s", r.Node)
			require.Empty(t, s.tree.Names(r.Node.UUID), "artifacts left of %s", r.Node)
			require.False(t, r.Node.ProvisionState.Waiting() || r.Node.ProvisionState.Working(), "%s left in %s", r.Node, r.Node.ProvisionState)
		}
	})
	return o
}

func TestProvision(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), checked(t, options{}), &out))
	for _, want := range []string{"node-1   active", "step deploy.write_image", "image 100 %", "agent lookup", "1 of 1 nodes went from enroll to active"} {
		require.Contains(t, out.String(), want)
	}
}

func TestProvisionOnTerminal(t *testing.T) {
	t.Parallel()
	for _, nodes := range []int{1, 5} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			require.NoError(t, run(t.Context(), checked(t, options{nodes: nodes, terminal: true}), &out))
			require.Contains(t, out.String(), "\r", "the line is not rewritten")
			require.Contains(t, out.String(), fmt.Sprintf("%d of %d nodes", nodes, nodes))
		})
	}
}

func TestProvisionImageFile(t *testing.T) {
	t.Parallel()
	image := filepath.Join(t.TempDir(), "disk.img")
	require.NoError(t, os.WriteFile(image, sim.Image(3<<20+512, 7), 0o644))
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), checked(t, options{image: image}), &out))
	require.Contains(t, out.String(), "of 3.0 MiB")
}

// TestBreak breaks each thing and looks for what a user needs to find it.
func TestBreak(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"power":    "power control failed",
		"script":   "boot script",
		"kernel":   "[x] kernel",
		"ramdisk":  "awaited next: agent lookup",
		"agent":    "awaited next: agent lookup",
		"disk":     "disk",
		"hang":     "step deploy.write_image",
		"checksum": "checksum",
		"missing":  "driver_info.deploy_ramdisk: missing",
	}
	for name := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, want, name)
			var out bytes.Buffer
			require.NoError(t, run(t.Context(), checked(t, options{fault: name, patience: 2 * time.Second}), &out))
			text := strings.ToLower(out.String())
			require.Contains(t, text, strings.ToLower(want[name]))
			require.NotContains(t, text, "active and back")
		})
	}
}

// TestCancelAtEachEvent stops the program at each event of a run, one run an
// event, and expects nothing to be left behind.
func TestCancelAtEachEvent(t *testing.T) {
	t.Parallel()
	var events atomic.Int64
	count := func(_ *site, e conductor.Event) {
		if e.Kind != conductor.Missed {
			events.Add(1)
		}
	}
	require.NoError(t, run(t.Context(), checked(t, options{observe: count}), &bytes.Buffer{}))
	total := events.Load()
	require.Greater(t, total, int64(20))
	gate := make(chan struct{}, 8)
	for i := range total {
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			t.Parallel()
			gate <- struct{}{}
			defer func() { <-gate }()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var seen atomic.Int64
			stopAt := func(*site, conductor.Event) {
				if seen.Add(1) == i+1 {
					cancel()
				}
			}
			err := run(ctx, checked(t, options{observe: stopAt}), &bytes.Buffer{})
			if err != nil {
				require.ErrorIs(t, err, context.Canceled)
			}
		})
	}
}

func TestOptionsRefused(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{
		"no nodes":         {nodes: 0},
		"unknown fault":    {nodes: 1, fault: "everything"},
		"url, no checksum": {nodes: 1, image: "https://example.com/disk.img"},
	} {
		require.Error(t, run(t.Context(), o, &bytes.Buffer{}), name)
	}
}

package iscsi_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/deploy/disk"
	"github.com/ferrule/ferrule/iscsi"
	"github.com/ferrule/ferrule/iscsi/iscsitest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A trial is a deploy with something wrong. The disk has another system on it.
type trial struct {
	*rack
	machine *piped
	cuts    int // still to come
	wrongs  int // of what flip and babble do, still to come
}

func newTrial(t *testing.T, o iscsitest.Options, change ...func(*task.Node)) *trial {
	o.Pipe, o.Name = true, iscsi.TargetName(tasktest.Node("n1"))
	m := &piped{server: iscsitest.New(t, o), size: o.Size, mac: "52:54:00:00:00:01"}
	if o.RealSize > 0 {
		m.size = o.RealSize
	}
	before := disk.Table{Label: disk.GPT, UUID: "0b2e6f6c-6f3c-4b57-8f0e-4f5d5a3f0001", Partitions: []disk.Partition{
		{Start: mib, Size: mib, Type: disk.TypeLinux, UUID: "0b2e6f6c-6f3c-4b57-8f0e-4f5d5a3f0002"},
	}}
	require.NoError(t, before.Write(m.disk()))
	x := &trial{machine: m}
	x.rack = assemble(t, m, iscsi.Config{
		Agent: agent.Config{APIURL: "http://192.0.2.100:6385", HTTPClient: &http.Client{Transport: m}},
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := m.server.Dial(ctx, network, addr)
			return &cutting{Conn: conn, left: 200_000, cuts: &x.cuts}, err
		},
	}, append(change, func(n *task.Node) { n.AutomatedClean = new(bool) })...)
	m.api = x.api(t)
	return x
}

// inTheMiddle calls f once, when 2 MiB are written.
func (x *trial) inTheMiddle(f func()) {
	once := sync.OnceFunc(f)
	x.machine.server.Disk.Fail(func(op iscsitest.Op, _, _ int64) error {
		if op == iscsitest.Write && x.machine.server.Disk.Written() > 2*mib {
			once()
		}
		return nil
	})
}

// insist has the initiator seem to offer digests before none, so that the target
// chooses them.
func insist(p []byte) {
	for {
		i := bytes.Index(p, []byte("Digest=None,CRC32C"))
		if i < 0 {
			return
		}
		copy(p[i:], "Digest=CRC32C,None")
	}
}

// flip has the initiator and the target use digests, and changes a bit of the data
// so many times.
func (x *trial) flip(times int) {
	x.wrongs = times
	passed := 0
	x.machine.server.Wire.Garble(func(toInitiator bool, p []byte) {
		insist(p)
		if passed += len(p); !toInitiator && len(p) > 4096 && passed > mib && x.wrongs > 0 {
			p[len(p)/2] ^= 1
			passed = 0
			x.wrongs--
		}
	})
}

// babble has the target say nothing sensible in so many of its answers, once 2 MiB
// are written.
func (x *trial) babble(times int) {
	x.wrongs = times
	x.machine.server.Wire.Garble(func(toInitiator bool, p []byte) {
		if toInitiator && x.wrongs > 0 && x.machine.server.Disk.Written() > 2*mib {
			for i := range p {
				p[i] = 0xa5
			}
			x.wrongs--
		}
	})
}

const always = 1 << 30

// TestFaults has whole deploys meet what targets and connections do wrong. One that
// ends well has the image on the disk; any other leaves a disk that does not boot.
// None leaves a session.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		target iscsitest.Options
		node   func(*task.Node)
		wrong  func(*trial)
		says   string // "" ends well
	}{
		"nothing": {},
		"wrong checksum": {
			node: func(n *task.Node) { n.InstanceInfo["image_os_hash_value"] = strings.Repeat("0", 64) },
			says: "checksum",
		},
		"full disk":              {wrong: func(x *trial) { x.machine.server.Disk.Fill(2 * mib) }, says: "the disk failed"},
		"smaller than the image": {target: iscsitest.Options{Size: 4 * mib}, says: "the image is larger than the disk"},
		"smaller than it says":   {target: iscsitest.Options{RealSize: 4 * mib}, says: "the disk failed"},
		"bad blocks": {
			wrong: func(x *trial) {
				x.machine.server.Disk.Fail(func(op iscsitest.Op, off, n int64) error {
					if op == iscsitest.Write && off <= 4*mib && off+n > 4*mib {
						return syscall.EIO
					}
					return nil
				})
			},
			says: "the disk failed",
		},
		"three wrong digests": {wrong: func(x *trial) { x.flip(3) }},
		"wrong digests":       {wrong: func(x *trial) { x.flip(always) }, says: "lost"},
		"garbage twice":       {wrong: func(x *trial) { x.babble(2) }},
		"garbage":             {wrong: func(x *trial) { x.babble(always) }, says: "lost"},
		"cut twenty times":    {wrong: func(x *trial) { x.cuts = 20 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := c.target
				if o.Size == 0 {
					o.Size = 16 * mib
				}
				x := newTrial(t, o, func(n *task.Node) {
					if c.node != nil {
						c.node(n)
					}
				})
				if c.wrong != nil {
					c.wrong(x)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				err := x.conductor.Bring(ctx, x.node.UUID, task.Active)
				synctest.Wait()
				require.Empty(t, x.machine.server.Target.Sessions())
				require.True(t, x.machine.ordered("iscsi.start_iscsi_target"))
				x.machine.server.Disk.Fail(nil)
				if c.says != "" {
					require.ErrorContains(t, err, c.says)
					x.requireFailed(t, task.DeployFail)
					return
				}
				require.NoError(t, err)
				require.Zero(t, x.cuts)
				require.Zero(t, x.wrongs)
				got := make([]byte, len(x.image))
				_, err = x.machine.server.Disk.ReadAt(got, 0)
				require.NoError(t, err)
				require.True(t, bytes.Equal(x.image, got), "what is on the disk is not the image")
			})
		})
	}
}

// TestCancelled ends deploys in the middle of the image, while the disk hangs.
func TestCancelled(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *trial){
		"the conductor stops": func(_ *testing.T, x *trial) { x.stop() },
		"by request":          func(t *testing.T, x *trial) { require.NoError(t, x.conductor.Abort(t.Context(), x.node.UUID)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				x := newTrial(t, iscsitest.Options{Size: 16 * mib})
				reached, hold := make(chan struct{}), make(chan struct{})
				x.inTheMiddle(func() {
					close(reached)
					<-hold
				})
				brought := make(chan error)
				go func() { brought <- x.conductor.Bring(t.Context(), x.node.UUID, task.Active) }()
				<-reached
				require.Len(t, x.machine.server.Target.Sessions(), 1)
				end(t, x)
				require.Error(t, <-brought)
				close(hold)
				synctest.Wait()
				require.Empty(t, x.machine.server.Target.Sessions())
				x.requireFailed(t, task.DeployFail)
			})
		})
	}
}

// requireFailed is of a deploy that has not ended well.
func (x *trial) requireFailed(t *testing.T, state task.State) {
	record, err := x.conductor.Manager().Get(t.Context(), x.node.UUID)
	require.NoError(t, err)
	require.Equal(t, state, record.Node.ProvisionState)
	head, tail := make([]byte, mib), make([]byte, mib)
	_, err = x.machine.server.Disk.ReadAt(head, 0)
	require.NoError(t, err)
	require.True(t, bytes.Equal(head, make([]byte, mib)), "there is a boot sector or a partition table")
	_, err = x.machine.server.Disk.ReadAt(tail, x.machine.size-mib)
	require.NoError(t, err)
	require.False(t, bytes.Contains(tail, []byte("EFI PART")), "there is a second partition table")
}

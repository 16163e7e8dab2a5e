package ipxe_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/boottest"
	"github.com/ferrule/ferrule/driver"
	sim "github.com/ferrule/ferrule/driver/sim/ipxe"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestConformance(t *testing.T) {
	var s *site
	boottest.Run(t, boottest.Harness{
		New:       func(t *testing.T) boot.BootInterface { s = newSite(t); return s.boot },
		Task:      func(t *testing.T, name string) *task.Task { return s.task(t, name) },
		Booted:    func(t *testing.T, tk *task.Task) boottest.Target { return booted(t, s, tk) },
		Leftovers: func(*testing.T) []string { return s.published() },
	})
}

// booted runs the firmware of tk's node, whose disk has its instance.
func booted(t *testing.T, s *site, tk *task.Task) boottest.Target {
	switch s.bmcs.device(tk) {
	case driver.BootSetting{}:
		return boottest.Target{Kind: boottest.Other}
	case driver.BootSetting{Device: boot.Disk, Persistent: true}:
		return boottest.Target{Kind: boottest.Instance}
	case driver.BootSetting{Device: boot.PXE}:
	default:
		t.Errorf("boot device %+v", s.bmcs.device(tk))
	}
	out := s.run(t, &machine{nics: []string{tk.Ports[0].Address}, platform: sim.EFI})
	if out.Action == sim.Exit {
		return boottest.Target{Kind: boottest.Other}
	}
	if initrd, err := sim.InitrdFor(out); out.Action != sim.Boot || err != nil || string(initrd) != "RAMDISK" || string(out.Kernel) != elf {
		t.Errorf("%s with ramdisk %q (%v)", out.Action, initrd, err)
		return boottest.Target{Kind: boottest.Nowhere}
	}
	args, err := boot.ParseKernelArgs(out.CommandLine)
	require.NoError(t, err)
	params := boot.Params{}
	for _, a := range args {
		params[a.Key] = a.Value
	}
	return boottest.Target{Kind: boottest.Ramdisk, Params: params}
}

func TestImagesElsewhere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tk := s.task(t, "n1")
	const kernel, ramdisk = "https://images.example/ipa%20x/vmlinuz?sig=a%2Bb", "http://images.example/ipa.gz"
	tk.Node.DriverInfo["deploy_kernel"], tk.Node.DriverInfo["deploy_ramdisk"] = kernel, ramdisk
	require.NoError(t, s.boot.Validate(t.Context(), tk))
	require.NoError(t, s.boot.PrepareRamdisk(t.Context(), tk, nil))
	require.Len(t, s.tree.Names(tk.Node.UUID), 2, "scripts only")
	require.Equal(t, []string{boot.StageScript}, s.boot.Stages(tk))

	for _, platform := range []sim.Platform{sim.PCBIOS, sim.EFI} {
		m := &machine{nics: []string{tk.Ports[0].Address}, platform: platform, extra: map[string]string{kernel: "K", ramdisk: "R"}}
		out := s.run(t, m)
		require.Equal(t, sim.Boot, out.Action)
		initrd, err := sim.InitrdFor(out)
		require.NoError(t, err)
		require.Equal(t, "R", string(initrd[:1]))
	}
}

func TestAnyRegisteredNIC(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tk := s.task(t, "n1")
	no := false
	tk.Ports = []*task.Port{
		{Address: "52:54:00:00:00:01", PXEEnabled: &no},
		{Address: "52:54:00:00:00:02"},
		{Address: "52:54:00:00:00:03", Extra: task.Info{"client-id": "ff:00"}},
	}
	require.NoError(t, s.boot.PrepareRamdisk(t.Context(), tk, nil))
	for _, c := range []struct {
		nics   []string
		bootif string // none: the machine goes on to its next boot device
	}{
		{[]string{"52:54:00:00:00:02"}, "01-52-54-00-00-00-02"},
		{[]string{"52:54:00:00:00:03", "52:54:00:00:00:02"}, "20-52-54-00-00-00-03"},
		{[]string{"52:54:00:00:00:01", "52:54:00:00:00:09", "52:54:00:00:00:02"}, "01-52-54-00-00-00-02"},
		{[]string{"52:54:00:00:00:01", "52:54:00:00:00:09"}, ""},
	} {
		out := s.run(t, &machine{nics: c.nics})
		if c.bootif == "" {
			require.Equal(t, sim.Exit, out.Action)
			continue
		}
		require.Equal(t, sim.Boot, out.Action)
		require.Contains(t, out.CommandLine+" ", " BOOTIF="+c.bootif+" ")
	}
	require.Contains(t, s.tree.Names(tk.Node.UUID), "52-54-00-00-00-02.ipxe")
	require.NotContains(t, s.tree.Names(tk.Node.UUID), "pxelinux.cfg/52-54-00-00-00-01")

	tk.Ports = tk.Ports[1:2]
	require.NoError(t, s.boot.PrepareRamdisk(t.Context(), tk, nil))
	require.Len(t, s.tree.Names(tk.Node.UUID), 4, "what the removed port had is gone")
}

func TestNoScript(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for platform, status := range map[sim.Platform]uint32{sim.PCBIOS: 0, sim.EFI: 1} {
		for _, nics := range [][]string{nil, {"52:54:00:00:00:01"}, {"52:54:00:00:00:01", "52:54:00:00:00:02"}} {
			m := &machine{platform: platform, nics: nics}
			out := s.run(t, m)
			require.Equal(t, sim.Exit, out.Action)
			require.Equal(t, status, out.Status)
			require.Contains(t, strings.Join(m.printed, "\n"), "nothing to boot over the network")
			require.Equal(t, "5s", m.slept.String())
		}
	}
}

func TestGivesUp(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tk := s.task(t, "n1")
	require.NoError(t, s.boot.PrepareRamdisk(t.Context(), tk, nil))
	m := &machine{nics: []string{tk.Ports[0].Address}, down: true}
	require.Equal(t, sim.PowerOff, s.run(t, m).Action, "never the disk")
	require.Equal(t, "1m15s", m.slept.String(), "1 to 9 s between ten attempts, 30 s at the end")
}

func TestBMCFails(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tk := s.task(t, "n1")
	s.bmcs.seen = func(tk *task.Task) {
		require.Len(t, s.tree.Names(tk.Node.UUID), 4, "there before and until the change")
	}
	s.bmcs.fail = errors.New("BMC is away")
	require.ErrorIs(t, s.boot.PrepareRamdisk(t.Context(), tk, nil), s.bmcs.fail)
	require.ErrorIs(t, s.boot.PrepareInstance(t.Context(), tk), s.bmcs.fail)
	require.Len(t, s.tree.Names(tk.Node.UUID), 4)
	s.bmcs.fail = nil
	require.NoError(t, s.boot.PrepareInstance(t.Context(), tk))
	require.Empty(t, s.tree.Names(tk.Node.UUID))
}

func TestWithoutManagement(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tk := s.task(t, "n1")
	tk.Driver = nil
	require.NoError(t, s.boot.PrepareRamdisk(t.Context(), tk, nil))
	require.Equal(t, sim.Boot, s.run(t, &machine{nics: []string{tk.Ports[0].Address}}).Action)
	require.NoError(t, s.boot.PrepareInstance(t.Context(), tk))
	require.Equal(t, sim.Exit, s.run(t, &machine{nics: []string{tk.Ports[0].Address}}).Action)
}

func TestAddressOfTwoNodes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.task(t, "n1"), s.task(t, "n2")
	b.Ports = a.Ports
	require.NoError(t, s.boot.PrepareRamdisk(t.Context(), a, nil))
	err := s.boot.PrepareRamdisk(t.Context(), b, nil)
	require.ErrorIs(t, err, task.ErrExists)
	require.ErrorContains(t, err, a.Node.UUID)
	require.Empty(t, s.tree.Names(b.Node.UUID))
	require.Zero(t, s.bmcs.device(b))
}

func TestReservedOwner(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tk := s.task(t, "n1")
	tk.Node.UUID = "ipxe"
	require.ErrorContains(t, s.boot.PrepareRamdisk(t.Context(), tk, nil), "uuid")
	require.NoError(t, s.boot.CleanUpRamdisk(t.Context(), tk))
	require.Equal(t, []string{"boot.ipxe"}, s.tree.Names("ipxe"))
}

func TestSharedLockCannotPrepare(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	n := s.task(t, "n1").Node
	m := tasktest.Manager(t, n)
	tk, err := m.Acquire(t.Context(), n.UUID, task.Shared, "look")
	require.NoError(t, err)
	require.ErrorIs(t, s.boot.PrepareRamdisk(t.Context(), tk, nil), task.ErrNotExclusive)
	require.ErrorIs(t, s.boot.PrepareInstance(t.Context(), tk), task.ErrNotExclusive)
}

func TestManyNodes(t *testing.T) {
	t.Parallel()
	const nodes = 500
	s := newSite(t)
	tasks := make([]*task.Task, nodes)
	for i := range tasks {
		tasks[i] = s.task(t, fmt.Sprintf("n%d", i))
		mac := fmt.Sprintf("52:54:00:00:%02x:%02x", i>>8, i&0xff)
		tasks[i].Ports = []*task.Port{{Address: mac}}
	}
	each := func(f func(ctx context.Context, tk *task.Task) error) {
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				for j := i; j < nodes; j += 10 {
					if err := f(t.Context(), tasks[j]); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	}
	each(func(ctx context.Context, tk *task.Task) error {
		return task.Join(s.boot.Validate(ctx, tk), s.boot.PrepareRamdisk(ctx, tk, boot.Params{"ipa-node": tk.Node.Name}))
	})
	for _, tk := range tasks {
		name := "pxelinux.cfg/" + strings.ReplaceAll(tk.Ports[0].Address, ":", "-")
		require.Contains(t, s.script(t, name), " ipa-node="+tk.Node.Name+" ")
	}
	each(s.boot.PrepareInstance)
	each(func(ctx context.Context, tk *task.Task) error {
		return task.Join(s.boot.CleanUpRamdisk(ctx, tk), s.boot.CleanUpInstance(ctx, tk))
	})
	require.Equal(t, []string{"boot.ipxe"}, s.published())
}

func TestEvidence(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var stages []string
	s.tree.Observer = func(e task.Evidence) {
		require.Equal(t, e.Done, e.Total)
		stages = append(stages, e.Node+" "+e.Stage)
	}
	tk := s.task(t, "n1")
	require.NoError(t, s.boot.PrepareRamdisk(t.Context(), tk, nil))
	s.run(t, &machine{nics: []string{tk.Ports[0].Address}})
	var want []string
	for _, stage := range s.boot.Stages(tk) {
		want = append(want, tk.Node.UUID+" "+stage)
	}
	require.Len(t, want, 3)
	require.Equal(t, want, stages)

	require.NoError(t, s.boot.CleanUpRamdisk(t.Context(), tk))
	require.NoError(t, s.tree.Publish(t.Context(), tk.Node.UUID, artifact.Artifact{Name: "other", Data: []byte{}}))
	_, err := s.get(baseURL + "/" + tk.Node.UUID + "/deploy_kernel")
	require.Error(t, err)
	require.Equal(t, tk.Node.UUID+" "+artifact.StageMissing, stages[3])
}

package ipmi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/ipmi"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A client that answers each command by a function, and takes a second for it.
type client struct {
	answer func(b *ipmi.BMC, r ipmi.Request) ([]byte, error)

	mu      sync.Mutex
	running map[string]int
	starts  []time.Time
}

func (c *client) Check(*ipmi.BMC) error { return nil }

func (c *client) Command(_ context.Context, b *ipmi.BMC, r ipmi.Request) ([]byte, error) {
	c.enter(b, 1)
	defer c.enter(b, -1)
	time.Sleep(time.Second)
	if c.answer == nil {
		return []byte{1}, nil
	}
	return c.answer(b, r)
}

func (c *client) enter(b *ipmi.BMC, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running == nil {
		c.running = map[string]int{}
	}
	if c.running[b.Address] += n; c.running[b.Address] > 1 {
		panic("two commands at once")
	}
	if n > 0 {
		c.starts = append(c.starts, time.Now())
	}
}

func (c *client) Sensors(context.Context, *ipmi.BMC) ([]driver.Sensor, error) { return nil, nil }

func (c *client) Console(context.Context, *ipmi.BMC) (io.ReadWriteCloser, error) {
	return nil, errors.New("no console")
}

func node(t *testing.T, name string) *task.Task {
	n := tasktest.Node(name)
	n.DriverInfo["ipmi_address"] = name + ".example"
	return tasktest.Task(t, n)
}

func TestOneCommandAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &client{}
		p := ipmi.New("test", c, ipmi.Config{Pause: 5 * time.Second}).Power()
		start := time.Now()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				_, err := p.PowerState(t.Context(), node(t, "n1"))
				require.NoError(t, err)
			})
		}
		wg.Wait()
		require.Len(t, c.starts, 3)
		for i, s := range c.starts {
			require.Equal(t, time.Duration(i)*6*time.Second, s.Sub(start))
		}
	})
}

func TestBMCsDoNotWaitForOneAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := ipmi.New("test", &client{}, ipmi.Config{Pause: 5 * time.Second}).Power()
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				_, err := p.PowerState(t.Context(), node(t, fmt.Sprintf("n%d", i)))
				require.NoError(t, err)
			})
		}
		wg.Wait()
		require.Equal(t, time.Second, time.Since(start))
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := ipmi.New("test", &client{}, ipmi.Config{Pause: time.Hour}).Power()
		_, err := p.PowerState(t.Context(), node(t, "n1"))
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err = p.PowerState(ctx, node(t, "n1"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(start))
	})
}

func TestForgetsBMCs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := ipmi.New("test", &client{}, ipmi.Config{Pause: 5 * time.Second})
		p := a.Power()
		for i := range 1000 {
			_, err := p.PowerState(t.Context(), node(t, fmt.Sprintf("n%d", i)))
			require.NoError(t, err)
		}
		require.LessOrEqual(t, a.Lanes(), 64)
	})
}

func TestBusyForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &client{answer: func(_ *ipmi.BMC, r ipmi.Request) ([]byte, error) {
			return nil, &ipmi.CompletionError{Request: r, Code: 0xc0}
		}}
		start := time.Now()
		_, err := ipmi.New("test", c, ipmi.Config{}).Power().PowerState(t.Context(), node(t, "n1"))
		require.ErrorIs(t, err, ipmi.ErrBusy)
		require.ErrorContains(t, err, "node busy")
		require.InDelta(t, 60, time.Since(start).Seconds(), 3)
	})
}

// The machine obeys late; the power is looked at until it does.
func TestVerifiedPower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := &client{answer: func(_ *ipmi.BMC, r ipmi.Request) ([]byte, error) {
			if r.Command == 0x01 && time.Since(start) > 30*time.Second {
				return []byte{1}, nil
			}
			return []byte{0}, nil
		}}
		p := ipmi.New("test", c, ipmi.Config{}).Power()
		require.NoError(t, p.SetPowerState(t.Context(), node(t, "n1"), driver.PowerOn))
		require.InDelta(t, 31, time.Since(start).Seconds(), 2)

		start = time.Now().Add(time.Hour)
		err := p.SetPowerState(t.Context(), node(t, "n2"), driver.PowerOn)
		require.ErrorIs(t, err, task.ErrTimeout)
	})
}

func TestDecodeFlags(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer []byte
		want   driver.BootSetting
	}{
		{"once", []byte{1, 5, 0x80, 0x04, 0, 0, 0}, driver.BootSetting{Device: boot.PXE}},
		{"persistent", []byte{1, 5, 0xe0, 0x08, 0, 0, 0}, driver.BootSetting{Device: boot.Disk, Persistent: true}},
		{"not valid", []byte{1, 5, 0x00, 0x04, 0, 0, 0}, driver.BootSetting{}},
		{"no override", []byte{1, 5, 0x80, 0x00, 0, 0, 0}, driver.BootSetting{}},
		{"remote CD", []byte{1, 5, 0x80, 0x20, 0, 0, 0}, driver.BootSetting{Device: boot.CDROM}},
		{"supermicro disk", []byte{1, 5, 0xe0, 0x24, 0, 0, 0}, driver.BootSetting{Device: boot.Disk, Persistent: true}},
		{"diagnostics", []byte{1, 5, 0x80, 0x10, 0, 0, 0}, driver.BootSetting{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ipmi.DecodeFlags(tt.answer)
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
	for _, short := range [][]byte{nil, {1}, {1, 5, 0x80}, {1, 4, 0x80, 0x04}} {
		_, err := ipmi.DecodeFlags(short)
		require.Error(t, err)
	}
}

func FuzzDecodeFlags(f *testing.F) {
	f.Add([]byte{1, 5, 0xe0, 0x08, 0, 0, 0})
	f.Fuzz(func(t *testing.T, answer []byte) {
		s, err := ipmi.DecodeFlags(answer)
		if err != nil || s.Device == "" {
			return
		}
		again, err := ipmi.DecodeFlags(append([]byte{1, 5}, ipmi.EncodeFlags(s, task.UEFI)...))
		require.NoError(t, err)
		require.Equal(t, s, again)
	})
}

func FuzzParseRaw(f *testing.F) {
	f.Add("0x06 0x01")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ipmi.ParseRaw(text)
		if err == nil && (r.NetFn > 0x3f || r.NetFn%2 != 0) {
			t.Errorf("%q is %v", text, r)
		}
	})
}

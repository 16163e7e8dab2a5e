package switched_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/internal/switched"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A lamp obeys after a while.
type lamp struct {
	delay time.Duration
	stuck bool

	mu   sync.Mutex
	on   driver.PowerState
	at   time.Time
	sets int
}

func (l *lamp) State(context.Context) (driver.PowerState, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.on == "" {
		l.on = driver.PowerOff
	}
	if time.Since(l.at) < l.delay {
		return "", errors.New("rebooting itself")
	}
	return l.on, nil
}

func (l *lamp) Set(_ context.Context, to driver.PowerState) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sets++
	if !l.stuck {
		l.on, l.at = to, time.Now()
	}
	return nil
}

func power(open func(string, *task.Task) (switched.Switch, error)) *switched.Power {
	return &switched.Power{Name: "lamp", Open: open, Wait: time.Minute, Pause: time.Second, Dark: 5 * time.Second, Remedy: "look at the lamp"}
}

func one(l *lamp) *switched.Power {
	return power(func(string, *task.Task) (switched.Switch, error) { return l, nil })
}

func TestConformance(t *testing.T) {
	var lamps map[string]*lamp
	drivertest.RunPower(t, drivertest.PowerHarness{
		New: func(*testing.T) driver.PowerInterface {
			lamps = map[string]*lamp{}
			p := power(func(_ string, t *task.Task) (switched.Switch, error) { return lamps[t.Node.Name], nil })
			p.Dark = 0
			return p
		},
		Task: func(t *testing.T, name string) *task.Task {
			if lamps[name] == nil {
				lamps[name] = &lamp{}
			}
			return tasktest.Task(t, tasktest.Node(name))
		},
		Jam: func(_ *testing.T, tk *task.Task) { lamps[tk.Node.Name].stuck = true },
	})
}

func TestVerified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tk := tasktest.Task(t, tasktest.Node("n1"))
		slow := &lamp{delay: 30 * time.Second}
		start := time.Now()
		require.NoError(t, one(slow).SetPowerState(t.Context(), tk, driver.PowerOn))
		require.Equal(t, 30*time.Second, time.Since(start))
		require.NoError(t, one(slow).SetPowerState(t.Context(), tk, driver.PowerOn))
		require.Equal(t, 1, slow.sets, "what is there is not asked for again")

		start = time.Now()
		require.NoError(t, one(slow).SetPowerState(t.Context(), tk, driver.Reboot))
		require.Equal(t, 65*time.Second, time.Since(start), "off, dark, on")

		err := one(&lamp{stuck: true}).SetPowerState(t.Context(), tk, driver.PowerOn)
		require.ErrorIs(t, err, task.ErrTimeout)
		require.ErrorContains(t, err, "look at the lamp")
	})
}

func ExampleUntil() {
	looks := 0
	err := switched.Until(context.Background(), driver.PowerOff, time.Second, 0, func(context.Context) (driver.PowerState, error) {
		if looks++; looks < 3 {
			return driver.PowerOn, nil
		}
		return driver.PowerOff, nil
	})
	fmt.Println(looks, err)
	// Output: 3 <nil>
}

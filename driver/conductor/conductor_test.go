package conductor_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/conductor"
	"github.com/ferrule/ferrule/task"
)

func TestNew(t *testing.T) {
	good := conductor.Config{Store: &task.MemoryStore{}, Registry: &driver.Registry{}}
	for name, test := range map[string]struct {
		change func(c *conductor.Config)
		is     error
		texts  []string
	}{
		"nothing": {func(c *conductor.Config) { *c = conductor.Config{} }, task.ErrMissingParameter,
			[]string{"conductor.New: Config.Store: missing", "conductor.New: Config.Registry: missing"}},
		"active":  {func(c *conductor.Config) { c.MaxActive = -1 }, task.ErrInvalidParameter, []string{"Config.MaxActive"}},
		"history": {func(c *conductor.Config) { c.History = -1 }, task.ErrInvalidParameter, []string{"Config.History"}},
		"times":   {func(c *conductor.Config) { c.StepTimeout = -1 }, task.ErrInvalidParameter, []string{"Config's times"}},
		"lease":   {func(c *conductor.Config) { c.LeaseTime = 2 }, task.ErrInvalidParameter, []string{"Config.LeaseTime", "2ns", "100ms"}},
		"good":    {func(*conductor.Config) {}, nil, nil},
		"full": {func(c *conductor.Config) {
			c.Host, c.LeaseTime, c.LockWait, c.MaxActive, c.History = "host-1", time.Second, time.Second, 1, 1
			c.CallbackTimeout, c.StepTimeout, c.CleanUpTimeout = time.Second, time.Second, time.Second
		}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			test.change(&c)
			made, err := conductor.New(c)
			if test.is == nil {
				require.NoError(t, err)
				require.Equal(t, map[bool]string{true: "local", false: c.Host}[c.Host == ""], made.Manager().Host())
				return
			}
			require.ErrorIs(t, err, test.is)
			require.Nil(t, made)
			for _, text := range test.texts {
				require.ErrorContains(t, err, text)
			}
		})
	}
}

package deploytest_test

import (
	"context"
	"testing"

	"github.com/ferrule/ferrule/deploy/deploytest"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

func TestDataRace(t *testing.T) {
	h := broken(func(s *site, d *drivertest.Deploy) {
		deployed := 0
		d.DeployFunc = func(ctx context.Context, t *task.Task) (task.State, error) {
			deployed++
			return s.deploy(ctx, t)
		}
	})
	roletest.Raced(t, func(t *testing.T) { deploytest.Run(t, h) }, "concurrent-nodes")
}

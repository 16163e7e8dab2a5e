package boottest_test

import (
	"context"
	"testing"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/boottest"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

func TestDataRace(t *testing.T) {
	h := broken(func(s *site) {
		prepared := 0
		s.boot.PrepareRamdiskFunc = func(ctx context.Context, t *task.Task, p boot.Params) error {
			prepared++
			return s.prepareRamdisk(ctx, t, p)
		}
	})
	roletest.Raced(t, func(t *testing.T) { boottest.Run(t, h) }, "concurrent-nodes")
}

package ilo_test

import (
	"maps"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/ilo"
	"github.com/ferrule/ferrule/ilo/ilotest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick are budgets with the tries of the usual ones and no waits.
func quick() bmc.Budgets {
	b := bmc.DefaultBudgets()
	for class, budget := range b {
		budget.First, budget.Max = time.Millisecond, time.Millisecond
		b[class] = budget
	}
	return b
}

func newBMCs(t testing.TB) *ilo.BMCs {
	b := &ilo.BMCs{Budgets: quick(), Poll: time.Millisecond, Patience: 3 * time.Second}
	t.Cleanup(b.Close)
	return b
}

// onILO returns a task on a node whose iLO is i.
func onILO(t testing.TB, i *ilotest.ILO, name string) *task.Task {
	n := tasktest.Node(name)
	maps.Copy(n.DriverInfo, i.DriverInfo())
	return tasktest.Task(t, n)
}

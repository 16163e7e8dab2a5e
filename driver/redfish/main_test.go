package redfish_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/driver/redfish"
	"github.com/ferrule/ferrule/driver/redfish/redfishtest"
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

func newBMCs(t testing.TB) *redfish.BMCs {
	b := &redfish.BMCs{Budgets: quick(), Poll: time.Millisecond, Patience: 3 * time.Second}
	t.Cleanup(b.Close)
	return b
}

// onBMC returns a task on a node whose BMC is b.
func onBMC(t testing.TB, b *redfishtest.BMC, name string) *task.Task {
	n := tasktest.Node(name)
	n.DriverInfo["redfish_address"] = b.URL
	n.DriverInfo["redfish_username"] = bmctest.User
	n.DriverInfo["redfish_password"] = bmctest.Password
	n.DriverInfo["redfish_fingerprint"] = b.Fingerprint()
	return &task.Task{Node: n}
}

func access(b *redfishtest.BMC) redfish.Access {
	return redfish.Access{Address: b.URL, Username: bmctest.User, Password: bmctest.Password, TLS: bmc.TLS{Fingerprint: b.Fingerprint()}}
}

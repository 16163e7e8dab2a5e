package ipmi

import (
	"context"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

type forceParameters struct {
	Force bool `driver_info:"ipmi_force_boot_device" default:"false" help:"whether a persistent boot device is set again at every power on, for a BMC that forgets it"`
}

func forceProperties() task.Properties { return task.PropertiesOf[forceParameters]() }

func forced(op string, t *task.Task) (bool, error) {
	var p forceParameters
	err := t.Node.Decode(op, &p)
	return p.Force, err
}

// Ironic's names in driver_internal_info: a node that it left is carried on.
const (
	deviceKey = "persistent_boot_device"
	onceKey   = "is_next_boot_persistent" // false: the next power on keeps a device that was set for it alone
)

func remember(n *task.Node, s driver.BootSetting) {
	if s.Persistent {
		n.SetInternal(deviceKey, string(s.Device))
		n.SetInternal(onceKey, nil)
		return
	}
	n.SetInternal(onceKey, false)
}

// remembered returns the device for every boot, "" for none.
func remembered(n *task.Node) boot.Device {
	d, err := boot.ParseDevice(n.DriverInternalInfo.Text(deviceKey))
	if _, ok := deviceCodes[d]; err != nil || !ok {
		return ""
	}
	return d
}

func onceOnly(n *task.Node) bool {
	next, ok := n.DriverInternalInfo[onceKey].(bool)
	return ok && !next
}

// beforePowerOn sets the device that the BMC forgets.
func (m *management) beforePowerOn(ctx context.Context, t *task.Task, b *BMC) error {
	force, err := forced(m.name+".SetPowerState", t)
	if err != nil || !force {
		return err
	}
	if onceOnly(t.Node) {
		t.Node.SetInternal(onceKey, nil)
		return nil
	}
	device := remembered(t.Node)
	if device == "" {
		return nil
	}
	return m.send(ctx, t, b, driver.BootSetting{Device: device})
}

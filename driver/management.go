package driver

import (
	"context"
	"slices"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/task"
)

// A BootSetting is what a BMC is told to boot from.
type BootSetting struct {
	Device     boot.Device
	Persistent bool // for every boot, not only the next
}

// A ManagementInterface changes how a node boots, through its BMC.
type ManagementInterface interface {
	// Properties describes the parameters that the other methods read.
	Properties() task.Properties

	// Validate reports every parameter that is missing or wrong. It does not
	// talk to the BMC. Shared lock.
	Validate(ctx context.Context, t *task.Task) error

	// SupportedBootDevices lists what SetBootDevice accepts for the node.
	SupportedBootDevices(t *task.Task) []boot.Device

	// SetBootDevice makes the node boot from s.Device at its next boot, or at
	// every boot. A device that is not supported is task.ErrInvalidParameter.
	// Exclusive lock.
	SetBootDevice(ctx context.Context, t *task.Task, s BootSetting) error

	// BootDevice asks the BMC what the next boot will be from; the zero
	// BootSetting means that it does not know. Shared lock.
	BootDevice(ctx context.Context, t *task.Task) (BootSetting, error)
}

// A BootModeSetter is a management interface that can change between BIOS and UEFI.
type BootModeSetter interface {
	SetBootMode(ctx context.Context, t *task.Task, m task.BootMode) error
	BootMode(ctx context.Context, t *task.Task) (task.BootMode, error)
}

// BootParameters are what [SetBootDevice] reads from a node. Boot implementations
// embed them in their own parameters.
type BootParameters struct {
	ForcePersistent string `driver_info:"force_persistent_boot_device" default:"Default" choices:"Default,Always,Never" help:"whether boot devices are set for every boot: as needed, always, or never, for BMCs that cannot do one of the two"`
}

// SetBootDevice tells t's BMC what to boot from. On a driver without management
// it does nothing: such a machine has its boot order set by hand. Of the devices
// given, the first that is supported is used; where none is, the interface
// refuses the first. Without any device it is task.ErrMissingParameter. The
// node's own [BootParameters] go before persistent.
func SetBootDevice(ctx context.Context, t *task.Task, persistent bool, devices ...boot.Device) error {
	if len(devices) == 0 {
		return &task.Error{Op: "driver.SetBootDevice", Node: t.Node.String(), Field: "boot_device", Err: task.ErrMissingParameter}
	}
	d, _ := t.Driver.(*Driver)
	if d == nil || d.Management == nil {
		t.Log().Info("boot device left as it is: the driver has no management interface", "wanted", devices)
		return nil
	}
	var p BootParameters
	if err := t.Node.Decode("driver.SetBootDevice", &p); err != nil {
		return err
	}
	switch p.ForcePersistent {
	case "Always":
		persistent = true
	case "Never":
		persistent = false
	}
	supported := d.Management.SupportedBootDevices(t)
	device := devices[0]
	for _, v := range devices {
		if slices.Contains(supported, v) {
			device = v
			break
		}
	}
	return d.Management.SetBootDevice(ctx, t, BootSetting{Device: device, Persistent: persistent})
}

// An NMISender is a management interface that can raise a non-maskable interrupt.
type NMISender interface {
	SendNMI(ctx context.Context, t *task.Task) error
}

// A Sensor is one reading.
type Sensor struct {
	Name  string
	Kind  string  // temperature, fan, voltage, power, state
	Value float64 // in Unit
	Unit  string  // Celsius, RPM, Volts, Watts; empty for a state
	State string  // as the BMC words it: ok, critical, ...
}

// A SensorReader is a management interface that reads sensors.
type SensorReader interface {
	Sensors(ctx context.Context, t *task.Task) ([]Sensor, error)
}

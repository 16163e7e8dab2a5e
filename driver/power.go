package driver

import (
	"context"
	"fmt"
	"slices"

	"github.com/ferrule/ferrule/task"
)

// A PowerState is what a machine's power is, or what it should become. The
// strings are Ironic's wire values.
type PowerState string

// PowerOn and PowerOff are what a machine can be; all are what can be asked for.
const (
	PowerOn      PowerState = "power on"
	PowerOff     PowerState = "power off"
	Reboot       PowerState = "rebooting"
	SoftPowerOff PowerState = "soft power off" // asks the operating system
	SoftReboot   PowerState = "soft rebooting"
)

// A PowerInterface switches a node's power.
type PowerInterface interface {
	// Properties describes the parameters that the other methods read.
	Properties() task.Properties

	// Validate reports every parameter that is missing or wrong. It does not
	// talk to the BMC. Shared lock.
	Validate(ctx context.Context, t *task.Task) error

	// PowerState asks the BMC. It answers PowerOn or PowerOff. Shared lock.
	PowerState(ctx context.Context, t *task.Task) (PowerState, error)

	// SetPowerState brings the node's power to the state and returns once the
	// BMC reports that it is there, or with an error. Reboot is a hard power
	// cycle that turns a machine on that was off. States beyond PowerOn,
	// PowerOff and Reboot may be answered with task.ErrUnsupported. Asking for
	// the state that is there already succeeds. Exclusive lock.
	SetPowerState(ctx context.Context, t *task.Task, state PowerState) error
}

// A PowerStater is a power interface that supports more, or less, than
// PowerOn, PowerOff and Reboot.
type PowerStater interface {
	SupportedPowerStates(t *task.Task) []PowerState
}

// SupportsPowerState reports whether t's power interface says that it supports
// state.
func SupportsPowerState(t *task.Task, state PowerState) bool {
	if s, ok := task.As[PowerStater](Of(t).Power); ok {
		return slices.Contains(s.SupportedPowerStates(t), state)
	}
	return slices.Contains([]PowerState{PowerOn, PowerOff, Reboot}, state)
}

// SetPower brings t's node to the power state through its power interface and
// records it in the node. A soft state that is not supported is done hard.
func SetPower(ctx context.Context, t *task.Task, state PowerState) error {
	const op = "driver.SetPower"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	if hard, ok := map[PowerState]PowerState{SoftPowerOff: PowerOff, SoftReboot: Reboot}[state]; ok && !SupportsPowerState(t, state) {
		state = hard
	}
	result := PowerOn
	switch state {
	case PowerOff, SoftPowerOff:
		result = PowerOff
	case PowerOn, Reboot, SoftReboot:
	default:
		return &task.Error{Op: op, Node: t.Node.String(), Field: "power_state", Err: fmt.Errorf("%w: %q", task.ErrInvalidParameter, state)}
	}
	t.Node.TargetPowerState = string(result)
	defer func() { t.Node.TargetPowerState = "" }()
	if err := Of(t).Power.SetPowerState(ctx, t, state); err != nil {
		return err
	}
	t.Node.PowerState = string(result)
	return nil
}

package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// A Fleet holds machines and gives the drivers for their BMCs. The zero value
// is empty and ready. Close it.
type Fleet struct {
	mu       sync.Mutex
	machines map[string]*Machine
}

// Add makes a machine, powered off and with a blank disk.
func (f *Fleet) Add(c MachineConfig) (*Machine, error) {
	m, err := newMachine(c)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	_, taken := f.machines[c.Name]
	if !taken {
		if f.machines == nil {
			f.machines = map[string]*Machine{}
		}
		f.machines[c.Name] = m
	}
	f.mu.Unlock()
	if taken {
		return nil, errors.Join(fmt.Errorf("sim: machine %q: %w", c.Name, task.ErrExists), m.close())
	}
	return m, nil
}

// Machine returns the machine of that name, nil for none.
func (f *Fleet) Machine(name string) *Machine {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.machines[name]
}

// Close turns all machines off and removes their disks.
func (f *Fleet) Close() error {
	f.mu.Lock()
	machines := f.machines
	f.machines = nil
	f.mu.Unlock()
	var errs []error
	for _, m := range machines {
		errs = append(errs, m.close())
	}
	return errors.Join(errs...)
}

// Power returns the power interface of the fleet's machines.
func (f *Fleet) Power() driver.PowerInterface { return bmcPower{bmc{f}} }

// Management returns the management interface of the fleet's machines.
func (f *Fleet) Management() driver.ManagementInterface { return bmcManagement{bmc{f}} }

// A bmc is what power and management share.
type bmc struct{ fleet *Fleet }

type parameters struct {
	Machine string `driver_info:"sim_machine,required" help:"name of the simulated machine"`
}

func (b bmc) Properties() task.Properties { return task.PropertiesOf[parameters]() }

func (b bmc) Validate(ctx context.Context, t *task.Task) error {
	_, err := b.machine(ctx, t)
	return err
}

func (b bmc) machine(ctx context.Context, t *task.Task) (*Machine, error) {
	if err := ctx.Err(); err != nil {
		return nil, &task.Error{Op: "sim", Node: t.Node.String(), Err: context.Cause(ctx)}
	}
	var p parameters
	if err := t.Node.Decode("sim", &p); err != nil {
		return nil, err
	}
	m := b.fleet.Machine(p.Machine)
	if m == nil {
		return nil, &task.Error{Op: "sim", Node: t.Node.String(), Field: "driver_info.sim_machine",
			Err: fmt.Errorf("%w: no machine %q in the fleet", task.ErrInvalidParameter, p.Machine), Remedy: "add the machine to the fleet"}
	}
	return m, nil
}

type bmcPower struct{ bmc }

var _ driver.PowerInterface = bmcPower{}

func (p bmcPower) PowerState(ctx context.Context, t *task.Task) (driver.PowerState, error) {
	m, err := p.machine(ctx, t)
	if err != nil {
		return "", err
	}
	if s, _ := m.State(); s == Off {
		return driver.PowerOff, nil
	}
	return driver.PowerOn, nil
}

func (p bmcPower) SetPowerState(ctx context.Context, t *task.Task, state driver.PowerState) error {
	if err := t.RequireExclusive("sim.SetPowerState"); err != nil {
		return err
	}
	m, err := p.machine(ctx, t)
	if err != nil {
		return err
	}
	fail := func(err error, remedy string) error {
		return &task.Error{Op: "sim.SetPowerState", Node: t.Node.String(), Field: "power_state", Err: err, Remedy: remedy}
	}
	switch {
	case state != driver.PowerOn && state != driver.PowerOff && state != driver.Reboot:
		return fail(fmt.Errorf("%w: %q", task.ErrUnsupported, state), "")
	case m.cfg.Faults.PowerFails:
		return fail(errors.New("the BMC answered: chassis power control failed"), "look at the BMC")
	}
	if state != driver.PowerOn {
		m.powerOff()
	}
	if state != driver.PowerOff {
		m.powerOn()
	}
	return nil
}

type bmcManagement struct{ bmc }

var _ driver.ManagementInterface = bmcManagement{}

func (bmcManagement) SupportedBootDevices(*task.Task) []boot.Device {
	return []boot.Device{boot.PXE, boot.UEFIHTTP, boot.Disk}
}

func (g bmcManagement) SetBootDevice(ctx context.Context, t *task.Task, s driver.BootSetting) error {
	if err := t.RequireExclusive("sim.SetBootDevice"); err != nil {
		return err
	}
	m, err := g.machine(ctx, t)
	if err != nil {
		return err
	}
	if supported := g.SupportedBootDevices(t); !slices.Contains(supported, s.Device) {
		return &task.Error{Op: "sim.SetBootDevice", Node: t.Node.String(), Field: "boot_device",
			Err: fmt.Errorf("%w: %q", task.ErrInvalidParameter, s.Device), Remedy: fmt.Sprintf("use one of %q", supported)}
	}
	m.setBootDevice(s)
	return nil
}

func (g bmcManagement) BootDevice(ctx context.Context, t *task.Task) (driver.BootSetting, error) {
	m, err := g.machine(ctx, t)
	if err != nil {
		return driver.BootSetting{}, err
	}
	return m.bootDevice(), nil
}

//go:build unix

package machine

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// A Rack holds machines. Its zero value is ready; close it.
type Rack struct {
	mu       sync.Mutex
	machines map[string]*Machine
}

// Add makes a machine, which is off.
func (r *Rack) Add(c Config) (*Machine, error) {
	m, err := newMachine(c)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.machines == nil {
		r.machines = map[string]*Machine{}
	}
	if r.machines[c.Name] != nil {
		return nil, fmt.Errorf("machine %s: %w", c.Name, task.ErrExists)
	}
	r.machines[c.Name] = m
	return m, nil
}

// Close switches all machines off, for good.
func (r *Rack) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.machines {
		m.close()
	}
	r.machines = nil
}

type parameters struct {
	Machine string `driver_info:"qemu_machine,required" help:"name of the machine"`
}

// of returns the machine of t's node.
func (r *Rack) of(op string, t *task.Task) (*Machine, error) {
	var p parameters
	if err := t.Node.Decode(op, &p); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.machines[p.Machine]; m != nil {
		return m, nil
	}
	return nil, &task.Error{Op: op, Node: t.Node.String(), Field: "driver_info.qemu_machine", Err: fmt.Errorf("%w: there is no machine %q", task.ErrInvalidParameter, p.Machine)}
}

// Power returns the power driver for the rack's machines.
func (r *Rack) Power() driver.PowerInterface { return &power{r} }

// Management returns the management driver for the rack's machines.
func (r *Rack) Management() driver.ManagementInterface { return &management{r} }

type power struct{ rack *Rack }

func (p *power) Properties() task.Properties { return task.PropertiesOf[parameters]() }

func (p *power) Validate(_ context.Context, t *task.Task) error {
	_, err := p.rack.of("qemu.Validate", t)
	return err
}

func (p *power) PowerState(_ context.Context, t *task.Task) (driver.PowerState, error) {
	m, err := p.rack.of("qemu.PowerState", t)
	if err != nil {
		return "", err
	}
	if m.On() {
		return driver.PowerOn, nil
	}
	return driver.PowerOff, nil
}

func (p *power) SetPowerState(ctx context.Context, t *task.Task, state driver.PowerState) error {
	const op = "qemu.SetPowerState"
	m, err := p.rack.of(op, t)
	if err := task.Join(t.RequireExclusive(op), err); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return &task.Error{Op: op, Node: t.Node.String(), Err: context.Cause(ctx)}
	}
	switch state {
	case driver.PowerOff:
		m.PowerOff()
		return nil
	case driver.Reboot:
		m.PowerOff()
		err = m.PowerOn(ctx)
	case driver.PowerOn:
		err = m.PowerOn(ctx)
	default:
		err = fmt.Errorf("%w: %q", task.ErrUnsupported, state)
	}
	if err != nil {
		return &task.Error{Op: op, Node: t.Node.String(), Err: err}
	}
	return nil
}

type management struct{ rack *Rack }

func (g *management) Properties() task.Properties { return task.PropertiesOf[parameters]() }

func (g *management) Validate(_ context.Context, t *task.Task) error {
	_, err := g.rack.of("qemu.Validate", t)
	return err
}

func (g *management) SupportedBootDevices(t *task.Task) []boot.Device {
	devices := []boot.Device{boot.PXE, boot.Disk}
	m, err := g.rack.of("qemu.SupportedBootDevices", t)
	if err != nil {
		return devices
	}
	if m.cfg.Firmware == task.UEFI {
		devices = append(devices, boot.UEFIHTTP)
	}
	if m.cfg.CD != "" {
		devices = append(devices, boot.CDROM)
	}
	return devices
}

func (g *management) SetBootDevice(ctx context.Context, t *task.Task, s driver.BootSetting) error {
	const op = "qemu.SetBootDevice"
	m, err := g.rack.of(op, t)
	if err := task.Join(t.RequireExclusive(op), err); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return &task.Error{Op: op, Node: t.Node.String(), Err: context.Cause(ctx)}
	}
	if !slices.Contains(g.SupportedBootDevices(t), s.Device) {
		return &task.Error{Op: op, Node: t.Node.String(), Field: "boot_device", Err: fmt.Errorf("%w: %q", task.ErrInvalidParameter, s.Device),
			Remedy: fmt.Sprintf("choose one of %q", g.SupportedBootDevices(t))}
	}
	m.SetBootDevice(s.Device, s.Persistent)
	return nil
}

func (g *management) BootDevice(_ context.Context, t *task.Task) (driver.BootSetting, error) {
	m, err := g.rack.of("qemu.BootDevice", t)
	if err != nil {
		return driver.BootSetting{}, err
	}
	device, persistent := m.BootDevice()
	return driver.BootSetting{Device: device, Persistent: persistent}, nil
}

package boottest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// A recorder sees what is done to the siblings of the boot role.
type recorder struct {
	mu        sync.Mutex
	power     []string
	devices   []string
	onDevices func() // after each change of the boot device; nil for none
}

func (r *recorder) powerCalls() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.power)
}

func (r *recorder) deviceCalls() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.devices)
}

type power struct {
	driver.PowerInterface
	seen *recorder
}

func (p *power) Unwrap() driver.PowerInterface { return p.PowerInterface }

func (p *power) SetPowerState(ctx context.Context, t *task.Task, s driver.PowerState) error {
	p.seen.mu.Lock()
	p.seen.power = append(p.seen.power, fmt.Sprintf("%s: %s", t.Node, s))
	p.seen.mu.Unlock()
	return p.PowerInterface.SetPowerState(ctx, t, s)
}

type management struct {
	driver.ManagementInterface
	seen *recorder
}

func (m *management) Unwrap() driver.ManagementInterface { return m.ManagementInterface }

func (m *management) SetBootDevice(ctx context.Context, t *task.Task, s driver.BootSetting) error {
	m.seen.mu.Lock()
	m.seen.devices = append(m.seen.devices, fmt.Sprintf("%s: %s", t.Node, s.Device))
	m.seen.mu.Unlock()
	err := m.ManagementInterface.SetBootDevice(ctx, t, s)
	if m.seen.onDevices != nil {
		m.seen.onDevices()
	}
	return err
}

package redfish

import (
	"context"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/vmedia"
	"github.com/ferrule/ferrule/task"
)

// NewBoot returns the boot driver for nodes with the parameters of this package: it
// boots them from virtual media. The error reports every bad field of s.
func (b *BMCs) NewBoot(s vmedia.Site) (*vmedia.Boot, error) {
	return vmedia.New("redfish", s, b.roles().Drives())
}

// Drives returns the virtual drives of the machines.
func (r Roles) Drives() vmedia.Drives { return drives{role{r}} }

type drives struct{ role }

func (d drives) Insert(ctx context.Context, t *task.Task, kind boot.Device, url string) error {
	const op = "redfish.Insert"
	c, err := d.client(ctx, op, t)
	if err != nil {
		return err
	}
	return wrap(op, t, c.Insert(ctx, kind, url))
}

func (d drives) Eject(ctx context.Context, t *task.Task, kind boot.Device, mine func(url string) bool) error {
	const op = "redfish.Eject"
	c, err := d.client(ctx, op, t)
	if err != nil {
		return err
	}
	return wrap(op, t, c.Eject(ctx, kind, mine))
}

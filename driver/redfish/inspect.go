package redfish

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/driver/inspector"
	"github.com/ferrule/ferrule/task"
)

// Inspect returns the inspection driver for nodes with the parameters of this
// package.
func (b *BMCs) Inspect() *Inspect { return b.roles().Inspect() }

// Inspect returns the inspection driver.
func (r Roles) Inspect() *Inspect { return &Inspect{role{r}} }

// An Inspect asks the BMC what hardware there is, without starting the machine. Use
// [BMCs.Inspect].
type Inspect struct{ role }

var _ driver.InspectInterface = (*Inspect)(nil)

// InspectHardware writes memory and processors to the node's properties, vendor and
// model where the node has none, and adds a port for each network interface that it
// does not have. It is done when it returns.
func (i *Inspect) InspectHardware(ctx context.Context, t *task.Task) (task.State, error) {
	const op = "redfish.InspectHardware"
	if err := t.RequireExclusive(op); err != nil {
		return "", err
	}
	c, err := i.client(ctx, op, t)
	if err != nil {
		return "", err
	}
	s, err := c.System(ctx)
	if err != nil {
		return "", wrap(op, t, err)
	}
	macs, err := c.macs(ctx, s)
	if err != nil {
		return "", wrap(op, t, err)
	}
	var found inspector.Found
	found.Inventory.SystemVendor.Manufacturer, found.Inventory.SystemVendor.ProductName = s.Manufacturer, s.Model
	found.Inventory.Memory.PhysicalMB = int64(s.MemorySummary.TotalSystemMemoryGiB * 1024)
	found.Inventory.CPU.Count = s.ProcessorSummary.Count
	return task.Manageable, inspector.RecordBMC(t, &found, macs)
}

// AbortInspection does nothing: nothing goes on.
func (i *Inspect) AbortInspection(ctx context.Context, t *task.Task) error {
	const op = "redfish.AbortInspection"
	if ctx.Err() != nil {
		return &task.Error{Op: op, Node: t.Node.String(), Err: context.Cause(ctx)}
	}
	return t.RequireExclusive(op)
}

// macs returns the addresses of the system's network interfaces.
func (c *Client) macs(ctx context.Context, s *System) ([]string, error) {
	if s.EthernetInterfaces.ID == "" {
		return nil, nil
	}
	var all collection
	if _, err := c.Get(ctx, s.EthernetInterfaces.ID, &all); err != nil {
		if bmc.ClassOf(err) == bmc.Unsupported {
			return nil, nil
		}
		return nil, err
	}
	var macs []string
	for _, l := range all.Members {
		var nic struct{ MACAddress, PermanentMACAddress string }
		if _, err := c.Get(ctx, l.ID, &nic); err != nil {
			return nil, err
		}
		if nic.PermanentMACAddress != "" {
			nic.MACAddress = nic.PermanentMACAddress
		}
		macs = append(macs, nic.MACAddress)
	}
	return macs, nil
}

// ResetManager restarts the BMC of the client. Its sessions end.
func (c *Client) ResetManager(ctx context.Context) error {
	s, err := c.System(ctx)
	if err != nil {
		return err
	}
	for _, l := range s.Links.ManagedBy {
		var manager struct {
			Actions struct {
				Reset action `json:"#Manager.Reset"`
			}
		}
		if _, err := c.Get(ctx, l.ID, &manager); err != nil {
			return err
		}
		if manager.Actions.Reset.Target == "" {
			continue
		}
		for _, kind := range []string{"ForceRestart", "GracefulRestart"} {
			if manager.Actions.Reset.allows(kind) {
				return c.Post(ctx, manager.Actions.Reset.Target, map[string]string{"ResetType": kind})
			}
		}
	}
	return fmt.Errorf("%w: the BMC cannot be told to restart", task.ErrUnsupported)
}

package agent

import (
	"context"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// runs reports whether the ramdisk of an earlier session is up still and can go
// on: fast track is wanted, the machine is on, and the same boot of the agent
// answers at the same address, with the same certificate, to the same token.
func (d *Deploy) runs(ctx context.Context, t *task.Task) bool {
	n := t.Node
	started := n.DriverInternalInfo.Text(keyStarted)
	if !d.cfg.FastTrack || started == "" || n.DriverInternalInfo.Text(keyToken) == "" {
		return false
	}
	s, err := sessionOf("agent.runs", n)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeoutCause(ctx, askTime, ErrUnreachable)
	defer cancel()
	power, err := driver.Of(t).Power.PowerState(ctx, t)
	if err != nil || power != driver.PowerOn {
		return false
	}
	status, err := d.client.Status(ctx, s)
	if err != nil || status.StartedAt != started {
		return false
	}
	all, err := d.client.Commands(ctx, s)
	if err != nil || len(all) > 0 && all[len(all)-1].Status == Running {
		return false // busy with what somebody else ordered
	}
	t.Log().Info("the ramdisk runs still, no reboot")
	return true
}

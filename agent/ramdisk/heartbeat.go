package ramdisk

import (
	"context"
	"time"
)

// heartbeats calls the conductor until ctx ends.
func (a *agent) heartbeats(ctx context.Context, callbackURL string) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.beat:
			timer.Reset(a.settings.heartbeatGap - time.Since(last))
			continue
		case <-timer.C:
		}
		err := a.api.heartbeat(ctx, a.node.facts.UUID, heartbeat{
			CallbackURL: callbackURL, Version: a.version, Token: string(a.token),
		})
		last = time.Now()
		if ctx.Err() != nil {
			return
		}
		next := spread(a.node.heartbeatTimeout, 0.3, 0.6)
		if err != nil {
			next = spread(a.settings.heartbeatGap, 1, 2)
			a.log.Warn("heartbeat", "err", err, "next", next)
		}
		timer.Reset(max(next, a.settings.heartbeatGap))
	}
}

// forceHeartbeat brings the next heartbeat forward, to the gap after the last.
func (a *agent) forceHeartbeat() {
	select {
	case a.beat <- struct{}{}:
	default: // one is due anyway
	}
}

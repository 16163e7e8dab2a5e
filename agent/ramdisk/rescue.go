package ramdisk

import (
	"context"
	"encoding/json"
	"strings"
)

// A Rescuer is a [Host] whose owner can log in to the ramdisk to repair what is
// on the disks. Without it the agent has no extension for rescues: it refuses the
// command, and the conductor's rescue fails with that as the reason.
type Rescuer interface {
	// Rescue lets the rescue user in with a password of which crypt(3) makes
	// hash. The agent ends after it, and the machine is its owner's.
	Rescue(ctx context.Context, hash string) error
}

// rescueParams are those of finalize_rescue.
type rescueParams struct {
	Password string
	Hashed   bool
}

func decodeRescue(p parameters) (rescueParams, error) {
	var r rescueParams
	if json.Unmarshal(p["rescue_password"], &r.Password) != nil || r.Password == "" {
		return r, invalidParams("'rescue_password' is missing")
	}
	if raw := p["hashed"]; len(raw) > 0 && json.Unmarshal(raw, &r.Hashed) != nil {
		return r, invalidParams("'hashed' is neither true nor false")
	}
	// A conductor that sends the password itself is older than any that is safe.
	if !r.Hashed || !strings.HasPrefix(r.Password, "$") || strings.ContainsAny(r.Password, ":\r\n\x00") {
		return r, invalidParams("the rescue password is not hashed as crypt(3) does")
	}
	return r, nil
}

func checkRescue(p parameters) error {
	_, err := decodeRescue(p)
	return err
}

// rescue returns the command that hands the machine over.
func (a *agent) rescue(host Rescuer) func(context.Context, *command, parameters) (any, error) {
	return func(ctx context.Context, _ *command, p parameters) (any, error) {
		r, err := decodeRescue(p)
		if err != nil {
			return nil, err
		}
		if err := host.Rescue(ctx, r.Password); err != nil {
			return nil, err
		}
		a.off.Store(true) // no more heartbeats and commands
		return nil, nil
	}
}

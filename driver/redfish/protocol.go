package redfish

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/task"
)

// A Protocol is how a BMC serves one of its network protocols (DSP0268,
// ManagerNetworkProtocol).
type Protocol struct {
	ProtocolEnabled bool
	Port            int // 0 where the BMC does not say
}

// Protocol asks the BMC of the client for the protocol of that name: "IPMI", "SSH". The
// error Is task.ErrUnsupported where the BMC does not name it.
func (c *Client) Protocol(ctx context.Context, name string) (Protocol, error) {
	s, err := c.System(ctx)
	if err != nil {
		return Protocol{}, err
	}
	for _, l := range s.Links.ManagedBy {
		var manager struct{ NetworkProtocol link }
		if _, err := c.Get(ctx, l.ID, &manager); err != nil {
			return Protocol{}, err
		}
		if manager.NetworkProtocol.ID == "" {
			continue
		}
		var all map[string]json.RawMessage // beside protocols it has texts
		if _, err := c.Get(ctx, manager.NetworkProtocol.ID, &all); err != nil {
			return Protocol{}, err
		}
		text, ok := all[name]
		if !ok {
			continue
		}
		var p Protocol
		if err := json.Unmarshal(text, &p); err != nil {
			return Protocol{}, &bmc.Error{Class: bmc.Protocol, Op: "GET " + manager.NetworkProtocol.ID, Text: fmt.Sprintf("%s is no protocol", name)}
		}
		return p, nil
	}
	return Protocol{}, fmt.Errorf("%w: the BMC does not name %s among its protocols", task.ErrUnsupported, name)
}

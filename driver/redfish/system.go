package redfish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/task"
)

// A System is what is used here of a ComputerSystem (DSP0268).
type System struct {
	ID           string `json:"@odata.id"`
	Manufacturer string
	Model        string
	SerialNumber string
	PowerState   string
	Boot         Boot
	Oem          map[string]json.RawMessage

	ProcessorSummary struct{ Count int }
	MemorySummary    struct{ TotalSystemMemoryGiB float64 }

	Settings struct {
		Object link `json:"SettingsObject"`
	} `json:"@Redfish.Settings"`
	Actions struct {
		Reset action `json:"#ComputerSystem.Reset"`
	}
	Links struct {
		ManagedBy []link
		Chassis   []link
	}
	VirtualMedia       link
	SecureBoot         link
	Bios               link
	EthernetInterfaces link

	etag string
}

// Boot says what a system boots from.
type Boot struct {
	Target  string   `json:"BootSourceOverrideTarget,omitempty"`
	Enabled string   `json:"BootSourceOverrideEnabled,omitempty"`
	Mode    string   `json:"BootSourceOverrideMode,omitempty"`
	Targets []string `json:"BootSourceOverrideTarget@Redfish.AllowableValues,omitempty"`
}

// An action is one that a resource offers.
type action struct {
	Target string   `json:"target"`
	Types  []string `json:"ResetType@Redfish.AllowableValues"`
}

// allows reports whether the action says nothing against a reset type.
func (a action) allows(reset string) bool {
	return len(a.Types) == 0 || slices.Contains(a.Types, reset)
}

type collection struct{ Members []link }

// System finds the system that the client's access names, or the only one there is.
func (c *Client) System(ctx context.Context) (*System, error) {
	path := c.access.SystemID
	if path == "" {
		var root struct{ Systems link }
		if _, err := c.Get(ctx, rootPath, &root); err != nil {
			return nil, err
		}
		if root.Systems.ID == "" {
			return nil, &bmc.Error{Class: bmc.Unsupported, Op: "GET " + rootPath, Text: "the service has no systems"}
		}
		var all collection
		if _, err := c.Get(ctx, root.Systems.ID, &all); err != nil {
			return nil, err
		}
		if len(all.Members) != 1 {
			return nil, fmt.Errorf("%w: the BMC has %d systems (set redfish_system_id to the path of one of them)", task.ErrMissingParameter, len(all.Members))
		}
		path = all.Members[0].ID
	}
	s := new(System)
	var err error
	if s.etag, err = c.Get(ctx, path, s); err != nil {
		return nil, err
	}
	if s.ID == "" {
		s.ID = path
	}
	return s, nil
}

// secureBoot is where the system's secure boot is. HPE's Gen9 has it among what is
// its own (HPE, "iLO 5 adaptation guide").
func (s *System) secureBoot() link {
	if s.SecureBoot.ID != "" {
		return s.SecureBoot
	}
	var hp struct {
		SecureBoot link
		Links      struct{ SecureBoot link }
	}
	_ = json.Unmarshal(s.Oem["Hp"], &hp) // which others do not have
	if hp.SecureBoot.ID != "" {
		return hp.SecureBoot
	}
	return hp.Links.SecureBoot
}

// reset calls the system's reset action with the first of types that it allows.
func (c *Client) reset(ctx context.Context, s *System, types ...string) error {
	if s.Actions.Reset.Target == "" {
		return &bmc.Error{Class: bmc.Unsupported, Op: "reset " + bmc.Clean(s.ID), Text: "the system has no such action"}
	}
	for _, t := range types {
		if s.Actions.Reset.allows(t) {
			return c.Post(ctx, s.Actions.Reset.Target, map[string]string{"ResetType": t})
		}
	}
	return &bmc.Error{Class: bmc.Unsupported, Op: "reset " + bmc.Clean(s.ID), Text: fmt.Sprintf("none of %q is among %q", types, s.Actions.Reset.Types)}
}

// patchBoot changes how the system boots. Where the system has a settings resource
// that is what takes changes, and where it does not take one, the system itself.
// A change that meets another one is made again upon what is there then.
func (c *Client) patchBoot(ctx context.Context, s *System, b map[string]string) error {
	body := map[string]any{"Boot": b}
	if s.Settings.Object.ID != "" {
		err := c.Patch(ctx, s.Settings.Object.ID, body, "")
		if class := bmc.ClassOf(err); class != bmc.Unsupported && class != bmc.Refused {
			return err
		}
	}
	return c.conn.bmcs.Budgets.Retry(ctx, func(ctx context.Context) error {
		err := c.Patch(ctx, s.ID, body, s.etag)
		e, ok := errors.AsType[*bmc.Error](err)
		if !ok || e.Class != bmc.Conflict {
			return final(err)
		}
		refused := s.etag
		if s.etag, err = c.Get(ctx, s.ID, new(System)); err != nil {
			return final(err)
		}
		if s.etag == refused { // a weak one, which If-Match does not take (RFC 9110, 13.1.1), but its strong form
			s.etag = strings.TrimPrefix(s.etag, "W/")
		}
		again := *e
		again.Final = false
		return &again
	})
}

// final keeps what was tried often enough from being tried again.
func final(err error) error {
	e, ok := errors.AsType[*bmc.Error](err)
	if !ok {
		return err
	}
	last := *e
	last.Final = true
	return &last
}

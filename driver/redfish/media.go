package redfish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/task"
)

// types are the words of MediaTypes (DSP0268) for a drive that will do, the best
// first.
var types = map[boot.Device][]string{
	boot.CDROM:  {"CD", "DVD"},
	boot.Floppy: {"Floppy", "USBStick"},
}

// A Slot is one virtual drive of a BMC.
type Slot struct {
	ID         string `json:"@odata.id"`
	MediaTypes []string
	Image      string
	Inserted   *bool // nil where the BMC does not say
	Actions    struct {
		Insert action `json:"#VirtualMedia.InsertMedia"`
		Eject  action `json:"#VirtualMedia.EjectMedia"`
		Oem    json.RawMessage
	}
	Oem map[string]json.RawMessage

	etag string
}

// holds reports whether the drive has image in it. BMCs that do not say whether
// something is inserted say which image.
func (s *Slot) holds(image string) bool { return s.full() && s.Image == image }

func (s *Slot) full() bool {
	if s.Inserted != nil && !*s.Inserted {
		return false
	}
	return s.Image != "" || (s.Inserted != nil && *s.Inserted)
}

// oem returns the path of a vendor's own action, "" for none.
func (s *Slot) oem(name string) string {
	found := oemAction(s.Actions.Oem, name)
	for _, vendor := range s.Oem {
		var v struct{ Actions json.RawMessage }
		if json.Unmarshal(vendor, &v) == nil && found == "" {
			found = oemAction(v.Actions, name)
		}
	}
	return found
}

// oemAction looks among a vendor's actions, whatever else is there.
func oemAction(data json.RawMessage, name string) string {
	var all map[string]json.RawMessage
	_ = json.Unmarshal(data, &all)
	for full, raw := range all {
		var a action
		if strings.HasSuffix(full, "."+name) && json.Unmarshal(raw, &a) == nil {
			return a.Target
		}
	}
	return ""
}

// Slots returns the drives for media of a kind, the best first: those of the
// system, else those of its managers.
func (c *Client) Slots(ctx context.Context, kind boot.Device) ([]*Slot, error) {
	sys, err := c.System(ctx)
	if err != nil {
		return nil, err
	}
	collections := []string{sys.VirtualMedia.ID}
	for _, l := range sys.Links.ManagedBy {
		var manager struct{ VirtualMedia link }
		if _, err := c.Get(ctx, l.ID, &manager); err != nil {
			return nil, err
		}
		collections = append(collections, manager.VirtualMedia.ID)
	}
	for _, path := range collections {
		if path == "" {
			continue
		}
		slots, err := c.slotsOf(ctx, path, kind)
		if err != nil || len(slots) > 0 {
			return slots, err
		}
	}
	return nil, fmt.Errorf("%w: the BMC has no virtual drive for %s", task.ErrUnsupported, kind)
}

func (c *Client) slotsOf(ctx context.Context, path string, kind boot.Device) ([]*Slot, error) {
	var all collection
	if _, err := c.Get(ctx, path, &all); err != nil {
		if bmc.ClassOf(err) == bmc.Unsupported {
			return nil, nil // some link to what is not there
		}
		return nil, err
	}
	var slots []*Slot
	for _, l := range all.Members {
		s, err := c.slot(ctx, l.ID)
		if err != nil {
			return nil, err
		}
		if s.score(kind) < len(types[kind]) {
			slots = append(slots, s)
		}
	}
	slices.SortStableFunc(slots, func(a, b *Slot) int { return a.score(kind) - b.score(kind) })
	return slots, nil
}

// score says how well the drive suits media of a kind: less is better, and the
// number of types is not at all.
func (s *Slot) score(kind boot.Device) int {
	for i, t := range types[kind] {
		if slices.ContainsFunc(s.MediaTypes, func(have string) bool { return strings.EqualFold(have, t) }) {
			return i
		}
	}
	return len(types[kind])
}

func (c *Client) slot(ctx context.Context, path string) (*Slot, error) {
	s := new(Slot)
	var err error
	if s.etag, err = c.Get(ctx, path, s); err != nil {
		return nil, err
	}
	if s.ID == "" {
		s.ID = path
	}
	return s, nil
}

// Insert puts the image at a URL into a drive for media of that kind, in place of
// what is there. What the drive says afterwards counts, and not what it said before:
// a BMC may have lost a medium that it believes to have. Several drives are tried
// in turn.
func (c *Client) Insert(ctx context.Context, kind boot.Device, image string) error {
	slots, err := c.Slots(ctx, kind)
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range slots {
		err := c.insertIn(ctx, s, kind, image)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
		if class := bmc.ClassOf(err); class != bmc.Refused && class != bmc.Unsupported {
			break
		}
	}
	return errors.Join(errs...)
}

func (c *Client) insertIn(ctx context.Context, s *Slot, kind boot.Device, image string) error {
	if s.full() {
		if err := c.ejectFrom(ctx, s); err != nil {
			return err
		}
	}
	insertErr := c.tryInsert(ctx, s, kind, image)
	if e, ok := errors.AsType[*bmc.Error](insertErr); insertErr != nil && (!ok || !e.Final) {
		return insertErr
	}
	var got *Slot
	err := c.waitFor(ctx, "insert "+string(kind), insertErr, func() (bool, error) {
		var err error
		got, err = c.slot(ctx, s.ID)
		return err == nil && got.holds(image), err
	})
	if err != nil && got != nil {
		return fmt.Errorf("%w: the drive says inserted=%t", err, got.full())
	}
	return err
}

// tryInsert asks in forms that BMCs take, the usual one first.
func (c *Client) tryInsert(ctx context.Context, s *Slot, kind boot.Device, image string) error {
	whole := map[string]any{"Image": image, "Inserted": true, "WriteProtected": true}
	withTransfer := map[string]any{"Image": image, "Inserted": true, "WriteProtected": true, "TransferMethod": "Stream", "TransferProtocolType": protocol(image)}
	bare := map[string]any{"Image": image}
	attempts := []func() error{}
	if target := s.Actions.Insert.Target; target != "" {
		for _, form := range []map[string]any{bare, whole, withTransfer} { // Supermicro refuses more than the image, others want all
			attempts = append(attempts, func() error { return c.Post(ctx, target, form) })
		}
	}
	if target := s.oem("InsertVirtualMedia"); target != "" {
		attempts = append(attempts, func() error { return c.Post(ctx, target, bare) })
	}
	for _, form := range []map[string]any{{"Image": image, "Inserted": true}, bare} {
		attempts = append(attempts, func() error { return c.Patch(ctx, s.ID, form, s.etag) })
	}
	return firstTaken(attempts)
}

func protocol(image string) string {
	scheme, _, _ := strings.Cut(image, ":")
	return strings.ToUpper(scheme)
}

// firstTaken makes attempts until one is not refused. The error is that of the
// first one.
func firstTaken(attempts []func() error) error {
	var first error
	for _, attempt := range attempts {
		err := attempt()
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
		if class := bmc.ClassOf(err); class != bmc.Refused && class != bmc.Unsupported && class != bmc.Protocol {
			return err
		}
	}
	return first
}

// Eject empties the drives for media of a kind that hold one of ours, which is
// what mine reports of its URL. Others stay as they are, and so does a BMC without
// such drives.
func (c *Client) Eject(ctx context.Context, kind boot.Device, mine func(image string) bool) error {
	slots, err := c.Slots(ctx, kind)
	if err != nil {
		if errors.Is(err, task.ErrUnsupported) {
			return nil
		}
		return err
	}
	var errs []error
	for _, s := range slots {
		if s.full() && mine(s.Image) {
			errs = append(errs, c.ejectFrom(ctx, s))
		}
	}
	return task.Join(errs...)
}

func (c *Client) ejectFrom(ctx context.Context, s *Slot) error {
	attempts := []func() error{}
	if target := s.Actions.Eject.Target; target != "" {
		for _, body := range []any{map[string]any{}, nil} { // some want an empty object, some nothing
			attempts = append(attempts, func() error { return c.Post(ctx, target, body) })
		}
	}
	if target := s.oem("EjectVirtualMedia"); target != "" {
		attempts = append(attempts, func() error { return c.Post(ctx, target, map[string]any{}) })
	}
	for _, form := range []map[string]any{{"Image": nil, "Inserted": false}, {"Image": nil}} {
		attempts = append(attempts, func() error { return c.Patch(ctx, s.ID, form, s.etag) })
	}
	err := firstTaken(attempts)
	if e, ok := errors.AsType[*bmc.Error](err); err != nil && (!ok || e.Class == bmc.Authentication || e.Class == bmc.Busy || e.Class == bmc.Unreachable && !e.Final) {
		return err
	}
	// A BMC that lost the medium refuses to eject it: what counts is that the drive is empty.
	return c.waitFor(ctx, "eject", err, func() (bool, error) {
		now, err := c.slot(ctx, s.ID)
		return err == nil && !now.full(), err
	})
}

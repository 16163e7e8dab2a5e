package ilo

import (
	"context"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Vendor returns the vendor driver.
func (b *BMCs) Vendor() *Vendor { return &Vendor{role{b}} }

// A Vendor has what only HPE machines can be asked to do. Use [BMCs.Vendor].
type Vendor struct{ role }

var _ driver.VendorInterface = (*Vendor)(nil)

// Methods returns boot_into_iso, which starts the machine from an ISO once: the
// argument boot_iso_href is its URL.
func (v *Vendor) Methods() map[string]driver.VendorMethod {
	return map[string]driver.VendorMethod{
		"boot_into_iso": {Description: "starts the machine from the ISO at the URL boot_iso_href, once", Verbs: []string{"POST"}, Call: v.bootIntoISO},
	}
}

func (v *Vendor) bootIntoISO(ctx context.Context, t *task.Task, c driver.VendorCall) (any, error) {
	const op = "ilo.boot_into_iso"
	fail := func(field string, err error, remedy string) error {
		return &task.Error{Op: op, Node: t.Node.String(), Field: field, Err: err, Remedy: remedy}
	}
	u, err := artifact.ParseURL(c.Args.Text("boot_iso_href"))
	if err != nil {
		return nil, fail("boot_iso_href", err, "give the http or https URL of the ISO")
	}
	if t.Node.ProvisionState != task.Manageable {
		return nil, fail("provision_state", task.ErrInvalidState, "bring the node to the state manageable")
	}
	power := driver.Of(t).Power
	for _, step := range []func() error{
		func() error { return power.SetPowerState(ctx, t, driver.PowerOff) }, // media and boot are not changed under a system
		func() error { return v.bmcs.Drives().Insert(ctx, t, boot.CDROM, u.String()) },
		func() error { return driver.SetBootDevice(ctx, t, false, boot.CDROM) },
		func() error { return driver.SetPower(ctx, t, driver.PowerOn) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

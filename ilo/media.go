package ilo

import (
	"context"

	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/vmedia"
	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/task"
)

// Boot boots HPE machines from virtual media.
type Boot struct{ *vmedia.Boot }

var _ boot.BootInterface = (*Boot)(nil)

// NewBoot returns the boot driver. The error reports every bad field of s.
func (b *BMCs) NewBoot(s vmedia.Site) (*Boot, error) {
	v, err := vmedia.New("ilo", s, b.Drives())
	if err != nil {
		return nil, err
	}
	return &Boot{v}, nil
}

// Drives returns the virtual drives of the machines.
func (b *BMCs) Drives() vmedia.Drives { return drives{role{b}, b.roles().Drives()} }

type drives struct {
	role
	redfish vmedia.Drives
}

// drive is what RIBCL calls a drive.
func drive(kind boot.Device) string {
	if kind == boot.Floppy {
		return "FLOPPY"
	}
	return "CDROM"
}

// Insert puts the image into a drive, in place of what is there, and connects it.
// What the iLO says then counts: some have a medium on record that is lost, which
// is why what is there is taken out first.
func (d drives) Insert(ctx context.Context, t *task.Task, kind boot.Device, url string) error {
	const op = "ilo.Insert"
	c, err := d.connect(ctx, op, t)
	if err != nil {
		return err
	}
	if c == nil {
		return d.redfish.Insert(ctx, t, kind, url)
	}
	return wrap(op, t, c.insert(ctx, drive(kind), url))
}

func (c *client) insert(ctx context.Context, name, url string) error {
	if err := c.eject(ctx, name, func(string) bool { return true }); err != nil {
		return err
	}
	steps := []command{
		{group: "RIB_INFO", write: true, name: "INSERT_VIRTUAL_MEDIA", attrs: []attr{{"DEVICE", name}, {"IMAGE_URL", url}}},
		{group: "RIB_INFO", write: true, name: "SET_VM_STATUS", attrs: []attr{{"DEVICE", name}}, body: []element{
			{"VM_BOOT_OPTION", []attr{{"VALUE", "CONNECT"}}, nil},
			{"VM_WRITE_PROTECT", []attr{{"VALUE", "YES"}}, nil},
		}},
	}
	for _, s := range steps {
		if _, err := c.do(ctx, s); err != nil {
			return err
		}
	}
	return c.waitFor(ctx, "insert "+name, func() (bool, error) {
		image, full, err := c.media(ctx, name)
		return full && (image == url || image == ""), err
	})
}

// media asks what is in a drive.
func (c *client) media(ctx context.Context, name string) (image string, full bool, err error) {
	const cmd = "GET_VM_STATUS"
	a, err := c.do(ctx, command{group: "RIB_INFO", name: cmd, attrs: []attr{{"DEVICE", name}}})
	if err != nil {
		return "", false, err
	}
	status := a.find("GET_VM_STATUS")
	if status == nil {
		return "", false, &bmc.Error{Class: bmc.Protocol, Op: "RIBCL " + cmd, Text: "no status of the drive"}
	}
	return status.attrs["IMAGE_URL"], strings.EqualFold(status.attrs["IMAGE_INSERTED"], "YES"), nil
}

// Eject empties a drive that holds one of ours.
func (d drives) Eject(ctx context.Context, t *task.Task, kind boot.Device, mine func(url string) bool) error {
	const op = "ilo.Eject"
	c, err := d.connect(ctx, op, t)
	if err != nil {
		return err
	}
	if c == nil {
		return d.redfish.Eject(ctx, t, kind, mine)
	}
	return wrap(op, t, c.eject(ctx, drive(kind), mine))
}

func (c *client) eject(ctx context.Context, name string, mine func(url string) bool) error {
	image, full, err := c.media(ctx, name)
	if err != nil || !full || !mine(image) {
		return err
	}
	_, err = c.do(ctx, command{group: "RIB_INFO", write: true, name: "EJECT_VIRTUAL_MEDIA", attrs: []attr{{"DEVICE", name}}})
	if err != nil && bmc.ClassOf(err) != bmc.Refused { // there is nothing, some say: the drive tells
		return err
	}
	refusal := err
	err = c.waitFor(ctx, "eject "+name, func() (bool, error) {
		_, full, err := c.media(ctx, name)
		if err == nil && full && refusal != nil {
			return false, refusal
		}
		return !full, err
	})
	return err
}

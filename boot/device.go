package boot

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/task"
)

// A Device is what a machine's firmware boots from.
type Device string

// The boot devices, with Ironic's wire values.
const (
	PXE      Device = "pxe"      // the network, as the firmware does it
	UEFIHTTP Device = "uefihttp" // the network, by UEFI HTTP boot
	Disk     Device = "disk"
	CDROM    Device = "cdrom"  // virtual media too
	Floppy   Device = "floppy" // virtual media too
	BIOSMenu Device = "bios"   // the firmware's set-up
	SafeMode Device = "safe"
)

var devices = []Device{PXE, UEFIHTTP, Disk, CDROM, Floppy, BIOSMenu, SafeMode}

// ParseDevice returns the device with that wire value, in any case. The error
// lists the choices.
func ParseDevice(s string) (Device, error) {
	if d := Device(strings.ToLower(s)); slices.Contains(devices, d) {
		return d, nil
	}
	return "", fmt.Errorf("%w: boot device %q is none of %q", task.ErrInvalidParameter, s, devices)
}

package ipmi

import (
	"fmt"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Boot option parameters of the specification's table 28-14.
const (
	flagValidClearing = 3
	bootFlags         = 5

	noSuchParameter = 0x80 // completion code

	keepFlags = 0x08 // do not clear the flags 60 s after they were set

	flagsValid      = 0x80
	flagsPersistent = 0x40
	flagsEFI        = 0x20
)

// deviceCodes are the second byte of the boot flags.
var deviceCodes = map[boot.Device]byte{
	boot.PXE: 0x04, boot.Disk: 0x08, boot.SafeMode: 0x0c, boot.CDROM: 0x14, boot.BIOSMenu: 0x18, boot.Floppy: 0x3c,
}

// bootDevices are deviceCodes in the order in which they are offered.
var bootDevices = []boot.Device{boot.PXE, boot.Disk, boot.CDROM, boot.BIOSMenu, boot.SafeMode, boot.Floppy}

// supermicroDisk is what Supermicro's UEFI firmware takes for its disk.
const supermicroDisk = 0x24

// A firmware is what boot flags depend on beside the device.
type firmware struct {
	mode   task.BootMode
	vendor string // lower case
}

// encodeFlags returns the data of boot option 5.
func encodeFlags(s driver.BootSetting, f firmware) []byte {
	valid, device := byte(flagsValid), deviceCodes[s.Device]
	if s.Persistent {
		valid |= flagsPersistent
	}
	if f.mode == task.UEFI {
		valid |= flagsEFI
		if s.Device == boot.Disk && f.vendor == "supermicro" {
			device = supermicroDisk
		}
	}
	return []byte{valid, device, 0, 0, 0}
}

// decodeFlags reads the answer to a question for boot option 5. Flags that are
// not valid, or of a device without a name here, are the zero setting.
func decodeFlags(answer []byte) (driver.BootSetting, error) {
	if len(answer) < 4 || answer[1]&0x7f != bootFlags {
		return driver.BootSetting{}, fmt.Errorf("the BMC answered boot flags of %d bytes", len(answer))
	}
	valid, code := answer[2], answer[3]&0x3c
	if valid&flagsValid == 0 {
		return driver.BootSetting{}, nil
	}
	s := driver.BootSetting{Persistent: valid&flagsPersistent != 0}
	switch code {
	case 0x20: // remote CD
		s.Device = boot.CDROM
	case 0x1c: // remote floppy
		s.Device = boot.Floppy
	case supermicroDisk, 0x2c: // remote primary media, remote disk
		s.Device = boot.Disk
	}
	for d, c := range deviceCodes {
		if c == code {
			s.Device = d
		}
	}
	if s.Device == "" {
		return driver.BootSetting{}, nil
	}
	return s, nil
}

type firmwareParameters struct {
	Vendor string `properties:"vendor" help:"maker of the machine, for what its firmware does in its own way"`
}

func firmwareOf(op string, n *task.Node) (firmware, error) {
	var p firmwareParameters
	err := n.Decode(op, &p)
	info, bootErr := n.BootInfo()
	return firmware{mode: info.Mode, vendor: strings.ToLower(p.Vendor)}, task.Join(err, bootErr)
}

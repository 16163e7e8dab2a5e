package ramdisk

import (
	"context"
	"io"

	"github.com/ferrule/ferrule/deploy/disk"
	"github.com/ferrule/ferrule/task"
)

// A Host is the machine that an agent runs on. Its methods are called from
// several goroutines at once and return when ctx ends.
type Host interface {
	// Interfaces returns the network interfaces. The node is looked up by
	// their addresses; none yet means that the agent asks again.
	Interfaces(ctx context.Context) ([]Interface, error)

	// Disks returns the disks that an image may go to or that are erased: not
	// those that the ramdisk itself came from.
	Disks(ctx context.Context) ([]task.Disk, error)

	// OpenDisk opens the disk of that [task.Disk] name for writing.
	OpenDisk(ctx context.Context, name string) (Disk, error)

	// PowerOff and Reboot order the machine off or around. They return when
	// the order is given and must not wait for [Run] to return, which it does
	// after they succeeded. An error leaves the agent running.
	PowerOff(ctx context.Context) error
	Reboot(ctx context.Context) error
}

// An Interface is one network interface, with the JSON names of
// ironic-python-agent's inventory.
type Interface struct {
	Name        string `json:"name"`
	MACAddress  string `json:"mac_address"`
	IPv4Address string `json:"ipv4_address"` // "" if it has none
	IPv6Address string `json:"ipv6_address"` // "" if it has none
	HasCarrier  bool   `json:"has_carrier"`
	Vendor      string `json:"vendor,omitempty"`  // PCI vendor, as 0x8086
	Product     string `json:"product,omitempty"` // PCI device, as 0x1521
	ClientID    string `json:"client_id,omitempty"`
	BIOSDevName string `json:"biosdevname,omitempty"`
}

// A Disk is an open disk. One that is also a [Zeroer] is asked for zeros that
// way. WriteAt and Zero may be called by several goroutines at once, for ranges
// that do not overlap.
type Disk interface {
	disk.Device
	io.Closer
}

// A Zeroer is a [Disk] that makes a range read as zeros faster than by writing
// them: by discarding, or by a hole in a sparse file. Ranges are whole pages of
// 4 KiB. Other disks are written to.
type Zeroer = disk.Zeroer

// A BlockSizer is a [Disk] that knows the size of its logical blocks, on which
// partition tables depend. Others have blocks of 512 bytes.
type BlockSizer interface {
	BlockSize() int // 0 means 512
}

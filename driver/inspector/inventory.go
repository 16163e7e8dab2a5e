package inspector

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/ferrule/ferrule/task"
)

// Found is what an agent posts, or a BMC knows, with ironic-python-agent's JSON names.
// What is not here is not read.
type Found struct {
	Inventory     Inventory `json:"inventory"`
	BootInterface string    `json:"boot_interface"` // MAC address, as pxelinux writes it: 01-52-54-00-12-34-56
	Error         string    `json:"error"`          // what the agent could not do
}

// Inventory is what a machine has.
type Inventory struct {
	Interfaces []Interface `json:"interfaces"`
	Disks      []task.Disk `json:"disks"`
	CPU        struct {
		Count        int    `json:"count"`
		Architecture string `json:"architecture"`
		Model        string `json:"model_name"`
	} `json:"cpu"`
	Memory struct {
		PhysicalMB int64 `json:"physical_mb"`
		Total      int64 `json:"total"` // bytes; less than what is built in
	} `json:"memory"`
	SystemVendor struct {
		Manufacturer string `json:"manufacturer"`
		ProductName  string `json:"product_name"`
		SerialNumber string `json:"serial_number"`
	} `json:"system_vendor"`
	Boot struct {
		CurrentBootMode string `json:"current_boot_mode"` // bios or uefi
		PXEInterface    string `json:"pxe_interface"`     // MAC address
	} `json:"boot"`
	BMCAddress string `json:"bmc_address"`
}

// An Interface is one network interface of a machine.
type Interface struct {
	Name        string `json:"name"`
	MACAddress  string `json:"mac_address"`
	IPv4Address string `json:"ipv4_address"`
	HasCarrier  bool   `json:"has_carrier"`
	ClientID    string `json:"client_id"`
}

// ParseFound reads what an agent posted.
func ParseFound(r io.Reader) (*Found, error) {
	var f Found
	if err := json.NewDecoder(r).Decode(&f); err != nil {
		return nil, fmt.Errorf("%w: no inventory: %v", task.ErrInvalidParameter, err)
	}
	return &f, f.check()
}

// check refuses what no machine has.
func (f *Found) check() error {
	i := &f.Inventory
	if f.Error != "" {
		return nil // which is all that counts
	}
	switch {
	case len(i.Interfaces) == 0 && len(i.Disks) == 0 && i.CPU.Count == 0:
		return fmt.Errorf("%w: an inventory without anything", task.ErrInvalidParameter)
	case len(i.Interfaces) > maxParts || len(i.Disks) > maxParts:
		return fmt.Errorf("%w: an inventory with more than %d interfaces or disks", task.ErrInvalidParameter, maxParts)
	case i.CPU.Count < 0 || i.Memory.PhysicalMB < 0 || i.Memory.Total < 0:
		return fmt.Errorf("%w: an inventory with less than nothing", task.ErrInvalidParameter)
	}
	return nil
}

const maxParts = 1024

// bootMAC returns the address of the interface that the ramdisk booted from, "" when
// nobody knows.
func (f *Found) bootMAC() string {
	for _, text := range []string{f.Inventory.Boot.PXEInterface, strings.ReplaceAll(strings.TrimPrefix(f.BootInterface, "01-"), "-", ":")} {
		if mac, err := task.ParseMAC(text); err == nil {
			return mac
		}
	}
	return ""
}

// failed is what the agent could not do, as an error.
func (f *Found) failed() error {
	if f.Error == "" {
		return nil
	}
	return fmt.Errorf("the ramdisk could not inspect: %.500q", f.Error)
}

package inspector

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/ferrule/ferrule/task"
)

// Ports says for which interfaces ports are created.
type Ports string

// The choices, with Ironic's words.
const (
	PXEPorts    Ports = "pxe"    // the one that the ramdisk booted from, else as ActivePorts; what the zero value means
	ActivePorts Ports = "active" // those with a carrier
	AllPorts    Ports = "all"
	NoPorts     Ports = "disabled"
)

// Rules say what of an inventory is recorded in a node. The zero value does what the
// package comment says.
type Rules struct {
	// AddPorts says for which interfaces ports are created. A port that is created for
	// another interface than the one that the ramdisk booted from does not boot.
	AddPorts Ports

	// RemovePorts removes ports of interfaces that the machine does not have.
	RemovePorts bool

	// KeepProperties leaves properties alone that the node has already.
	KeepProperties bool
}

// Record writes what was found to t's node and ports. Nothing is written when it
// returns an error.
func (r Rules) Record(t *task.Task, f *Found) error {
	const op = "inspector.Record"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	if err := f.failed(); err != nil {
		return &task.Error{Op: op, Node: t.Node.String(), Err: err, Remedy: "look at the machine's console"}
	}
	caps, err := task.ParseCapabilities(t.Node.Properties["capabilities"])
	if err != nil {
		return &task.Error{Op: op, Node: t.Node.String(), Field: "properties.capabilities", Err: err, Remedy: "write it as name:value,name:value"}
	}
	rootGB, err := rootSize(t.Node, f.Inventory.Disks)
	if err != nil {
		return &task.Error{Op: op, Node: t.Node.String(), Field: "properties.root_device", Err: err, Remedy: "give hints that one of the machine's disks fits"}
	}
	ports, err := r.ports(t, f)
	if err != nil {
		return &task.Error{Op: op, Node: t.Node.String(), Field: "ports", Err: err}
	}
	t.Ports = ports
	r.properties(t, f, caps, rootGB)
	return nil
}

// RecordBMC writes what a BMC knows of its machine to t's node, with a port for each
// of macs that is an address: BMCs write words for what they do not know.
func RecordBMC(t *task.Task, found *Found, macs []string) error {
	for _, mac := range macs {
		if _, err := task.ParseMAC(mac); err == nil {
			found.Inventory.Interfaces = append(found.Inventory.Interfaces, Interface{MACAddress: mac})
		}
	}
	return Rules{AddPorts: AllPorts}.Record(t, found)
}

func (r Rules) properties(t *task.Task, f *Found, caps task.Capabilities, rootGB int64) {
	if t.Node.Properties == nil {
		t.Node.Properties = task.Info{}
	}
	props := t.Node.Properties
	set := func(key string, value any, known, keep bool) {
		if known && (props[key] == nil || !keep) {
			props[key] = value
		}
	}
	i := &f.Inventory
	memory := i.Memory.PhysicalMB
	if memory == 0 {
		memory = i.Memory.Total >> 20
	}
	set("cpus", i.CPU.Count, i.CPU.Count > 0, r.KeepProperties)
	arch, vendor, model := plain(i.CPU.Architecture), plain(i.SystemVendor.Manufacturer), plain(i.SystemVendor.ProductName)
	set("cpu_arch", arch, arch != "", r.KeepProperties)
	set("memory_mb", memory, memory > 0, r.KeepProperties)
	set("local_gb", rootGB, rootGB > 0, r.KeepProperties)
	set("vendor", vendor, vendor != "", true)
	set("model", model, model != "", true)
	mode := task.BootMode(i.Boot.CurrentBootMode)
	if _, said := caps["boot_mode"]; !said && (mode == task.BIOS || mode == task.UEFI) {
		caps["boot_mode"] = string(mode)
		props["capabilities"] = caps.String()
	}
}

// plain returns s if it is a short text of one line, else nothing.
func plain(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 128 || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return ""
	}
	return s
}

// rootSize is what local_gb becomes: Ironic's count. It is 0 when no disks are
// known, or none is large enough for an image. An error is one that a deploy would
// end with.
func rootSize(n *task.Node, disks []task.Disk) (int64, error) {
	if len(disks) == 0 {
		return 0, nil // of a machine with its volumes elsewhere, or by a BMC that sees none
	}
	info, err := n.BootInfo()
	if err != nil {
		return 0, err
	}
	disk, err := info.RootDevice.Find(disks)
	if err != nil && len(info.RootDevice) > 0 {
		return 0, err
	}
	return disk.Size>>30 - 1, nil
}

// ports returns the ports that t's node has from now on.
func (r Rules) ports(t *task.Task, f *Found) ([]*task.Port, error) {
	var macs []string // of the machine
	bootMAC := f.bootMAC()
	var added []*task.Port
	for _, i := range f.Inventory.Interfaces {
		if i.MACAddress == "" {
			continue
		}
		mac, err := task.ParseMAC(i.MACAddress)
		if err != nil {
			return nil, fmt.Errorf("interface %.32q: %w", i.Name, err)
		}
		if slices.Contains(macs, mac) {
			continue // of a bond, or listed twice
		}
		macs = append(macs, mac)
		has := slices.ContainsFunc(t.Ports, func(p *task.Port) bool { return p.Address == mac })
		wanted, err := r.wants(i, mac, bootMAC)
		if err != nil {
			return nil, err
		}
		if wanted && !has {
			added = append(added, newPort(i, mac, bootMAC))
		}
	}
	kept := slices.DeleteFunc(slices.Clone(t.Ports), func(p *task.Port) bool { return r.RemovePorts && !slices.Contains(macs, p.Address) })
	return append(kept, added...), nil
}

func newPort(i Interface, mac, bootMAC string) *task.Port {
	p := &task.Port{Address: mac}
	if bootMAC != "" {
		boots := mac == bootMAC
		p.PXEEnabled = &boots
	}
	if i.ClientID != "" {
		p.Extra = task.Info{"client-id": i.ClientID}
	}
	return p
}

// wants reports whether a port is created for an interface.
func (r Rules) wants(i Interface, mac, bootMAC string) (bool, error) {
	switch r.AddPorts {
	case "", PXEPorts:
		if bootMAC != "" {
			return mac == bootMAC, nil
		}
		return i.HasCarrier, nil
	case ActivePorts:
		return i.HasCarrier, nil
	case AllPorts:
		return true, nil
	case NoPorts:
		return false, nil
	}
	return false, fmt.Errorf("%w: Rules.AddPorts %q", task.ErrInvalidParameter, r.AddPorts)
}

//go:build linux

package linux

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/task"
)

// Interfaces implements [ramdisk.Host]: those that are hardware, or look like it.
func (h Host) Interfaces(context.Context) ([]ramdisk.Interface, error) {
	entries, err := os.ReadDir(h.path("sys/class/net"))
	if err != nil {
		return nil, err
	}
	var all []ramdisk.Interface
	for _, e := range entries {
		device := path.Join("sys/class/net", e.Name())
		if _, err := os.Stat(h.path(device, "device")); err != nil {
			continue // loopback, bridges and the like
		}
		i := ramdisk.Interface{
			Name: e.Name(), MACAddress: h.attribute(device, "address"), HasCarrier: h.attribute(device, "carrier") == "1",
			Vendor: h.attribute(device, "device/vendor"), Product: h.attribute(device, "device/device"),
		}
		if h.attribute(device, "type") == "32" && len(i.MACAddress) == 59 { // InfiniBand: the GUID is the end of the address
			i.ClientID = "ff:00:00:00:00:00:02:00:00:02:c9:00:" + i.MACAddress[36:]
		}
		i.IPv4Address, i.IPv6Address = h.addresses(e.Name())
		all = append(all, i)
	}
	return all, nil
}

// addresses returns an interface's first address of each kind that reaches
// further than its link.
func (h Host) addresses(name string) (v4, v6 string) {
	if h.Root != "" {
		return "", ""
	}
	i, err := net.InterfaceByName(name)
	if err != nil {
		return "", ""
	}
	all, _ := i.Addrs()
	for _, a := range all {
		n, ok := a.(*net.IPNet)
		switch {
		case !ok || !n.IP.IsGlobalUnicast():
		case n.IP.To4() != nil && v4 == "":
			v4 = n.IP.String()
		case n.IP.To4() == nil && v6 == "":
			v6 = n.IP.String()
		}
	}
	return v4, v6
}

// The kernel's names of block devices that are no disks to install to: loop, RAM,
// compressed RAM, floppies, drives for discs, network block devices, device mapper,
// and the parts of NVMe and eMMC that are not the disk.
var noDisks = []string{"loop", "ram", "zram", "fd", "sr", "nbd", "dm-", "md", "mtd"}

// Disks implements [ramdisk.Host]. A disk of which something is mounted, as is
// the medium that a ramdisk came from, is left out.
func (h Host) Disks(context.Context) ([]task.Disk, error) {
	entries, err := os.ReadDir(h.path("sys/block"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	mounted := h.mounted()
	var all []task.Disk
	for _, e := range entries {
		if d, ok := h.disk(e.Name()); ok && !mounted[e.Name()] {
			all = append(all, d)
		}
	}
	return all, nil
}

func (h Host) disk(name string) (task.Disk, bool) {
	for _, prefix := range noDisks {
		if strings.HasPrefix(name, prefix) {
			return task.Disk{}, false
		}
	}
	base := path.Join("sys/block", name)
	sectors, _ := strconv.ParseInt(h.attribute(base, "size"), 10, 64)
	if sectors <= 0 || h.attribute(base, "removable") == "1" && h.attribute(base, "device/type") == "5" || strings.Contains(name, "boot") || strings.Contains(name, "rpmb") {
		return task.Disk{}, false
	}
	d := task.Disk{
		Name: "/dev/" + name, Size: sectors * 512, Rotational: h.attribute(base, "queue/rotational") == "1", ReadOnly: h.attribute(base, "ro") == "1",
		Model: h.attribute(base, "device/model"), Vendor: h.attribute(base, "device/vendor"), WWN: h.wwn(base), Serial: h.serial(base),
	}
	if device, err := filepath.EvalSymlinks(h.path(base, "device")); err == nil {
		if hctl := filepath.Base(device); strings.Count(hctl, ":") == 3 {
			d.HCTL = hctl
		}
		d.Transport = transport(device, name)
	}
	return d, true
}

// serial finds it where virtio and NVMe have it, or in SCSI's page 80.
func (h Host) serial(base string) string {
	for _, file := range []string{"serial", "device/serial"} {
		if s := h.attribute(base, file); s != "" {
			return s
		}
	}
	if page, err := os.ReadFile(h.path(base, "device/vpd_pg80")); err == nil && len(page) > 4 {
		return strings.TrimSpace(strings.ToValidUTF8(string(page[4:]), ""))
	}
	return ""
}

// wwn writes as udev does, with 0x in front.
func (h Host) wwn(base string) string {
	for _, file := range []string{"wwid", "device/wwid"} {
		s := h.attribute(base, file)
		if hex, ok := strings.CutPrefix(s, "naa."); ok {
			return "0x" + hex
		}
		if strings.HasPrefix(s, "eui.") {
			return s
		}
	}
	return ""
}

func transport(device, name string) string {
	switch {
	case strings.HasPrefix(name, "nvme"):
		return "nvme"
	case strings.Contains(device, "/usb"):
		return "usb"
	case strings.Contains(device, "/ata"):
		return "sata"
	case strings.Contains(device, "/session"):
		return "iscsi"
	case strings.Contains(device, "/end_device"):
		return "sas"
	}
	return ""
}

// mounted are the disks of which a file system is mounted.
func (h Host) mounted() map[string]bool {
	disks := map[string]bool{}
	for line := range strings.Lines(h.attribute("proc/mounts")) {
		device, ok := strings.CutPrefix(strings.Fields(line + " x")[0], "/dev/")
		if !ok {
			continue
		}
		// A partition's folder is inside of its disk's.
		if real, err := filepath.EvalSymlinks(h.path("sys/class/block", device)); err == nil {
			disks[filepath.Base(real)], disks[filepath.Base(filepath.Dir(real))] = true, true
		}
	}
	return disks
}

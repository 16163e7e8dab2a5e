//go:build linux

package linux

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/ferrule/ferrule/agent/ramdisk"
)

var _ ramdisk.Describer = Host{}

// architectures are Ironic's names of those that differ from Go's.
var architectures = map[string]string{"amd64": "x86_64", "arm64": "aarch64", "386": "i386"}

// Describe implements [ramdisk.Describer]. The memory that is built in is what
// firmware tells of its modules, and where that cannot be read it is left out.
func (h Host) Describe(context.Context) (m ramdisk.Machine, err error) {
	m.CPU.Architecture = runtime.GOARCH
	if name := architectures[runtime.GOARCH]; name != "" {
		m.CPU.Architecture = name
	}
	for line := range strings.Lines(h.attribute("proc/cpuinfo")) {
		switch key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) {
		case "processor":
			m.CPU.Count++
		case "model name":
			m.CPU.Model = strings.TrimSpace(value)
		}
	}
	for line := range strings.Lines(h.attribute("proc/meminfo")) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "MemTotal:" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			m.Memory.Total = kib << 10
		}
	}
	m.Memory.PhysicalMB = h.builtIn() >> 20
	m.SystemVendor.Manufacturer = h.attribute("sys/class/dmi/id/sys_vendor")
	m.SystemVendor.ProductName = h.attribute("sys/class/dmi/id/product_name")
	m.SystemVendor.SerialNumber = h.attribute("sys/class/dmi/id/product_serial")
	m.Boot.CurrentBootMode = "bios"
	if _, err := os.Stat(h.path("sys/firmware/efi")); err == nil {
		m.Boot.CurrentBootMode = "uefi"
	}
	return m, nil
}

// builtIn adds up the memory modules of SMBIOS (DSP0134, structure type 17): the
// size in MiB at 0Ch, in KiB with the highest bit, 7FFFh for one at 1Ch. The table
// is a row of structures: type, length, handle, fields, then texts that two zeros
// end.
func (h Host) builtIn() (bytes int64) {
	table, _ := os.ReadFile(h.path("sys/firmware/dmi/tables/DMI"))
	for len(table) >= 4 {
		kind, length := table[0], int(table[1])
		if length < 4 || length > len(table) {
			return bytes
		}
		if kind == 17 && length >= 0x0e {
			bytes += moduleSize(table[:length])
		}
		end := strings.Index(string(table[length:]), "\x00\x00")
		if end < 0 {
			return bytes
		}
		table = table[length+end+2:]
	}
	return bytes
}

func moduleSize(s []byte) int64 {
	size := int64(s[0x0c]) | int64(s[0x0d])<<8
	switch {
	case size == 0xffff: // unknown
		return 0
	case size == 0x7fff && len(s) >= 0x20:
		return (int64(s[0x1c]) | int64(s[0x1d])<<8 | int64(s[0x1e])<<16 | int64(s[0x1f]&0x7f)<<24) << 20
	case size&0x8000 != 0:
		return (size & 0x7fff) << 10
	}
	return size << 20
}

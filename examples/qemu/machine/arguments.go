//go:build unix

package machine

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/task"
)

// Where Debian's package ovmf has the firmware.
const ovmf = "/usr/share/OVMF/"

// makeVariables gives UEFI firmware a file for its settings, which outlive power
// cycles.
func (m *Machine) makeVariables() error {
	if m.cfg.Firmware != task.UEFI {
		return nil
	}
	from := ovmf + "OVMF_VARS_4M.fd"
	if m.cfg.SecureBoot {
		from = ovmf + "OVMF_VARS_4M.ms.fd"
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("machine %s: %w (install ovmf)", m.cfg.Name, err)
	}
	return os.WriteFile(m.path("vars"), data, 0o600)
}

// arguments are QEMU's for a boot that tries device first.
func (m *Machine) arguments(device boot.Device) []string {
	c := &m.cfg
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-name", optionValue(c.Name),
		"-accel", c.Accelerator, "-m", strconv.Itoa(c.Memory), "-smp", strconv.Itoa(c.CPUs), "-device", "virtio-rng-pci",
	}
	switch {
	case c.Firmware == task.BIOS:
		args = append(args, "-machine", "pc,graphics=off") // firmware and boot sectors write to the serial port
	case c.SecureBoot:
		args = append(args, "-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1")
		args = append(args, m.flash(ovmf+"OVMF_CODE_4M.ms.fd")...)
	default:
		args = append(args, "-machine", "q35")
		args = append(args, m.flash(ovmf+"OVMF_CODE_4M.fd")...)
	}
	if device == boot.UEFIHTTP { // else PXE would be tried first, for a minute
		for _, version := range []string{"IPv4", "IPv6"} {
			args = append(args, "-fw_cfg", "name=opt/org.tianocore/"+version+"PXESupport,string=n")
		}
	}
	nic, disk, cd := 1, 2, 101
	switch device {
	case boot.Disk:
		nic = 100
	case boot.CDROM:
		nic, cd = 100, 1
	}
	card := fmt.Sprintf("virtio-net-pci,netdev=net,mac=%s,bootindex=%d", c.MAC, nic)
	if c.NoROM {
		card += ",romfile="
	}
	args = append(args, "-netdev", c.Netdev+",id=net", "-device", card)
	for i, file := range c.Disks {
		args = append(args, "-blockdev", fmt.Sprintf("driver=raw,node-name=disk%d,discard=unmap,file.driver=file,file.filename=%s", i, optionValue(file)),
			"-device", fmt.Sprintf("virtio-blk-pci,drive=disk%d,serial=disk-%d,bootindex=%d", i, i, disk+i))
	}
	if c.CD != "" {
		source := "file.driver=file,file.filename=" + optionValue(c.CD)
		if strings.HasPrefix(c.CD, "http://") {
			source = "file.driver=http,file.readahead=65536,file.url=" + optionValue(c.CD)
		}
		args = append(args, "-blockdev", "driver=raw,node-name=cd,read-only=on,"+source, "-device", fmt.Sprintf("ide-cd,drive=cd,bootindex=%d", cd))
	}
	return args
}

func (m *Machine) flash(code string) []string {
	return []string{
		"-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + code,
		"-drive", "if=pflash,unit=1,format=raw,file=" + optionValue(m.path("vars")),
	}
}

// optionValue quotes a value of one of QEMU's options, whose parts commas part.
func optionValue(s string) string { return strings.ReplaceAll(s, ",", ",,") }

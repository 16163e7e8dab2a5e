package sim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"slices"

	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver/sim/fetch"
	"github.com/ferrule/ferrule/driver/sim/ipxe"
	"github.com/ferrule/ferrule/task"
)

// An ending is how a system that ran on the machine ended.
type ending int

const (
	nextDevice ending = iota // nothing was booted
	reboot
	powerDown
	keepsRunning // it runs on, and needs no goroutine for that
)

// run is the machine from power on until its plug is pulled, or until it needs
// no goroutine.
func (m *Machine) run(ctx context.Context) {
	network := m.network()
	defer network.CloseIdleConnections()
	for ctx.Err() == nil {
		m.mu.Lock()
		m.boots++
		m.mu.Unlock()
		m.setState(Firmware, "")
		switch m.bootOnce(ctx, network) {
		case reboot:
			m.print("reboot")
		case powerDown:
			m.print("power down")
			m.setState(Off, "")
			return
		case keepsRunning:
			return
		case nextDevice:
			if ctx.Err() == nil {
				m.setState(Halted, "no bootable device")
			}
			return
		}
	}
}

// bootOnce tries the devices in turn: the one that the BMC says, then the disk.
func (m *Machine) bootOnce(ctx context.Context, network *http.Client) ending {
	m.mu.Lock()
	first := m.persistent
	if m.once != "" {
		first, m.once = m.once, ""
	}
	m.mu.Unlock()
	for _, d := range slices.Compact([]boot.Device{first, boot.Disk}) {
		m.print("booting from " + string(d))
		var end ending
		switch d {
		case boot.PXE, boot.UEFIHTTP:
			end = m.bootNetwork(ctx, network)
		case boot.CDROM:
			end = m.bootCD(ctx, network)
		case boot.Disk:
			end = m.bootDisk()
		}
		if end != nextDevice || ctx.Err() != nil {
			return end
		}
	}
	return nextDevice
}

// bootNetwork fetches the boot file and does what it says.
func (m *Machine) bootNetwork(ctx context.Context, network *http.Client) ending {
	client := fetch.Client{HTTP: network}
	script, err := client.Fetch(ctx, m.cfg.BootFile)
	if err != nil {
		m.print(err.Error())
		return nextDevice
	}
	if path.Base(m.cfg.BootFile) == pxelinuxName {
		return m.bootPXELinux(ctx, network, &client)
	}
	cfg := ipxe.Config{Fetch: client.Fetch, NICs: m.nics(), UUID: m.cfg.UUID, Platform: ipxe.EFI, BuildArch: "x86_64", Print: m.print}
	if m.cfg.Firmware == task.BIOS {
		cfg.Platform, cfg.BuildArch = ipxe.PCBIOS, "i386"
	}
	out, err := ipxe.Run(ctx, cfg, m.cfg.BootFile, script)
	if err != nil {
		m.print(err.Error())
		return nextDevice
	}
	switch out.Action {
	case ipxe.Boot:
		initrd, err := ipxe.InitrdFor(out)
		return m.bootLinux(ctx, network, linux{out.Kernel, out.KernelURL, out.CommandLine, initrd, err})
	case ipxe.SANBoot:
		return m.bootDisk()
	case ipxe.Reboot:
		return reboot
	case ipxe.PowerOff:
		return powerDown
	}
	return nextDevice
}

// A linux is what a boot loader starts.
type linux struct {
	kernel    []byte
	from      string // where it came from
	line      string
	initrd    []byte
	initrdErr error // why the kernel will not find it
}

// bootLinux starts the kernel and, in it, the ramdisk's agent.
func (m *Machine) bootLinux(ctx context.Context, network *http.Client, l linux) ending {
	panicked := func(why string) ending {
		m.setState(Halted, "Kernel panic - not syncing: "+why)
		return keepsRunning
	}
	if !bytes.HasPrefix(l.kernel, []byte(kernelMagic)) {
		m.print("exec format error: " + l.from)
		return nextDevice
	}
	m.print("Command line: " + l.line)
	if l.initrdErr != nil {
		return panicked("VFS: Unable to mount root fs: " + l.initrdErr.Error())
	}
	if !bytes.HasPrefix(l.initrd, []byte(ramdiskMagic)) {
		return panicked("VFS: Unable to mount root fs: the initrd is no ramdisk")
	}
	m.setState(InRamdisk, "")
	if m.cfg.Faults.AgentSilent {
		return keepsRunning
	}
	parameters, err := m.parameters(ctx, network, l.line)
	if err != nil {
		m.setState(Halted, "the ramdisk does not find its parameters: "+err.Error())
		return keepsRunning
	}
	ctx, hang := context.WithCancelCause(ctx)
	defer hang(nil)
	h := &host{m: m, hang: hang}
	err = ramdisk.Run(ctx, ramdisk.Config{
		Parameters: parameters, Host: h, HTTPClient: network,
		Listen: net.JoinHostPort(m.cfg.Address, "0"), HeartbeatGap: m.cfg.HeartbeatGap,
	})
	switch {
	case errors.Is(context.Cause(ctx), errHang):
		m.setState(Halted, "the ramdisk hangs")
		return keepsRunning
	case h.ending() != nextDevice:
		return h.ending()
	case err != nil && ctx.Err() == nil:
		m.setState(Halted, "the ramdisk's agent ended: "+err.Error())
	}
	return keepsRunning
}

// bootDisk starts what is on the disk, if that is whole.
func (m *Machine) bootDisk() ending {
	if m.cfg.Faults.NoDisk {
		return nextDevice
	}
	if err := checkSystem(m.disk); err != nil {
		m.print(err.Error())
		return nextDevice
	}
	m.setState(Instance, "")
	m.print("login:")
	return keepsRunning
}

// checkSystem is what the boot loader on the disk does: it has a boot record,
// and, where the disk has an Image of ours, every byte of it is right.
func checkSystem(disk io.ReaderAt) error {
	record := make([]byte, sectorSize)
	if _, err := disk.ReadAt(record, 0); err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	if record[510] != 0x55 || record[511] != 0xaa {
		return errors.New("disk: no boot record")
	}
	size, sum, ok := parseImageRecord(record)
	if !ok {
		return nil // some other system; it is as whole as the firmware can tell
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(disk, sectorSize, size-sectorSize)); err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	if !bytes.Equal(h.Sum(nil), sum) {
		return errors.New("disk: the system on it is damaged")
	}
	return nil
}

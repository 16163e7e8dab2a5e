//go:build linux

// Labinit is the first and only program of the lab's ramdisk: it tells on the
// console how the machine was started, and switches it off.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func main() {
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}} {
		_ = os.MkdirAll(m[1], 0o755)
		if err := syscall.Mount(m[0], m[1], m[0], 0, ""); err != nil {
			fmt.Println("LAB-ERROR: mount", m[1], err)
		}
	}
	line, _ := os.ReadFile("/proc/cmdline")
	fmt.Printf("\r\nLAB-CMDLINE: %s\r\n", bytes.TrimSpace(line))
	_, err := os.Stat("/sys/firmware/efi")
	fmt.Printf("LAB-FIRMWARE: uefi=%t secureboot=%t\r\n", err == nil, secureBoot())
	_ = unix.IoctlSetInt(1, unix.TCSBRK, 1) // until the serial port has sent all of it
	_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}

// secureBoot asks the kernel, which says in its log what firmware told it.
func secureBoot() bool {
	if vars, _ := filepath.Glob("/sys/firmware/efi/efivars/SecureBoot-*"); len(vars) == 1 {
		data, _ := os.ReadFile(vars[0])
		return len(data) == 5 && data[4] == 1
	}
	buf := make([]byte, 1<<20)
	n, err := syscall.Klogctl(3, buf)
	return err == nil && strings.Contains(string(buf[:n]), "Secure boot enabled")
}

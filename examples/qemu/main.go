//go:build unix

// Qemu provisions a machine that QEMU emulates, from a blank disk to an instance
// that runs from it, over the network and with real firmware: a server in a
// window of your terminal. It needs qemu-system-x86 (and ovmf for UEFI), and no
// root.
//
//	go run ./examples/qemu                             UEFI, iPXE
//	go run ./examples/qemu -firmware bios -boot pxe    pxelinux by TFTP
//	go run ./examples/qemu -boot http                  UEFI HTTP boot
//	go run ./examples/qemu -deploy iscsi               the disk is written from here
//	go run ./examples/qemu -image-type partition       the image is a root file system
//
// The machine's network is the one that QEMU has inside of its process ("user").
// Power and management of it are in the package machine beside this one, as a
// driver of somebody else's would be. Kernel and boot loaders are those of Debian's
// packages, downloaded where -kernel and -loaders do not say otherwise.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ferrule/ferrule/task"
)

type options struct {
	firmware  task.BootMode
	boot      string
	deploy    string
	kernel    string
	programs  string
	image     string
	imageType task.ImageType
	console   bool
	timeout   time.Duration
}

func main() {
	var o options
	firmware := flag.String("firmware", "uefi", "bios or uefi")
	flag.StringVar(&o.boot, "boot", "ipxe", "pxe (pxelinux, or shim and grub, by TFTP), ipxe (over HTTP), or http (UEFI HTTP boot, then iPXE)")
	flag.StringVar(&o.deploy, "deploy", "agent", "agent (the ramdisk fetches the image) or iscsi (this program writes it to the disk that the ramdisk exports)")
	flag.StringVar(&o.kernel, "kernel", "", "kernel of the ramdisk, with drivers for virtio built in; empty: Debian's for clouds")
	flag.StringVar(&o.programs, "programs", "", "folder of the machine's programs, ferrule-ramdisk and instance; empty: the go command builds them")
	flag.StringVar(&o.image, "image", "", "raw image to deploy; empty: a small one that reads its config drive")
	imageType := flag.String("image-type", string(task.WholeDisk), "whole-disk or partition, whose boot loader the ramdisk installs")
	flag.BoolVar(&o.console, "console", true, "show the machine's console")
	flag.DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long the machine may take for each phase")
	flag.Parse()
	o.firmware, o.imageType = task.BootMode(*firmware), task.ImageType(*imageType)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "qemu:", err)
		os.Exit(1)
	}
}

func (o *options) check() error {
	switch {
	case o.firmware != task.BIOS && o.firmware != task.UEFI:
		return fmt.Errorf("-firmware %s: there are bios and uefi", o.firmware)
	case o.boot != "pxe" && o.boot != "ipxe" && o.boot != "http":
		return fmt.Errorf("-boot %s: there are pxe, ipxe and http", o.boot)
	case o.deploy != "agent" && o.deploy != "iscsi":
		return fmt.Errorf("-deploy %s: there are agent and iscsi", o.deploy)
	case o.imageType != task.WholeDisk && o.imageType != task.Partition:
		return fmt.Errorf("-image-type %s: there are whole-disk and partition", o.imageType)
	case o.boot == "http" && o.firmware == task.BIOS:
		return fmt.Errorf("-boot http: only UEFI firmware can; add -firmware uefi")
	}
	return nil
}

// Package linux is the machine that a ramdisk agent runs on, as a Linux kernel
// shows it: a [ramdisk.Host] made of sysfs and devices, the network by DHCP, and
// what the first process of a machine has to do.
//
//	if os.Getpid() == 1 {
//		err := linux.Start()
//	}
//	go linux.Network{Logger: log}.Run(ctx)
//	err := ramdisk.Run(ctx, ramdisk.Config{Host: linux.Host{}, Parameters: parameters})
//
// It needs the kernel alone: no shell, no udev, no tools. So there is nothing that
// somebody could log in to, and a [Host] cannot be rescued; a ramdisk that has a
// [RescueProgram] as well can, as a [Rescue]. Only Host.Disks and Host.Interfaces
// are of use to a process that is not root.
package linux

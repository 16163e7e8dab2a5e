// Package sim has machines that live in this process and take no short cuts:
// what package net/http/httptest is to web code, it is to bare metal code.
//
// A [Machine] has a BMC, network interfaces and a disk, a sparse file. When it
// is turned on its firmware boots from the device that the BMC says: it fetches
// its boot file by HTTP or TFTP, runs it as iPXE would, or as pxelinux if it is
// that, loads the kernel and ramdisk that the script or configuration names, and starts
// them with the command line that it gave. The ramdisk is the agent of package agent/ramdisk, speaking the
// real protocol to the address on that command line. A wrong script, a missing
// file or a refused heartbeat leaves the machine where a real one would hang,
// with the reason on its console. From its disk it boots only what is whole
// there. From a virtual CD, which it reads over HTTP in ranges, it boots what the
// loaders for its firmware find there.
//
// A [Fleet] holds machines and gives the drivers for their BMCs:
//
//	var fleet sim.Fleet
//	defer fleet.Close()
//	m, err := fleet.Add(sim.MachineConfig{Name: "m1", MACs: []string{"52:54:00:00:00:01"}, BootFile: url})
//	d := driver.Driver{Title: "sim", Power: fleet.Power(), Management: fleet.Management(), ...}
//
// What the machines boot is made by [Kernel], [Ramdisk] and [Image]; only a
// system made by these runs. A real image can be written to a machine's disk all
// the same, and then boots if it has a boot record.
//
// What is simulated, and not real: processor, kernel and the operating system
// on the disk. A machine that waits, off or running an instance, has no goroutine.
package sim

package linux

// ModulesFile of the ramdisk lists the kernel modules to load, a path a line, each
// behind those that it needs.
const ModulesFile = "/etc/modules"

// RescueProgram is what lets a rescue user work in a ramdisk that has it. The agent
// becomes that program, as the first process if it was that, once the conductor
// has handed the machine over. The program finds the kernel's file systems
// mounted, addresses that DHCP gave, whose leases nobody renews any more, and in
// /etc/passwd and /etc/shadow a user [RescueUser] that may do everything; it asks
// for logins, on the console or over the network, and does not end. Package
// builder makes one of busybox.
const RescueProgram = "/sbin/rescue"

// RescueUser is the name that a rescue user logs in with, as Ironic's does.
const RescueUser = "rescue"

// Package ferrule is the map of a library for people who write provisioning
// tools: it turns bare metal machines on, boots them over the network or by
// virtual media, writes an image to their disk, and hands them over. It joins
// any boot mechanism to any deploy mechanism. This package has no code.
//
// # Reading order
//
//   - package task: nodes, ports, tasks, locks, errors, the provisioning states
//   - package boot: [boot.BootInterface], how a machine is made to boot
//   - package deploy: [deploy.DeployInterface], how an image gets onto its disk
//   - package driver: the other roles, and the composite driver that joins one
//     implementation a role
//   - package driver/conductor: the engine that moves nodes through their states
//
// # Implementations
//
//   - packages ipxe, pxe: boot machines over the network, on package boot/netboot
//   - packages boot/artifact, boot/tftp, boot/dhcp: what machines fetch, and the
//     servers that they ask
//   - package boot/imagecache: downloads kept once for all nodes
//   - package boot/loader: what boot loaders do with kernel arguments
//   - packages boot/vmedia, boot/iso: boot from virtual media that are composed
//   - package agent: deploys with ironic-python-agent's protocol, conductor side
//   - package agent/ramdisk: the ramdisk's side of the same protocol
//   - package iscsi: deploys by writing to the disk that a ramdisk exports
//   - packages deploy/install, deploy/image, deploy/disk, deploy/configdrive: what is
//     written to a disk, and how
//   - packages driver/ipmitool, driver/ipminative, driver/redfish, ilo: BMCs
//   - packages driver/snmp, driver/wol, driver/webhook: power by other means
//   - packages driver/console, driver/inspector, driver/catalog: consoles, inspection,
//     and the usual composite drivers by name
//   - package driver/sim: simulated machines to try all of it on
//
// # Where to start
//
// To embed the library, read examples/quickstart, then package
// driver/conductor. To write a driver, read package boot or deploy, then
// examples/customdriver, and run the suites of boot/boottest, deploy/deploytest
// and driver/drivertest on it. To test code that uses drivers, take the fakes of
// driver/drivertest and the tasks of task/tasktest.
//
// [boot.BootInterface]: https://pkg.go.dev/github.com/ferrule/ferrule/boot#BootInterface
// [deploy.DeployInterface]: https://pkg.go.dev/github.com/ferrule/ferrule/deploy#DeployInterface
package ferrule

// Package pxe boots machines over the network by TFTP alone: with pxelinux on
// BIOS, and with grub on UEFI, behind shim where secure boot is on. Its [Boot] is
// a boot.BootInterface.
//
//	tree := new(artifact.Tree)
//	site := netboot.Site{Tree: tree, TFTP: "192.0.2.1", DHCP: responder}
//	b, err := pxe.New(ctx, pxe.Config{Site: site, LoaderFiles: pxe.DebianLoaders("/")})
//	server := tftp.Server{Files: tree}
//	err = server.ListenAndServe(ctx, ":69")
//
// # What machines fetch
//
// Firmware fetches pxelinux.0 or bootx64.efi, as DHCP says; on UEFI that is shim,
// which fetches grubx64.efi from beside itself. A configuration is there for each
// NIC of a node, by its address, under the names that the loaders ask for:
// pxelinux.cfg/01-52-54-00-aa-bb-cc for pxelinux; 52:54:00:aa:bb:cc.conf and
// grub.cfg-01-52-54-00-aa-bb-cc for grub, which a grub/grub.cfg leads to that is
// the same for all. Both are there whatever the node's data says of its firmware.
//
// A machine without a configuration goes on: pxelinux to the next boot device,
// grub to the boot loader on a disk, for UEFI firmware would not.
//
// Grub asks the server that the DHCP server names as the next one (siaddr), never
// that of a proxy: beside a DHCP server of the site's, have it name the TFTP server.
//
// # What is refused
//
// Kernel arguments that one of the loaders would change: quotes, backslashes, a
// word "---". Images given by URL need a cache, for these loaders speak TFTP.
//
// # Errors and concurrency
//
// Errors are task.Error values. One Boot serves all nodes at once; of a node it
// keeps nothing but what is in the Tree, under the node's UUID.
package pxe

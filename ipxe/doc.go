// Package ipxe boots machines over the network with iPXE: its [Boot] is a
// boot.BootInterface for deploy ramdisks and for instances that boot from their
// own disk afterwards.
//
//	tree := new(artifact.Tree)
//	b, err := ipxe.New(ctx, ipxe.Config{Tree: tree, BaseURL: "http://192.0.2.1:8080/"})
//	http.Handle("/", tree)
//
// # What the site provides
//
// Machines load iPXE itself from their ROM, or as undionly.kpxe or ipxe.efi by
// the site's TFTP or HTTP server. The site's DHCP server names that loader to
// firmware, and [Boot.EntryURL] as the boot file to iPXE, which it knows by user
// class "iPXE" (option 77) or by option 175; without that distinction a machine
// loads iPXE for ever. iPXE of 2014 or later will do; for https it must trust
// the server's certificate.
//
// # What a machine does
//
// The entry script asks for the script of the NIC that it booted from, then for
// that of each other NIC, so one registered port is enough. The node's script
// loads kernel and ramdisk, tries again with growing pauses when that fails, and
// in the end switches the machine off: whatever is on its disk never boots in the
// ramdisk's place. A machine for which there is no script leaves iPXE, and its
// firmware goes on to the next boot device. So a deployed machine that always
// tries the network first still boots its disk.
//
// # What is refused
//
// Stock iPXE is not signed, so there is no secure boot; instances boot
// whole-disk images from the local disk only. iPXE has no quoting: kernel
// arguments that it would take for its own commands or settings are refused.
//
// # Errors and concurrency
//
// Errors are task.Error values. One Boot serves all nodes at once; of a node it
// keeps nothing but what is in the Tree, under the node's UUID. After a restart
// the Tree is empty: PrepareRamdisk is called again for nodes that wait.
//
// Package boottest has the suite that Boot passes, and driver/sim/ipxe runs
// scripts as iPXE does.
package ipxe

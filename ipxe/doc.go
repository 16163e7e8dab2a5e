// Package ipxe boots machines over the network with iPXE: its [Boot] is a
// boot.BootInterface for ramdisks, and for instances from their disk, over the
// network, or from an iSCSI volume.
//
//	tree := new(artifact.Tree)
//	site := netboot.Site{Tree: tree, HTTP: "http://192.0.2.1:8080", TFTP: "192.0.2.1", DHCP: responder}
//	b, err := ipxe.New(ctx, ipxe.Config{Site: site, LoaderFiles: ipxe.DebianLoaders("/")})
//	http.Handle("/", tree)
//
// # How machines get iPXE
//
// From the ROM of their NIC; or firmware fetches it, by TFTP or UEFI HTTP boot,
// as DHCP says. Where the site's DHCP server is set up by hand, it names a build
// of iPXE to firmware, and [Boot.EntryURL] as the boot file to iPXE, which it knows
// by user class "iPXE" (option 77) or by option 175; without that distinction a
// machine loads iPXE for ever. iPXE of 2014 or later will do; for https it must
// trust the server's certificate.
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
// Stock iPXE is not signed, so there is no secure boot. iPXE has no quoting:
// kernel arguments that it would take for its own commands or settings are
// refused, and so is a volume with a password, which scripts would show.
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

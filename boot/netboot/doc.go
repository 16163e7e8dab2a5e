// Package netboot is what the ways of booting over the network have in common:
// which images a node boots, where machines fetch them, what DHCP says, and in
// which order all that changes.
//
// Packages pxe and ipxe are made of it; a site describes itself once, for both:
//
//	site := netboot.Site{Tree: tree, HTTP: "http://192.0.2.1:8080", TFTP: "192.0.2.1", DHCP: responder}
//	legacy, err := pxe.New(ctx, pxe.Config{Site: site, LoaderFiles: pxe.DebianLoaders("/")})
//	modern, err := ipxe.New(ctx, ipxe.Config{Site: site, LoaderFiles: ipxe.DebianLoaders("/")})
//
// # Order
//
// A node is never left to boot from the network with nothing there to boot,
// wherever a call breaks off. To boot a ramdisk, images are fetched, then
// published with their configuration in one step, then DHCP is told, and last the
// BMC. To boot from disk it goes the other way: the BMC, DHCP, what was published.
// Each step may be repeated, and clean-up needs to know nothing but the node's
// UUID.
//
// # Another loader
//
// A [Family] is what differs between loaders, and [New] makes a
// [boot.BootInterface] of it. It renders a [Target], which is checked, into the
// files that its loaders read.
//
// # Errors and concurrency
//
// Errors are task.Error values. Validate reports every problem, each Is
// task.ErrInvalidParameter. A Boot keeps nothing of a node and starts no
// goroutine.
//
// [boot.BootInterface]: https://pkg.go.dev/github.com/ferrule/ferrule/boot#BootInterface
package netboot

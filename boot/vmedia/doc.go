// Package vmedia boots machines from virtual media: a CD image that the machine's
// BMC fetches over HTTP. It has what the ways to tell a BMC so have in common: which
// image, where it is, and in which order all that changes. Packages redfish and ilo
// are the ways.
//
//	discs := new(vmedia.Discs)
//	go http.Serve(listener, discs)
//	b, err := vmedia.New("redfish", vmedia.Site{Discs: discs, URL: "https://192.0.2.1:8443", Loaders: iso.DebianLoaders("/")}, drives)
//
// # The ramdisk's image
//
// A node gives deploy_kernel and deploy_ramdisk, of which its ISO is composed by
// package boot/iso, with what the deploy side tells the ramdisk as kernel arguments.
// Or it gives deploy_iso, a finished one; what the ramdisk is told then is in the
// file parameters.txt of a virtual floppy with the label ir-vfd-dev, where agents
// look for it that were started with boot_method=vmedia.
//
// # Names
//
// [Discs] serves what is published from memory; a [Folder] has files for a web server
// that a site has.
//
// What is published for a node has a random name, which ends in .iso or .img, for
// some BMCs want that. A node keeps its name until it is cleaned up.
//
// # Order
//
// A machine is never told to boot from a drive that is empty: images are published,
// then inserted, then the boot device is changed; and the other way about. Clean-up
// takes out of a drive only what was put there for the node, by the URL that the
// BMC says, and an image stays published until the BMC has let go of it.
//
// # Errors and concurrency
//
// Errors are task.Error values. A Boot keeps nothing of a node but its published
// images. It starts no goroutine.
package vmedia

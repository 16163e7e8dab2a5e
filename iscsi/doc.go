// Package iscsi deploys nodes by writing to their disk from here: the ramdisk
// exports it as an iSCSI target, and this process logs in, without root, kernel
// module or device node. Its [Deploy] is a deploy.DeployInterface.
//
//	d, err := iscsi.New(iscsi.Config{Agent: agent.Config{APIURL: "http://192.0.2.1:6385", ImageDirs: artifact.Dirs{"/var/lib/images"}}})
//
// It is package agent's Deploy, with the same parameters, steps and protections,
// but for write_image: the ramdisk is asked to start a target
// (iscsi.start_iscsi_target, which agents had until ironic-python-agent 7, and ours
// has), the image goes through package deploy/image to the LUN, and the session is
// logged out before the ramdisk is asked for anything else. An image that is a file
// of this host is never copied, however many nodes are written at once, and qcow2
// images are read as they are. One that has a URL is fetched for each node, or once
// for all with a [Config].Cache:
//
//	cache, err := imagecache.New(ctx, imagecache.Config{Dir: "/var/lib/provisioner/images"})
//	d, err := iscsi.New(iscsi.Config{Agent: agent.Config{APIURL: url}, Cache: cache})
//
// # Ramdisks from before ironic-python-agent
//
// With [Config].BashRamdisk it deploys with the ramdisks of a shell script, too,
// that Ironic had first: they export their disk without being asked and tell so by
// vendor methods, those of a [Passthru], over a [Handler]:
//
//	p, err := iscsi.NewPassthru(c.Heartbeat) // the Vendor of the driver
//	h, err := iscsi.NewHandler(m, log)
//	mux.Handle("/v1/nodes/", h)
//
// They install boot loaders themselves and reboot into the instance when they are
// told to, on their TCP port 10000. They have no steps and do not clean. They call
// once: a deploy whose call this process took and did not act on before it died ends
// by its time-out.
//
// # Trust
//
// The protocol of the ramdisk has no secret for the target: while it runs, whoever
// reaches the portal can read and write the disk, as with Ironic. Keep the network
// that machines boot from to yourself. A BashRamdisk is known by the key on its
// kernel's command line, which the boot files of its node hold.
//
// Packages initiator and target are the two sides of the wire, and package
// iscsitest is a test kit for programs that use them.
package iscsi

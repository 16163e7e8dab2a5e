// Package target serves disks over iSCSI (RFC 7143) from within the process: the
// other side of package initiator, for the ramdisk's agent, for simulated
// machines and for tests.
//
//	t := &target.Target{Name: "iqn.2008-10.org.openstack:n1", Disks: map[int]target.Disk{1: {Store: file, Size: size}}}
//	err = t.ListenAndServe(ctx, ":3260")
//
// It is small: sessions of one connection, error recovery level 0, no
// reservations, no queues of its own. Initiators that it is tested with are package
// initiator, libiscsi's tools and QEMU. It has CHAP, one way and mutual, and
// CRC32C digests, which are used if the initiator prefers or insists on them.
//
// # Memory
//
// What an initiator writes goes from the connection's buffer to the Store as it
// comes, so that a session needs little more than one PDU and one burst to read.
// Sessions are 64 at most.
//
// # Errors
//
// A Store's error becomes sense data: a [Sense] is sent as it is, ENOSPC as "no
// space", [ErrBusy] as status BUSY, anything else as a medium error. What the
// initiator does wrong ends its connection, and is logged.
package target

// Package initiator uses the disk of an iSCSI target from within the process
// (RFC 7143): no root, no kernel module, no /dev entry.
//
//	d, err := initiator.Open(ctx, initiator.Config{Portal: "192.0.2.7:3260", Target: "iqn.2008-10.org.openstack:n1", LUN: 1})
//	…
//	_, err = d.WriteAt(p, off)
//	err = d.Sync()
//	err = d.Close()
//
// A [Disk] is an io.ReaderAt and io.WriterAt with a size, Sync, Zero and
// Discard. Any number of goroutines may use it at once; to make good use of the
// network several should, or one with long pieces, which are cut and sent side
// by side. Data goes from the caller's slice to the network, without a copy.
//
// # Lost connections
//
// A Disk has one session with one connection. When that is lost, falls silent, has
// a wrong digest or breaks the protocol, the Disk logs in again as the same
// initiator port, so that the target drops what is left of the old session, looks
// whether it is the same disk still, and repeats the commands that were not
// answered. All commands that it sends may be repeated. That goes on until no
// command has succeeded for Config.RecoveryTime; then all calls return [ErrLost].
// A disk that came back as another one or with another size is [ErrChanged].
//
// WriteAt returns nil when the target has said that it has the data, Sync when it
// has said that all data is on the medium. A target that loses what it has in its
// cache and starts again within RecoveryTime cannot be told from a cut cable:
// where that matters, read what was written.
//
// # Errors
//
// What the disk itself refuses is a [*CommandError] with status and sense code.
// A login that is refused is [ErrAuth] or [ErrNotFound] or a [*LoginError].
// Errors hold no secret.
//
// # Context
//
// The methods of io.ReaderAt and its kin have no context. [Disk.WithContext]
// returns the same disk for calls that end with one: commands under way are
// aborted then, and when the call returns, nothing uses its slice any more.
//
// Package target is the other side, and iscsitest a test kit.
package initiator

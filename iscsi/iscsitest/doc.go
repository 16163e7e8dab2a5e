// Package iscsitest is a target for tests of what writes disks over iSCSI, with
// faults to switch on: connections that are cut, stall or garble their bytes,
// disks that fail, are full, or lie about their size.
//
//	s := iscsitest.New(t, iscsitest.Options{Size: 1 << 30})
//	d, err := initiator.Open(ctx, initiator.Config{Portal: s.Portal, Target: s.Name, LUN: s.LUN})
//
// It is a target.Target over a [Memory], reached over loopback, or over pipes
// ([Options].Pipe) for tests in a testing/synctest bubble.
package iscsitest

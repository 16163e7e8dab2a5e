// Package pdu is iSCSI's wire format (RFC 7143), as initiator and target both
// need it: the basic header segment, a [Reader] and a [Batch] that check and make
// digests, and the text of negotiations.
//
// Nothing that a peer sends makes it panic, or take more memory than the Reader
// was given.
package pdu

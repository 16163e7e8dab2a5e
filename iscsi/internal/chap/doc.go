// Package chap is the arithmetic of CHAP in iSCSI (RFC 7143, section 12.1;
// RFC 1994), for both sides of a login.
package chap

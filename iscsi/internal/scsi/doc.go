// Package scsi has the SCSI commands, sense data and pages (SPC-4, SBC-3) that
// initiator and target exchange about a disk.
package scsi

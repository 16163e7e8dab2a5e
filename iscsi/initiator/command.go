package initiator

import (
	"time"

	"github.com/ferrule/ferrule/iscsi/internal/pdu"
	"github.com/ferrule/ferrule/iscsi/internal/scsi"
)

// A command is a request that is answered: a SCSI command, or another one with
// its header ready. It may be done again after reset.
type command struct {
	h   pdu.Header
	out []byte // goes to the target
	in  []byte // room for what comes from it

	// Set when it is done.
	err      error
	response pdu.Header
	answer   []byte // the data segment of the response: sense data, text
	got      int    // bytes of in

	done chan struct{} // one value when nothing uses out and in any more

	// Guarded by the session's mutex.
	began  time.Time // when it was given to the sender
	next   int       // bytes of out that are sent or asked for
	bursts int       // that are asked for and not begun
	refs   int       // users of out and in
	over   bool      // answered, or given up
}

// scsiCommand returns a SCSI command. Either out or in is nil.
func scsiCommand(lun int, cdb scsi.CDB, out, in []byte) *command {
	flags := byte(pdu.Final | pdu.Simple)
	switch {
	case out != nil:
		flags |= pdu.Write
	case in != nil:
		flags |= pdu.Read
	}
	c := &command{h: pdu.New(pdu.Command, flags, 0), out: out, in: in, done: make(chan struct{}, 1)}
	c.h.SetLUN(scsi.LUN(lun))
	c.h.SetTransferLen(uint32(len(out) + len(in)))
	*c.h.CDB() = cdb
	return c
}

// otherCommand returns a request that is not SCSI's.
func otherCommand(op pdu.Opcode, flags byte) *command {
	return &command{h: pdu.New(op, pdu.Final|flags, 0), done: make(chan struct{}, 1)}
}

func (c *command) isSCSI() bool { return c.h.Opcode() == pdu.Command }

// reset makes c one that was never sent.
func (c *command) reset() {
	*c = command{h: c.h, out: c.out, in: c.in, done: c.done}
}

// status is that of a SCSI command that is done.
func (c *command) status() byte { return c.response[3] }

// sense is why it failed.
func (c *command) sense() scsi.Sense {
	if len(c.answer) < 2 {
		return scsi.Sense{}
	}
	s, _ := scsi.ParseSense(c.answer[2:])
	return s
}

var opNames = map[byte]string{
	scsi.TestUnitReady: "TEST UNIT READY", scsi.Inquiry: "INQUIRY", scsi.ReadCapacity10: "READ CAPACITY", scsi.ServiceIn16: "READ CAPACITY",
	scsi.Read10: "READ", scsi.Read16: "READ", scsi.Write10: "WRITE", scsi.Write16: "WRITE", scsi.WriteSame16: "WRITE SAME", scsi.Unmap: "UNMAP",
	scsi.SyncCache10: "SYNCHRONIZE CACHE", scsi.SyncCache16: "SYNCHRONIZE CACHE", scsi.ReportLUNs: "REPORT LUNS",
}

// failure is what is wrong with a SCSI command that was answered, or nil.
func (c *command) failure() error {
	op := opNames[c.h.CDB()[0]]
	switch {
	case c.status() != scsi.Good:
		s := c.sense()
		return &CommandError{Op: op, Status: c.status(), Key: s.Key, ASC: s.ASC, ASCQ: s.ASCQ}
	case c.next < len(c.out), c.response.Flags()&pdu.Underflow != 0 && op == "WRITE": // tgtd sends one with UNMAP
		return &shortError{op}
	}
	return nil
}

type shortError struct{ op string }

func (e *shortError) Error() string        { return e.op + ": " + ErrShort.Error() }
func (e *shortError) Is(target error) bool { return target == ErrShort }

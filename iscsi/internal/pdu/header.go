package pdu

import "encoding/binary"

// HeaderLen is the length of a basic header segment.
const HeaderLen = 48

// None is the tag that stands for no task.
const None uint32 = 0xffffffff

// An Opcode says what a PDU is.
type Opcode byte

// What initiators send.
const (
	NopOut      Opcode = 0x00
	Command     Opcode = 0x01
	TaskRequest Opcode = 0x02
	Login       Opcode = 0x03
	Text        Opcode = 0x04
	DataOut     Opcode = 0x05
	Logout      Opcode = 0x06
)

// What targets send.
const (
	NopIn          Opcode = 0x20
	Response       Opcode = 0x21
	TaskResponse   Opcode = 0x22
	LoginResponse  Opcode = 0x23
	TextResponse   Opcode = 0x24
	DataIn         Opcode = 0x25
	LogoutResponse Opcode = 0x26
	R2T            Opcode = 0x31
	Async          Opcode = 0x32
	Reject         Opcode = 0x3f
)

// Flags in the second byte.
const (
	Final     = 0x80 // all but login and R2T
	Transit   = 0x80 // login
	Continue  = 0x40 // login and text
	Read      = 0x40 // command
	Write     = 0x20 // command
	HasStatus = 0x01 // Data-In
	Overflow  = 0x04 // response and Data-In
	Underflow = 0x02 // response and Data-In
	Simple    = 0x01 // command: its task attribute
)

// A Header is a basic header segment. Fields that share a place have a method each.
type Header [HeaderLen]byte

// New returns a header with these first two bytes and this initiator task tag.
func New(op Opcode, flags byte, itt uint32) Header {
	var h Header
	h[0], h[1] = byte(op), flags
	h.SetITT(itt)
	return h
}

// Opcode is what the PDU is.
func (h *Header) Opcode() Opcode { return Opcode(h[0] & 0x3f) }

// Immediate reports whether the PDU passes by the command window.
func (h *Header) Immediate() bool { return h[0]&0x40 != 0 }

// SetImmediate marks the PDU for immediate delivery.
func (h *Header) SetImmediate() { h[0] |= 0x40 }

// Flags is the second byte.
func (h *Header) Flags() byte { return h[1] }

// AHSLen is the length of the additional header segments.
func (h *Header) AHSLen() int { return int(h[4]) * 4 }

// DataLen is the length of the data segment, without its padding.
func (h *Header) DataLen() int { return int(h[5])<<16 | int(h[6])<<8 | int(h[7]) }

// SetDataLen sets what DataLen returns.
func (h *Header) SetDataLen(n int) { h[5], h[6], h[7] = byte(n>>16), byte(n>>8), byte(n) }

func (h *Header) get(at int) uint32    { return binary.BigEndian.Uint32(h[at:]) }
func (h *Header) set(at int, v uint32) { binary.BigEndian.PutUint32(h[at:], v) }

// LUN is the logical unit number as it is sent.
func (h *Header) LUN() uint64 { return binary.BigEndian.Uint64(h[8:]) }

// SetLUN sets what LUN returns.
func (h *Header) SetLUN(v uint64) { binary.BigEndian.PutUint64(h[8:], v) }

// ITT is the initiator task tag.
func (h *Header) ITT() uint32 { return h.get(16) }

// SetITT sets what ITT returns.
func (h *Header) SetITT(v uint32) { h.set(16, v) }

// TTT is the target transfer tag.
func (h *Header) TTT() uint32 { return h.get(20) }

// SetTTT sets what TTT returns.
func (h *Header) SetTTT(v uint32) { h.set(20, v) }

// TransferLen is what a command expects to be transferred; it has TTT's place.
func (h *Header) TransferLen() uint32 { return h.get(20) }

// SetTransferLen sets what TransferLen returns.
func (h *Header) SetTransferLen(v uint32) { h.set(20, v) }

// CmdSN numbers what an initiator sends.
func (h *Header) CmdSN() uint32 { return h.get(24) }

// SetCmdSN sets what CmdSN returns.
func (h *Header) SetCmdSN(v uint32) { h.set(24, v) }

// StatSN numbers what a target sends.
func (h *Header) StatSN() uint32 { return h.get(24) }

// SetStatSN sets what StatSN returns.
func (h *Header) SetStatSN(v uint32) { h.set(24, v) }

// ExpStatSN is the initiator's next StatSN.
func (h *Header) ExpStatSN() uint32 { return h.get(28) }

// SetExpStatSN sets what ExpStatSN returns.
func (h *Header) SetExpStatSN(v uint32) { h.set(28, v) }

// ExpCmdSN is the target's next CmdSN.
func (h *Header) ExpCmdSN() uint32 { return h.get(28) }

// MaxCmdSN is the last CmdSN that the target would take.
func (h *Header) MaxCmdSN() uint32 { return h.get(32) }

// SetWindow sets what ExpCmdSN and MaxCmdSN return.
func (h *Header) SetWindow(exp, last uint32) { h.set(28, exp); h.set(32, last) }

// DataSN numbers the Data PDUs and R2Ts of a command.
func (h *Header) DataSN() uint32 { return h.get(36) }

// SetDataSN sets what DataSN returns.
func (h *Header) SetDataSN(v uint32) { h.set(36, v) }

// Offset is where in a command's data the PDU's data belongs.
func (h *Header) Offset() uint32 { return h.get(40) }

// SetOffset sets what Offset returns.
func (h *Header) SetOffset(v uint32) { h.set(40, v) }

// Residual is how much more or less than expected was transferred, in Data-In
// and response.
func (h *Header) Residual() uint32 { return h.get(44) }

// SetResidual sets what Residual returns.
func (h *Header) SetResidual(v uint32) { h.set(44, v) }

// Desired is how much an R2T asks for; it has Residual's place.
func (h *Header) Desired() uint32 { return h.get(44) }

// SetDesired sets what Desired returns.
func (h *Header) SetDesired(v uint32) { h.set(44, v) }

// CDB is a command's descriptor block.
func (h *Header) CDB() *[16]byte { return (*[16]byte)(h[32:48]) }

// Before reports whether serial number a comes before b (RFC 1982).
func Before(a, b uint32) bool { return int32(a-b) < 0 }

func padding(n int) int { return -n & 3 }

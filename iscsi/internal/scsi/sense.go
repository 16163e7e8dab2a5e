package scsi

import "fmt"

// Sense keys.
const (
	NotReady       = 0x2
	MediumError    = 0x3
	HardwareError  = 0x4
	IllegalRequest = 0x5
	UnitAttention  = 0x6
	DataProtect    = 0x7
	AbortedCommand = 0xb
	Miscompare     = 0xe
)

// A Sense is why a logical unit did not do what it was told: sense key,
// additional sense code and its qualifier.
type Sense struct{ Key, ASC, ASCQ byte }

// Some that this module sends or looks for.
var (
	InvalidOpcode  = Sense{IllegalRequest, 0x20, 0}
	OutOfRange     = Sense{IllegalRequest, 0x21, 0}
	InvalidField   = Sense{IllegalRequest, 0x24, 0}
	NoSuchUnit     = Sense{IllegalRequest, 0x25, 0}
	InvalidParam   = Sense{IllegalRequest, 0x26, 0}
	WriteProtected = Sense{DataProtect, 0x27, 0}
	NoSpace        = Sense{DataProtect, 0x27, 7}
	WriteError     = Sense{MediumError, 0x0c, 0}
	ReadError      = Sense{MediumError, 0x11, 0}
	NexusLost      = Sense{UnitAttention, 0x29, 7}
)

var keyNames = [16]string{"no sense", "recovered error", "not ready", "medium error", "hardware error", "illegal request", "unit attention",
	"data protect", "blank check", "vendor specific", "copy aborted", "aborted command", "reserved", "volume overflow", "miscompare", "completed"}

var codeNames = map[[2]byte]string{
	{0x04, 0x00}: "logical unit not ready",
	{0x04, 0x01}: "becoming ready",
	{0x04, 0x02}: "not started",
	{0x0c, 0x00}: "write error",
	{0x11, 0x00}: "unrecovered read error",
	{0x20, 0x00}: "unknown command",
	{0x21, 0x00}: "block address out of range",
	{0x24, 0x00}: "invalid field in command",
	{0x25, 0x00}: "no such logical unit",
	{0x26, 0x00}: "invalid field in parameters",
	{0x27, 0x00}: "write protected",
	{0x27, 0x07}: "no space left for the write",
	{0x29, 0x00}: "power on or reset",
	{0x29, 0x07}: "nexus lost",
	{0x2a, 0x09}: "capacity changed",
	{0x3a, 0x00}: "no medium",
	{0x3f, 0x0e}: "logical units changed",
	{0x44, 0x00}: "target failure",
}

// Error names the key and the code.
func (s Sense) Error() string {
	text := fmt.Sprintf("%s, ASC %02xh/%02xh", keyNames[s.Key&0xf], s.ASC, s.ASCQ)
	if name := codeNames[[2]byte{s.ASC, s.ASCQ}]; name != "" {
		text += " (" + name + ")"
	}
	return text
}

// Bytes are the sense data in fixed format.
func (s Sense) Bytes() []byte {
	b := make([]byte, 18)
	b[0], b[2], b[7], b[12], b[13] = 0x70, s.Key, 10, s.ASC, s.ASCQ
	return b
}

// ParseSense reads sense data in fixed or descriptor format.
func ParseSense(b []byte) (s Sense, ok bool) {
	if len(b) < 4 {
		return s, false
	}
	switch b[0] & 0x7f {
	case 0x70, 0x71:
		s.Key = b[2] & 0xf
		if len(b) >= 14 {
			s.ASC, s.ASCQ = b[12], b[13]
		}
		return s, true
	case 0x72, 0x73:
		return Sense{b[1] & 0xf, b[2], b[3]}, true
	}
	return s, false
}

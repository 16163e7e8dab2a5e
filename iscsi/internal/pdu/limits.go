package pdu

import (
	"fmt"
	"strconv"
)

// MaxLength is the most that the lengths of a negotiation can be.
const MaxLength = 1<<24 - 1

// Limits are the operational parameters of a session. MaxRecv is what this side
// takes in one PDU; MaxSend is the other's.
type Limits struct {
	HeaderDigest, DataDigest  bool
	MaxRecv, MaxSend          int // MaxRecvDataSegmentLength
	MaxBurst, FirstBurst      int
	MaxR2T                    int // MaxOutstandingR2T
	InitialR2T, ImmediateData bool
}

// DefaultLimits are those of RFC 7143, section 13: what holds where nothing is said.
func DefaultLimits() Limits {
	return Limits{MaxRecv: 8192, MaxSend: 8192, MaxBurst: 262144, FirstBurst: 65536, MaxR2T: 1, InitialR2T: true, ImmediateData: true}
}

// Offer appends the keys of l that both sides negotiate, and its MaxRecv.
func (l *Limits) Offer(p *Pairs) {
	p.Add("MaxRecvDataSegmentLength", strconv.Itoa(l.MaxRecv))
	p.Add("InitialR2T", YesNo(l.InitialR2T))
	p.Add("ImmediateData", YesNo(l.ImmediateData))
	p.Add("MaxBurstLength", strconv.Itoa(l.MaxBurst))
	p.Add("FirstBurstLength", strconv.Itoa(l.FirstBurst))
	p.Add("MaxOutstandingR2T", strconv.Itoa(l.MaxR2T))
	p.Add("MaxConnections", "1")
	p.Add("ErrorRecoveryLevel", "0")
	p.Add("DataPDUInOrder", "Yes")
	p.Add("DataSequenceInOrder", "Yes")
	p.Add("DefaultTime2Wait", "0")
	p.Add("DefaultTime2Retain", "0")
}

// fields are the lengths by their keys, with their bounds.
func (l *Limits) length(key string) (field *int, low, high int) {
	switch key {
	case "MaxBurstLength":
		return &l.MaxBurst, 512, MaxLength
	case "FirstBurstLength":
		return &l.FirstBurst, 512, MaxLength
	case "MaxOutstandingR2T":
		return &l.MaxR2T, 1, 65535
	}
	return nil, 0, 0
}

// Meet applies the other side's value of a key to l, which holds this side's, by
// the key's result function, and returns the result as text. known is false for
// keys that l does not have.
func (l *Limits) Meet(key, value string) (result string, known bool, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", key, err)
		}
	}()
	if field, low, high := l.length(key); field != nil {
		n, err := Number(value, low, high)
		*field = min(*field, max(n, low))
		return strconv.Itoa(*field), true, err
	}
	switch key {
	case "MaxRecvDataSegmentLength":
		n, err := Number(value, 512, MaxLength)
		l.MaxSend = max(n, 512)
		return "", true, err
	case "InitialR2T":
		v, err := Bool(value)
		l.InitialR2T = l.InitialR2T || v
		return YesNo(l.InitialR2T), true, err
	case "ImmediateData":
		v, err := Bool(value)
		l.ImmediateData = l.ImmediateData && v
		return YesNo(l.ImmediateData), true, err
	case "DataPDUInOrder", "DataSequenceInOrder":
		_, err := Bool(value)
		return "Yes", true, err
	case "MaxConnections":
		_, err := Number(value, 1, 65535)
		return "1", true, err
	case "ErrorRecoveryLevel":
		_, err := Number(value, 0, 2)
		return "0", true, err
	case "DefaultTime2Wait":
		n, err := Number(value, 0, 3600)
		return strconv.Itoa(n), true, err // the larger of it and our 0
	case "DefaultTime2Retain":
		_, err := Number(value, 0, 3600)
		return "0", true, err
	}
	return "", false, nil
}

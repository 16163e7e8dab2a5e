package dhcp

import (
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/task"
)

// A Kind is what a [Finding] is about.
type Kind string

// The kinds of findings. The first two are of every machine that boots; the
// others need an operator's eye.
const (
	Told          Kind = "told"            // what asked, and what it was told
	Left          Kind = "left"            // the machine gave its address back
	OtherFirmware Kind = "other firmware"  // the client's boot mode is not the one in the node's data
	OtherArch     Kind = "other arch"      // the client's architecture is not the one in the node's data
	NoLoader      Kind = "no loader"       // there is no loader for this kind of client
	Loop          Kind = "loop"            // the machine asks for its loader again and again
	NoAddress     Kind = "no address"      // there is no address for the machine on its network
	PoolFull      Kind = "pool full"       // every address of the pool is in use
	InUse         Kind = "address in use"  // the machine found another one with its address
	Refused       Kind = "refused"         // the machine wanted an address that it cannot have
	OtherServer   Kind = "other server"    // the machine took the offer of another DHCP server
	TooLong       Kind = "answer too long" // the answer does not fit into what the client takes
)

// A Finding is something that a request, and the answer to it, tell about the
// machine.
type Finding struct {
	Kind   Kind
	Detail string // for people; no secret
}

// failed reports whether the machine cannot boot because of f.
func (f Finding) failed() bool {
	switch f.Kind {
	case Told, Left, OtherFirmware, OtherArch:
		return false
	}
	return true
}

func (f Finding) normal() bool { return f.Kind == Told || f.Kind == Left }

// EvidenceOf joins what was found in one request into one piece of evidence of
// boot.StageDHCP, about the node with that UUID. Where the node's data and the
// client differ, Failed stays false: the client was told what it can run.
func EvidenceOf(node string, findings []Finding) task.Evidence {
	e := task.Evidence{Node: node, Stage: boot.StageDHCP}
	details := make([]string, len(findings))
	for i, f := range findings {
		details[i] = f.Detail
		e.Failed = e.Failed || f.failed()
	}
	e.Detail = strings.Join(details, "; ")
	return e
}

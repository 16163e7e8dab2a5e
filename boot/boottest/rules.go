package boottest

import (
	"fmt"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/internal/roletest"
	"github.com/ferrule/ferrule/task"
)

// rules hold the sentences of boot.BootInterface's comments, in its order. Those
// of every role go before them.
var rules = []roletest.Rule[*subject]{
	{Name: "validate-leaves-machine", Text: "Validate talks neither to the node nor to its BMC", Check: validateLeavesMachine},

	{Name: "ramdisk-boots", Text: "PrepareRamdisk makes the node boot the deploy ramdisk with params", Check: ramdiskBoots},
	{Name: "ramdisk-once", Text: "PrepareRamdisk makes the node boot the deploy ramdisk at its next power on, once", Check: ramdiskOnce},
	{Name: "ramdisk-repeatable", Text: "PrepareRamdisk may be called again", Check: ramdiskRepeatable},
	{Name: "ramdisk-last-params", Text: "PrepareRamdisk may be called again with other params: the last call counts", Check: ramdiskLastParams},
	{Name: "ramdisk-bad-params", Text: "a value that would end the ramdisk's command line is refused as task.ErrInvalidParameter, or handed over as it is", Check: ramdiskBadParams},
	{Name: "params-untold", Text: "the whole network can read the command line, so a secret goes in only where boot.Can says boot.SecretParams", Check: paramsUntold},
	{Name: "in-place-first", Text: "what the node fetches is in place before the node's boot device is changed", Check: inPlaceFirst},

	{Name: "instance-boots", Text: "PrepareInstance makes the node boot its instance from now on; a take-over calls it alone", Check: instanceBoots},
	{Name: "instance-after-ramdisk", Text: "what was there for the ramdisk no longer boots after PrepareInstance", Check: instanceAfterRamdisk},
	{Name: "instance-repeatable", Text: "PrepareInstance may be called again at any time in the life of the instance", Check: instanceRepeatable},

	{Name: "cleanup-unprepared", Text: "CleanUpRamdisk and CleanUpInstance succeed when nothing was prepared", Check: cleanUpUnprepared},
	{Name: "cleanup-twice", Text: "CleanUpRamdisk and CleanUpInstance succeed when called twice", Check: cleanUpTwice},
	{Name: "cleanup-missing-parameters", Text: "CleanUpRamdisk and CleanUpInstance succeed when the parameters went missing since", Check: cleanUpMissingParameters},
	{Name: "cleanup-reloaded", Text: "what must be known later is in the node: a node read back from its store can be cleaned up", Check: cleanUpReloaded},
	{Name: "cleanup-leaves-nothing", Text: "the CleanUp methods remove what the Prepare methods put in place", Check: cleanUpLeavesNothing},
	{Name: "cleanup-leaves-instance", Text: "CleanUpRamdisk leaves the instance's boot alone", Check: cleanUpLeavesInstance},
	{Name: "cleanup-leaves-others", Text: "CleanUpRamdisk removes what was put in place for its own node", Check: cleanUpLeavesOthers},

	{Name: "shared-lock", Text: "Validate and the CleanUp methods work under a shared lock", Check: sharedLock},
	{Name: "shared-at-once", Text: "methods that say shared may be called twice at once for the same node; a take-over works on several hosts at once", Check: sharedAtOnce},
	{Name: "exclusive-lock", Text: "PrepareRamdisk and PrepareInstance are under the exclusive lock: they refuse a shared one", Check: exclusiveLock},
	{Name: "take-over", Text: "on a node whose state HasInstance PrepareInstance leaves the BMC alone, and works under a shared lock", Check: takeOver},
	{Name: "power-untouched", Text: "no method changes the node's power", Check: powerUntouched},
	{Name: "canceled", Text: "a canceled context ends every method soon with its error", Check: canceled},
	{Name: "canceled-midway", Text: "a canceled context leaves things such that the matching CleanUp or the same call can be made next, and the node never boots from nowhere", Check: canceledMidway},
	{Name: "concurrent-nodes", Text: "methods may be called for many nodes at once", Check: concurrentNodes},

	{Name: "rescue", Text: "ValidateRescue reports what a rescue ramdisk needs beyond Validate, as *task.Error, and changes nothing", Check: validateRescue},
	{Name: "inspection", Text: "ValidateInspection needs less than Validate, and changes nothing", Check: validateInspection},
	{Name: "capabilities", Text: "Capabilities lists what the implementation can do: each once, and RamdiskBoot where PrepareRamdisk works", Check: capabilities},
	{Name: "stages", Text: "Stages lists, each once, the stages of the evidence that is reported", Check: stages},
}

// booted says how what the node would boot differs from kind.
func (s *subject) booted(tk *task.Task, kind Kind, params boot.Params) error {
	if s.h.Booted == nil {
		return nil
	}
	got := s.h.Booted(s.T, tk)
	if got.Kind != kind {
		return fmt.Errorf("node %s would boot %q, want %q", tk.Node, got.Kind, kind)
	}
	if got.Params == nil {
		return nil
	}
	for k, want := range params {
		if v, ok := got.Params[k]; !ok || v != want {
			return fmt.Errorf("the ramdisk of node %s is told %s=%q, want %q", tk.Node, k, v, want)
		}
	}
	return nil
}

// observed skips a rule that needs to see what the node would boot.
func (s *subject) observed() error {
	if s.h.Booted == nil {
		return roletest.Skip("the harness has no Booted")
	}
	return nil
}

package deploytest

import "github.com/ferrule/ferrule/internal/roletest"

// rules hold the sentences of the comments in package deploy, in their order.
// Those of every role go before them.
var rules = []roletest.Rule[*subject]{
	{Name: "validate-asks-boot", Text: "Validate calls the boot interface's Validate where it will use that, and reports its problems with its own", Check: validateAsksBoot},
	{Name: "validate-leaves-machine", Text: "Validate changes nothing and does not talk to the node", Check: validateLeavesMachine},

	{Name: "params-untold", Text: "the whole network can read a ramdisk's params, so a secret goes in only where boot.Can says boot.SecretParams", Check: paramsUntold},

	{Name: "prepare-repeatable", Text: "Prepare may be called again", Check: prepareRepeatable},
	{Name: "prepare-shared-lock", Text: "on a node whose state HasInstance Prepare works under a shared lock", Check: prepareSharedLock},
	{Name: "prepare-takes-over", Text: "on a node whose state HasInstance Prepare restores what the running instance needs to boot, and touches neither power, disk nor boot device", Check: prepareTakesOver},

	{Name: "deploy-answers", Text: "Deploy answers task.DeployDone, or task.DeployWait when a heartbeat goes on from here; nothing else", Check: deployAnswers},
	{Name: "deploy-installs", Text: "in the end of a deploy the instance is on its disk and booting", Check: deployInstalls},

	{Name: "tear-down", Text: "TearDown takes the machine from the instance: it is off, or at least no longer under the instance's control; it answers task.Deleted", Check: tearDown},
	{Name: "tear-down-anywhere", Text: "TearDown may be called on a node whose deploy failed anywhere", Check: tearDownAnywhere},

	{Name: "cleanup-unprepared", Text: "CleanUp runs when nothing was prepared", Check: cleanUpUnprepared},
	{Name: "cleanup-twice", Text: "CleanUp succeeds when called twice", Check: cleanUpTwice},
	{Name: "cleanup-missing-parameters", Text: "CleanUp succeeds when parameters went missing since", Check: cleanUpMissingParameters},
	{Name: "cleanup-leaves-nothing", Text: "CleanUp undoes Prepare on this host", Check: cleanUpLeavesNothing},
	{Name: "cleanup-leaves-others", Text: "CleanUp undoes Prepare for its own node", Check: cleanUpLeavesOthers},
	{Name: "cleanup-shared-lock", Text: "CleanUp works under a shared lock", Check: cleanUpSharedLock},

	{Name: "take-over", Text: "TakeOver makes this host responsible for a node in state Active; the instance goes on running", Check: takeOver},

	{Name: "shared-at-once", Text: "methods under a shared lock may be called twice at once for the same node; Prepare of a running instance works on several hosts at once", Check: sharedAtOnce},
	{Name: "exclusive-lock", Text: "a method under the exclusive lock refuses a shared one, and does nothing to the machine", Check: exclusiveLock},
	{Name: "canceled", Text: "a canceled context ends every method soon with its error", Check: canceled},
	{Name: "canceled-midway", Text: "what was done when the context was canceled stays such that CleanUp, or the same call again, can be made next", Check: canceledMidway},
	{Name: "concurrent-nodes", Text: "methods may be called for many nodes at once", Check: concurrentNodes},
	{Name: "reloaded", Text: "nothing of a node is kept in the implementation: what must outlive a call goes into the node", Check: reloaded},

	{Name: "heartbeat-answers", Text: "Heartbeat answers the node's state while what the ramdisk does is not finished, and task.DeployDone when it is", Check: heartbeatAnswers},

	{Name: "cleaning", Text: "PrepareCleaning makes clean steps possible, and answers task.CleanWait or nothing", Check: cleans},
	{Name: "cleaning-ends", Text: "TearDownCleaning ends what PrepareCleaning began, after success and after failure, and leaves the machine off", Check: cleaningEnds},
	{Name: "cleaning-ends-twice", Text: "TearDownCleaning may be called twice", Check: cleaningEndsTwice},

	{Name: "steps-listed", Text: "Steps lists the steps of that kind that it can run on the node now", Check: stepsListed},
	{Name: "steps-shared-lock", Text: "Steps works under a shared lock", Check: stepsSharedLock},
	{Name: "step-unknown", Text: "ExecuteStep runs a step that Steps listed; another one is task.ErrUnsupported", Check: stepUnknown},
	{Name: "step-answers", Text: "ExecuteStep answers nothing when the step is complete, or the waiting state when a later heartbeat completes it; nothing else", Check: stepAnswers},

	{Name: "stages", Text: "Stages lists, each once, the stages of the evidence that is reported", Check: stages},
}

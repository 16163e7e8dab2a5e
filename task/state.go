package task

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A State is a provision state of a node. The strings are Ironic's wire values.
type State string

// The provision states. "Stable" states last until somebody asks for
// something else; all others are left by work that goes on or by a callback.
const (
	// Enroll (stable): known, but its power credentials were not tried yet.
	Enroll State = "enroll"
	// Verifying: the power credentials are being tried.
	Verifying State = "verifying"
	// Manageable (stable): under control; can be inspected, cleaned, adopted.
	Manageable State = "manageable"
	// Available (stable): clean and ready to be deployed.
	Available State = "available"

	// Deploying: the host works on the node.
	Deploying State = "deploying"
	// DeployWait: the ramdisk works, and its next heartbeat moves the node on.
	DeployWait State = "wait call-back"
	// DeployHold: a deploy step asked to stop here until somebody unholds.
	DeployHold State = "deploy hold"
	// DeployFail: a deploy failed; deploy, rebuild or tear down it.
	DeployFail State = "deploy failed"
	// Active (stable): the instance owns the machine.
	Active State = "active"

	// Deleting: the instance is being torn down.
	Deleting State = "deleting"
	// ErrorState (stable): a tear down failed; tear down or rebuild it.
	ErrorState State = "error"

	// Cleaning: the host runs clean steps.
	Cleaning State = "cleaning"
	// CleanWait: the ramdisk boots or runs a clean step.
	CleanWait State = "clean wait"
	// CleanHold: a clean step asked to stop here until somebody unholds.
	CleanHold State = "clean hold"
	// CleanFail: cleaning failed; the disk may hold old data. Manage it.
	CleanFail State = "clean failed"

	// Inspecting: the host looks at the hardware.
	Inspecting State = "inspecting"
	// InspectWait: the ramdisk collects facts.
	InspectWait State = "inspect wait"
	// InspectFail: inspection failed; inspect again or manage.
	InspectFail State = "inspect failed"

	// Adopting: a running instance is being taken into care, untouched.
	Adopting State = "adopting"
	// AdoptFail: adoption failed; adopt again or manage.
	AdoptFail State = "adopt failed"

	// Rescuing: the host prepares the rescue ramdisk.
	Rescuing State = "rescuing"
	// RescueWait: the rescue ramdisk boots.
	RescueWait State = "rescue wait"
	// RescueFail: rescue failed; rescue, unrescue or tear down it.
	RescueFail State = "rescue failed"
	// Rescue (stable): the rescue ramdisk runs.
	Rescue State = "rescue"
	// Unrescuing: the host goes back to the instance.
	Unrescuing State = "unrescuing"
	// UnrescueFail: unrescue failed; rescue, unrescue or tear down it.
	UnrescueFail State = "unrescue failed"

	// Servicing: the host runs service steps on a deployed node.
	Servicing State = "servicing"
	// ServiceWait: the ramdisk runs a service step.
	ServiceWait State = "service wait"
	// ServiceHold: a service step asked to stop here until somebody unholds.
	ServiceHold State = "service hold"
	// ServiceFail: servicing failed; service again, rescue, abort or tear down.
	ServiceFail State = "service failed"
)

// What a driver's method answers, never stored in a node.
const (
	// DeployDone says that a deploy is complete and nothing calls back.
	DeployDone State = "deploy complete"
	// Deleted says that a tear down is complete.
	Deleted State = "deleted"
)

// An Event moves a node from one provision state to another.
type Event string

// The events. Manage to Unhold come from callers (Ironic's verbs where it has
// them), Done to Hold from the work itself.
const (
	EventManage   Event = "manage"
	EventProvide  Event = "provide"
	EventDeploy   Event = "deploy"
	EventRebuild  Event = "rebuild"
	EventDelete   Event = "delete"
	EventClean    Event = "clean"
	EventInspect  Event = "inspect"
	EventAdopt    Event = "adopt"
	EventRescue   Event = "rescue"
	EventUnrescue Event = "unrescue"
	EventService  Event = "service"
	EventAbort    Event = "abort"
	EventUnhold   Event = "unhold"
	EventDone     Event = "done"
	EventFail     Event = "fail"
	EventWait     Event = "wait"
	EventResume   Event = "resume"
	EventHold     Event = "hold"
)

type edge struct {
	from State
	on   Event
}

// next is the whole state machine: Ironic's, and in addition a way out of each
// hold and wait state by delete or abort.
var next = map[edge]State{
	{Enroll, EventManage}:  Verifying,
	{Verifying, EventDone}: Manageable,
	{Verifying, EventFail}: Enroll,

	{Manageable, EventProvide}: Cleaning,
	{Manageable, EventClean}:   Cleaning,
	{Manageable, EventInspect}: Inspecting,
	{Manageable, EventAdopt}:   Adopting,
	{Available, EventManage}:   Manageable,
	{Available, EventDeploy}:   Deploying,

	{Deploying, EventDone}:     Active,
	{Deploying, EventFail}:     DeployFail,
	{Deploying, EventWait}:     DeployWait,
	{Deploying, EventHold}:     DeployHold,
	{DeployWait, EventResume}:  Deploying,
	{DeployWait, EventFail}:    DeployFail,
	{DeployWait, EventAbort}:   DeployFail,
	{DeployWait, EventDelete}:  Deleting,
	{DeployWait, EventHold}:    DeployHold,
	{DeployHold, EventUnhold}:  DeployWait,
	{DeployHold, EventAbort}:   DeployFail,
	{DeployHold, EventDelete}:  Deleting,
	{DeployFail, EventDeploy}:  Deploying,
	{DeployFail, EventRebuild}: Deploying,
	{DeployFail, EventDelete}:  Deleting,

	{Active, EventRebuild}: Deploying,
	{Active, EventDelete}:  Deleting,
	{Active, EventRescue}:  Rescuing,
	{Active, EventService}: Servicing,

	{Deleting, EventClean}:     Cleaning,
	{Deleting, EventFail}:      ErrorState,
	{ErrorState, EventRebuild}: Deploying,
	{ErrorState, EventDelete}:  Deleting,

	{Cleaning, EventDone}:    Available,
	{Cleaning, EventManage}:  Manageable,
	{Cleaning, EventFail}:    CleanFail,
	{Cleaning, EventWait}:    CleanWait,
	{Cleaning, EventHold}:    CleanHold,
	{CleanWait, EventResume}: Cleaning,
	{CleanWait, EventFail}:   CleanFail,
	{CleanWait, EventAbort}:  CleanFail,
	{CleanWait, EventHold}:   CleanHold,
	{CleanHold, EventUnhold}: CleanWait,
	{CleanHold, EventAbort}:  CleanFail,
	{CleanFail, EventManage}: Manageable,

	{Inspecting, EventDone}:     Manageable,
	{Inspecting, EventFail}:     InspectFail,
	{Inspecting, EventWait}:     InspectWait,
	{InspectWait, EventResume}:  Inspecting,
	{InspectWait, EventDone}:    Manageable,
	{InspectWait, EventFail}:    InspectFail,
	{InspectWait, EventAbort}:   InspectFail,
	{InspectFail, EventManage}:  Manageable,
	{InspectFail, EventInspect}: Inspecting,

	{Adopting, EventDone}:    Active,
	{Adopting, EventFail}:    AdoptFail,
	{AdoptFail, EventAdopt}:  Adopting,
	{AdoptFail, EventManage}: Manageable,

	{Rescuing, EventDone}:         Rescue,
	{Rescuing, EventWait}:         RescueWait,
	{Rescuing, EventFail}:         RescueFail,
	{RescueWait, EventResume}:     Rescuing,
	{RescueWait, EventFail}:       RescueFail,
	{RescueWait, EventAbort}:      RescueFail,
	{RescueWait, EventDelete}:     Deleting,
	{Rescue, EventRescue}:         Rescuing,
	{Rescue, EventUnrescue}:       Unrescuing,
	{Rescue, EventDelete}:         Deleting,
	{RescueFail, EventRescue}:     Rescuing,
	{RescueFail, EventUnrescue}:   Unrescuing,
	{RescueFail, EventDelete}:     Deleting,
	{Unrescuing, EventDone}:       Active,
	{Unrescuing, EventFail}:       UnrescueFail,
	{UnrescueFail, EventRescue}:   Rescuing,
	{UnrescueFail, EventUnrescue}: Unrescuing,
	{UnrescueFail, EventDelete}:   Deleting,

	{Servicing, EventDone}:      Active,
	{Servicing, EventFail}:      ServiceFail,
	{Servicing, EventWait}:      ServiceWait,
	{Servicing, EventHold}:      ServiceHold,
	{ServiceWait, EventResume}:  Servicing,
	{ServiceWait, EventHold}:    ServiceHold,
	{ServiceWait, EventFail}:    ServiceFail,
	{ServiceWait, EventAbort}:   ServiceFail,
	{ServiceWait, EventDelete}:  Deleting,
	{ServiceHold, EventService}: Servicing,
	{ServiceHold, EventUnhold}:  ServiceWait,
	{ServiceHold, EventFail}:    ServiceFail,
	{ServiceHold, EventAbort}:   ServiceFail,
	{ServiceHold, EventDelete}:  Deleting,
	{ServiceFail, EventService}: Servicing,
	{ServiceFail, EventRescue}:  Rescuing,
	{ServiceFail, EventWait}:    ServiceWait,
	{ServiceFail, EventHold}:    ServiceHold,
	{ServiceFail, EventAbort}:   Active,
	{ServiceFail, EventDelete}:  Deleting,
}

// targets has every state, and where its work is heading: "" for a stable one.
var targets = map[State]State{
	Enroll: "", Manageable: "", Available: "", Active: "", ErrorState: "", Rescue: "",
	Verifying: Manageable, Inspecting: Manageable, InspectWait: Manageable, InspectFail: Manageable,
	Deploying: Active, DeployWait: Active, DeployHold: Active, DeployFail: Active,
	Adopting: Active, AdoptFail: Active, Unrescuing: Active, UnrescueFail: Active,
	Servicing: Active, ServiceWait: Active, ServiceHold: Active, ServiceFail: Active,
	Cleaning: Available, CleanWait: Available, CleanHold: Available, CleanFail: Available, Deleting: Available,
	Rescuing: Rescue, RescueWait: Rescue, RescueFail: Rescue,
}

// Next returns the state that event on leads to from state s. The error Is
// [ErrInvalidState] and names the events that s has.
func (s State) Next(on Event) (State, error) {
	if to, ok := next[edge{s, on}]; ok {
		return to, nil
	}
	return "", fmt.Errorf("%w: %q has no %q, only %s", ErrInvalidState, s, on, s.eventList())
}

// Events returns the events that s has, sorted.
func (s State) Events() []Event {
	var on []Event
	for e := range next {
		if e.from == s {
			on = append(on, e.on)
		}
	}
	slices.Sort(on)
	return on
}

func (s State) eventList() string {
	var names []string
	for _, e := range s.Events() {
		names = append(names, string(e))
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// Valid reports whether a node can be in state s.
func (s State) Valid() bool { _, ok := targets[s]; return ok }

// Stable reports whether s lasts until somebody asks for something else.
func (s State) Stable() bool { t, ok := targets[s]; return ok && t == "" }

// Failed reports whether s is where failed work leaves a node.
func (s State) Failed() bool {
	switch s {
	case DeployFail, CleanFail, InspectFail, AdoptFail, RescueFail, UnrescueFail, ServiceFail, ErrorState:
		return true
	}
	return false
}

// Waiting reports whether a node in s waits for its ramdisk to call.
func (s State) Waiting() bool {
	switch s {
	case DeployWait, CleanWait, InspectWait, RescueWait, ServiceWait:
		return true
	}
	return false
}

// Working reports whether a host is at work on a node in s, holding its lock.
func (s State) Working() bool {
	switch s {
	case Verifying, Deploying, Deleting, Cleaning, Inspecting, Adopting, Rescuing, Unrescuing, Servicing:
		return true
	}
	return false
}

// HasInstance reports whether an instance runs on a node in s that must not
// notice what a host does for the node: to prepare such a node is to take it over.
func (s State) HasInstance() bool { return s == Active || s == Adopting }

// Target returns the stable state that the work in s is heading for, "" if s
// is stable. Manual cleaning has another target, Manageable, which is kept in
// the node.
func (s State) Target() State { return targets[s] }

// States returns every state, sorted.
func States() []State {
	all := make([]State, 0, len(targets))
	for s := range targets {
		all = append(all, s)
	}
	slices.Sort(all)
	return all
}

// A Transition is one line of the state table.
type Transition struct {
	From State
	On   Event
	To   State
}

// Transitions returns the whole state table, sorted by origin and event.
func Transitions() []Transition {
	all := make([]Transition, 0, len(next))
	for e, to := range next {
		all = append(all, Transition{e.from, e.on, to})
	}
	slices.SortFunc(all, func(a, b Transition) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.On, b.On))
	})
	return all
}

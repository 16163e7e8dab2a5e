package task_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/task"
)

func ExampleState_Next() {
	s, err := task.Available.Next(task.EventDeploy)
	fmt.Println(s, err)

	_, err = task.Available.Next(task.EventRescue)
	fmt.Println(err)
	// Output:
	// deploying <nil>
	// not allowed in this state: "available" has no "rescue", only deploy, manage
}

// The state diagram in the docs is the full output of this loop.
func ExampleTransitions() {
	for _, t := range task.Transitions() {
		if t.From == task.Available || t.From == task.Deploying || t.From == task.DeployWait {
			fmt.Printf("%s --%s--> %s\n", t.From, t.On, t.To)
		}
	}
	// Output:
	// available --deploy--> deploying
	// available --manage--> manageable
	// deploying --done--> active
	// deploying --fail--> deploy failed
	// deploying --hold--> deploy hold
	// deploying --wait--> wait call-back
	// wait call-back --abort--> deploy failed
	// wait call-back --delete--> deleting
	// wait call-back --fail--> deploy failed
	// wait call-back --hold--> deploy hold
	// wait call-back --resume--> deploying
}

// reach returns every state that events of allow lead to from s.
func reach(s task.State, allow func(task.Event) bool) map[task.State]bool {
	seen := map[task.State]bool{s: true}
	for todo := []task.State{s}; len(todo) > 0; {
		from := todo[0]
		todo = todo[1:]
		for _, on := range from.Events() {
			to, err := from.Next(on)
			if err == nil && allow(on) && !seen[to] {
				seen[to] = true
				todo = append(todo, to)
			}
		}
	}
	return seen
}

func anyEvent(task.Event) bool { return true }

func TestEveryStateIsReached(t *testing.T) {
	seen := reach(task.Enroll, anyEvent)
	for _, s := range task.States() {
		require.True(t, seen[s], "%q is not reached from enroll", s)
	}
	require.Len(t, seen, len(task.States()))
}

func TestEveryStateCanBeLeft(t *testing.T) {
	for _, s := range task.States() {
		require.NotEmpty(t, s.Events(), s)
		others := reach(s, anyEvent)
		require.True(t, others[task.Available], "%q never becomes available again", s)
		if s.Stable() {
			continue
		}
		require.True(t, others[s.Target()], "%q does not lead to its target %q", s, s.Target())
	}
}

func TestWorkAlwaysEnds(t *testing.T) {
	for _, s := range task.States() {
		switch {
		case s.Working():
			require.Contains(t, s.Events(), task.EventFail, s)
			to, err := s.Next(task.EventFail)
			require.NoError(t, err)
			require.True(t, to.Failed() || to.Stable(), "%q fails into %q", s, to)
		case s.Waiting():
			for _, on := range []task.Event{task.EventResume, task.EventFail, task.EventAbort} {
				require.Contains(t, s.Events(), on, s)
			}
			to, _ := s.Next(task.EventResume)
			require.True(t, to.Working(), "%q resumes into %q", s, to)
			fail, _ := s.Next(task.EventFail)
			abort, _ := s.Next(task.EventAbort)
			require.Equal(t, fail, abort, s)
		case !s.Stable(): // failed or on hold: a caller gets it out
			ways := []task.Event{task.EventManage, task.EventDelete, task.EventAbort}
			require.True(t, slices.ContainsFunc(s.Events(), func(on task.Event) bool { return slices.Contains(ways, on) }), s)
		}
	}
}

func TestStateKinds(t *testing.T) {
	for _, s := range task.States() {
		require.True(t, s.Valid(), s)
		require.False(t, s.Working() && s.Waiting(), s)
		require.False(t, s.Working() && s.Failed(), s)
		require.Equal(t, s.Target() == "", s.Stable(), s)
		if s.Target() != "" {
			require.True(t, s.Target().Stable(), s)
		}
	}
	for _, s := range []task.State{"", "wait", task.Deleted, task.DeployDone} {
		require.False(t, s.Valid(), s)
		require.False(t, s.Stable(), s)
		require.Empty(t, s.Events(), s)
		_, err := s.Next(task.EventDeploy)
		require.ErrorIs(t, err, task.ErrInvalidState)
		require.ErrorContains(t, err, "only nothing")
	}
}

func TestUnknownEventsAreRefused(t *testing.T) {
	events := map[task.Event]bool{"no such event": true}
	for _, tr := range task.Transitions() {
		events[tr.On] = true
	}
	refused := 0
	for _, s := range task.States() {
		for on := range events {
			if slices.Contains(s.Events(), on) {
				continue
			}
			refused++
			to, err := s.Next(on)
			require.Empty(t, to)
			require.ErrorIs(t, err, task.ErrInvalidState)
			require.ErrorContains(t, err, fmt.Sprintf("%q has no %q", s, on))
		}
	}
	require.Equal(t, len(task.States())*len(events), refused+len(task.Transitions()))
}

// The strings are what Ironic's API and inventories hold.
func TestWireStrings(t *testing.T) {
	var got []string
	for _, s := range task.States() {
		got = append(got, string(s))
	}
	require.Equal(t, []string{
		"active", "adopt failed", "adopting", "available",
		"clean failed", "clean hold", "clean wait", "cleaning",
		"deleting", "deploy failed", "deploy hold", "deploying", "enroll", "error",
		"inspect failed", "inspect wait", "inspecting", "manageable",
		"rescue", "rescue failed", "rescue wait", "rescuing",
		"service failed", "service hold", "service wait", "servicing",
		"unrescue failed", "unrescuing", "verifying", "wait call-back",
	}, got)
}

func TestTargets(t *testing.T) {
	for s, want := range map[task.State]task.State{
		task.Verifying: task.Manageable, task.InspectWait: task.Manageable,
		task.DeployHold: task.Active, task.UnrescueFail: task.Active, task.ServiceWait: task.Active,
		task.Deleting: task.Available, task.CleanHold: task.Available,
		task.RescueWait: task.Rescue, task.Enroll: "",
	} {
		require.Equal(t, want, s.Target(), s)
	}
}

package drivertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// A rule is one sentence of a contract, and its check.
type rule struct {
	name  string
	text  string
	check func(ctx context.Context, t testing.TB) error
}

// skip is the error of a rule that cannot be checked here.
type skip string

func (s skip) Error() string { return string(s) }

// ruleTime bounds one rule, promptly how soon a canceled call has to end.
const (
	ruleTime = time.Minute
	promptly = 10 * time.Second
)

func runRules(t *testing.T, rules []rule) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			var why skip
			switch err := r.run(t); {
			case errors.As(err, &why):
				t.Skip(err)
			case err != nil:
				t.Errorf("%v\n\trule: %s", err, r.text)
			}
		})
	}
}

func (r rule) run(t testing.TB) error {
	ctx, cancel := context.WithTimeout(t.Context(), ruleTime)
	defer cancel()
	return guard(func() error { return r.check(ctx, t) })
}

func guard(f func() error) error { return task.Guard("drivertest", nil, f) }

// canceled checks that f ends under a canceled context, soon and with its error.
func canceled(method string, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	done := make(chan error, 1)
	go func() { done <- guard(func() error { return f(ctx) }) }()
	limit := time.NewTimer(promptly)
	defer limit.Stop()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			return fmt.Errorf("%s under a canceled context: got error %v, want context.Canceled", method, err)
		}
		return nil
	case <-limit.C:
		return fmt.Errorf("%s still runs %s after its context was canceled", method, promptly)
	}
}

// manyNodes is how many nodes a rule about concurrency uses.
const manyNodes = 8

// nodes makes a task on each of many nodes, in the test's own goroutine.
func nodes(t testing.TB, newTask func(t testing.TB, name string) *task.Task) []*task.Task {
	all := make([]*task.Task, manyNodes)
	for i := range all {
		all[i] = newTask(t, fmt.Sprintf("node-%d", i))
	}
	return all
}

// atOnce calls f for every task in a goroutine of its own and joins the errors.
func atOnce(tasks []*task.Task, f func(i int, tk *task.Task) error) error {
	errs := make([]error, len(tasks))
	var wg sync.WaitGroup
	for i, tk := range tasks {
		wg.Go(func() { errs[i] = guard(func() error { return f(i, tk) }) })
	}
	wg.Wait()
	return task.Join(errs...)
}

// withDriver fills one role of tk's driver, beside those that the harness gave it.
func withDriver(tk *task.Task, set func(*driver.Driver)) *task.Task {
	d := driver.Driver{Title: "drivertest"}
	if given, ok := tk.Driver.(*driver.Driver); ok && given != nil {
		d = *given
	}
	set(&d)
	tk.Driver = &d
	return tk
}

// nodeText is all that a store would keep of tk.
func nodeText(tk *task.Task) (string, error) {
	data, err := json.MarshalIndent(struct {
		Node  *task.Node
		Ports []*task.Port
	}{tk.Node, tk.Ports}, "", " ")
	return string(data), err
}

// unchanged calls f and checks that it left tk's node and ports as they were.
func unchanged(tk *task.Task, method string, f func() error) error {
	before, err := nodeText(tk)
	if err != nil {
		return err
	}
	f() // its error is another rule's
	after, err := nodeText(tk)
	if err != nil {
		return err
	}
	if before != after {
		return fmt.Errorf("%s changed node or ports from\n%s\nto\n%s", method, before, after)
	}
	return nil
}

// wantErr checks that err Is one of the sentinels.
func wantErr(call string, err error, sentinels ...error) error {
	for _, s := range sentinels {
		if errors.Is(err, s) {
			return nil
		}
	}
	return fmt.Errorf("%s: got error %v, want %v", call, err, sentinels)
}

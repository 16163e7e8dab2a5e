package roletest

import (
	"errors"
	"sync"

	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/task"
)

// Together calls f for every task at once, each in a goroutine of its own, and
// joins the errors.
func Together(tasks []*task.Task, f func(i int, t *task.Task) error) error {
	errs := make([]error, len(tasks))
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i, t := range tasks {
		wg.Go(func() {
			<-start
			errs[i] = guard(func() error { return f(i, t) })
		})
	}
	close(start)
	wg.Wait()
	return errors.Join(errs...)
}

// Leaked calls f and says which goroutines it leaves behind. Idle connections
// of net/http do not count, nor workers of a simulated BMC, which end by themselves
// some time after their session, nor what a first call of f, to warm up, leaves. The
// test must not run in parallel with others.
func Leaked(f func()) error {
	f()
	options := []goleak.Option{
		goleak.IgnoreCurrent(),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreAnyFunction("net/http.(*conn).serve"),
		goleak.IgnoreAnyFunction("net/http.(*connReader).backgroundRead"),
		goleak.IgnoreAnyFunction("github.com/bougou/go-ipmi/pkg/server.(*Server).runSOLWorker"),
	}
	f()
	return goleak.Find(options...)
}

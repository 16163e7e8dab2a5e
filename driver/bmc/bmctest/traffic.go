package bmctest

import (
	"runtime"
	"slices"
	"sync"
	"time"
)

// Traffic is how requests came to a BMC. Its zero value has seen none.
type Traffic struct {
	mu      sync.Mutex // over what follows
	running int
	most    int
	begins  []time.Time
}

// Begin counts a request, until end is called. One whose client has gone away
// counts until then, too.
func (t *Traffic) Begin() (end func()) {
	t.count()
	for range 100 {
		runtime.Gosched() // others that are on their way come meanwhile
	}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.running--
	}
}

func (t *Traffic) count() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running++
	t.most = max(t.most, t.running)
	t.begins = append(t.begins, time.Now())
}

// Most returns how many requests there were at once.
func (t *Traffic) Most() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.most
}

// TooEarly returns how many requests came sooner than those of a client can that
// begins none before start, and each gap or more after the one before. Requests that
// are late on their way are no matter.
func (t *Traffic) TooEarly(start time.Time, gap time.Duration) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	early := 0
	for n, at := range slices.SortedFunc(slices.Values(t.begins), time.Time.Compare) {
		if at.Before(start.Add(time.Duration(n) * gap)) {
			early++
		}
	}
	return early
}

// Len returns how many requests there were.
func (t *Traffic) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.begins)
}

package ipminative

import (
	"container/list"
	"sync"
	"time"
)

// A pool keeps sessions that nobody uses. Who takes one has it for himself.
type pool struct {
	max      int
	idleTime time.Duration

	mu      sync.Mutex
	byKey   map[key]*list.Element
	idle    list.List // of *session, the longest idle one first
	closed  bool
	closing sync.WaitGroup
}

// take returns the session kept for k, nil for none.
func (p *pool) take(k key) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.byKey[k]
	if e == nil {
		return nil
	}
	return p.remove(e)
}

// put keeps s, and ends what is then too much.
func (p *pool) put(s *session) {
	p.mu.Lock()
	var ended []*session
	switch {
	case p.closed || p.max == 0 || p.byKey[s.key] != nil:
		ended = append(ended, s)
	default:
		if p.idle.Len() >= p.max {
			ended = append(ended, p.remove(p.idle.Front()))
		}
		if p.byKey == nil {
			p.byKey = map[key]*list.Element{}
		}
		e := p.idle.PushBack(s)
		p.byKey[s.key] = e
		s.timer = time.AfterFunc(p.idleTime, func() { p.expire(e) })
	}
	p.closing.Add(len(ended))
	p.mu.Unlock()
	for _, s := range ended {
		s.end()
		p.closing.Done()
	}
}

// remove takes e out. The lock is held.
func (p *pool) remove(e *list.Element) *session {
	s := p.idle.Remove(e).(*session)
	delete(p.byKey, s.key)
	s.timer.Stop()
	return s
}

func (p *pool) expire(e *list.Element) {
	p.mu.Lock()
	s := e.Value.(*session)
	if p.byKey[s.key] != e {
		p.mu.Unlock()
		return // somebody took it
	}
	p.remove(e)
	p.closing.Add(1)
	p.mu.Unlock()
	defer p.closing.Done()
	s.end()
}

// drop ends s, which failed, without making its user wait.
func (p *pool) drop(s *session) {
	p.closing.Go(s.end)
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	var ended []*session
	for p.idle.Len() > 0 {
		ended = append(ended, p.remove(p.idle.Front()))
	}
	p.mu.Unlock()
	for _, s := range ended {
		p.closing.Go(s.end)
	}
	p.closing.Wait()
}

func (p *pool) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.idle.Len()
}

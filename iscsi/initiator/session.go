package initiator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ferrule/ferrule/iscsi/internal/pdu"
)

var (
	errLeaving = errors.New("the target asked for a logout")
	errSilent  = errors.New("the target does not answer")
	errClosed  = fmt.Errorf("the disk is %w", net.ErrClosed)
	errTimeout = errors.New("the target did not answer a command in time")
)

// abortTime is how long the target may take to abort a command.
const abortTime = 5 * time.Second

// A session is a login in its full feature phase, on one connection. Three
// goroutines serve it: one sends, one receives, one watches for silence. It ends
// once and for good, by fail.
type session struct {
	conn   net.Conn
	r      *pdu.Reader
	limits pdu.Limits
	cfg    *Config

	wake  chan struct{} // one value when the queue may hold something
	ended chan struct{} // closed by fail
	wg    sync.WaitGroup
	heard atomic.Uint64 // bytes received

	mu        sync.Mutex // guards what follows
	err       error      // why it ended
	leaving   bool       // takes no more commands
	cmdSN     uint32
	maxCmdSN  uint32
	expStatSN uint32
	nextITT   uint32
	tasks     map[uint32]*command // that were sent and not answered
	waiting   []*command          // for the target's window, or ours
	queue     []transfer
}

// A transfer is something that is to be sent: a command with the data that may go
// with it, a burst that the target asked for, or a PDU without a command.
type transfer struct {
	cmd  *command // nil for a PDU of its own
	h    pdu.Header
	data []byte // of a burst or a PDU of its own
	off  int    // of a burst
}

func newSession(c *Config, l *login) *session {
	s := &session{
		conn: l.conn, r: l.r, limits: l.limits, cfg: c,
		wake: make(chan struct{}, 1), ended: make(chan struct{}),
		cmdSN: l.cmdSN, maxCmdSN: l.maxCmdSN, expStatSN: l.expStatSN, nextITT: 1,
		tasks: map[uint32]*command{},
	}
	s.r.Hear(&s.heard)
	for _, run := range []func() error{s.send, s.receive, s.watch} {
		s.wg.Go(func() { s.fail(run()) })
	}
	return s
}

// do sends a command and waits until it is answered. An error is of the session
// or of ctx, not of the command. When do returns nothing uses the command's data.
func (s *session) do(ctx context.Context, c *command, timeout time.Duration) error {
	if err := s.start(c); err != nil {
		return err
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		select {
		case <-c.done:
			return c.err
		case <-ctx.Done():
			return s.abandon(c, context.Cause(ctx))
		case <-timer.C:
			if left := s.timeLeft(c, timeout); left > 0 {
				timer.Reset(left)
				continue
			}
			return s.abandon(c, lostError{errTimeout})
		}
	}
}

// start queues a command.
func (s *session) start(c *command) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if s.leaving {
		return lostError{errLeaving}
	}
	s.waiting = append(s.waiting, c)
	s.pump()
	return nil
}

// pump gives commands that wait to the sender, as far as the windows allow.
func (s *session) pump() {
	n := 0
	for _, c := range s.waiting {
		immediate := c.h.Immediate()
		if !immediate && (len(s.tasks) >= s.cfg.QueueDepth || pdu.Before(s.maxCmdSN, s.cmdSN)) {
			break
		}
		n++
		s.admit(c)
	}
	if n > 0 {
		s.waiting = append(s.waiting[:0], s.waiting[n:]...)
		s.ring()
	}
}

// admit numbers a command and queues it for the sender.
func (s *session) admit(c *command) {
	if s.nextITT == pdu.None {
		s.nextITT = 1
	}
	c.h.SetITT(s.nextITT)
	s.nextITT++
	c.h.SetCmdSN(s.cmdSN)
	if !c.h.Immediate() {
		s.cmdSN++
	}
	c.began = time.Now()
	c.refs++
	s.tasks[c.h.ITT()] = c
	s.queue = append(s.queue, transfer{cmd: c, h: c.h})
}

// post queues a PDU that no command waits for.
func (s *session) post(h pdu.Header, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) > maxQueue {
		return protocolError("the target asks more than it lets this side answer")
	}
	h.SetCmdSN(s.cmdSN)
	s.queue = append(s.queue, transfer{h: h, data: data})
	s.ring()
	return nil
}

// maxQueue is more than commands and their bursts come to.
const maxQueue = 4096

func (s *session) ring() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *session) timeLeft(c *command, timeout time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.began.IsZero() {
		return timeout
	}
	return timeout - time.Since(c.began)
}

// finish marks a command as done. The waiter is told when nobody uses its data.
func (s *session) finish(c *command, err error) {
	if c.over {
		return
	}
	c.over, c.err = true, err
	delete(s.tasks, c.h.ITT())
	kept := s.queue[:0]
	for _, t := range s.queue {
		if t.cmd == c {
			c.refs--
		} else {
			kept = append(kept, t)
		}
	}
	clear(s.queue[len(kept):])
	s.queue = kept
	if c.refs == 0 {
		c.done <- struct{}{}
	}
	if s.err == nil {
		s.pump()
		s.leaveIfIdle()
	}
}

// release gives up a use of a command's data.
func (s *session) release(c *command) {
	c.refs--
	if c.over && c.refs == 0 {
		c.done <- struct{}{}
	}
}

// fail ends the session; only the first reason counts.
func (s *session) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	if err != errClosed {
		err = lostError{err}
	}
	s.err = err
	s.conn.Close()
	close(s.ended)
	for _, c := range s.waiting {
		c.over, c.err = true, err
		c.done <- struct{}{}
	}
	s.waiting = nil
	for _, c := range s.tasks {
		s.finish(c, err)
	}
}

func (s *session) alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err == nil && !s.leaving
}

// close ends the session and waits until all of it is gone.
func (s *session) close(err error) {
	s.fail(err)
	s.wg.Wait()
}

// watch asks a silent target for a sign of life, and gives it up if there is none.
func (s *session) watch() error {
	tick := time.NewTicker(s.cfg.KeepAlive)
	defer tick.Stop()
	var before uint64
	asked := false
	for {
		select {
		case <-s.ended:
			return nil
		case <-tick.C:
		}
		switch now := s.heard.Load(); {
		case now != before:
			before, asked = now, false
		case asked:
			return errSilent
		default:
			asked = true
			s.ping()
		}
	}
}

// ping asks the target to answer. Nobody waits for the answer itself.
func (s *session) ping() {
	c := otherCommand(pdu.NopOut, 0)
	c.h.SetImmediate()
	c.h.SetTTT(pdu.None)
	_ = s.startUrgent(c) // if it fails the session has ended
}

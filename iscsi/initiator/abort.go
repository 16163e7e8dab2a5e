package initiator

import (
	"fmt"
	"time"

	"github.com/ferrule/ferrule/iscsi/internal/pdu"
)

// abortTask is the function of a task management request (RFC 7143, 11.5.1).
const abortTask = 1

// abandon ends a command before it is answered, because of err: one that waits is
// taken back, one that was sent is aborted. A target that does not abort it soon
// loses the session. If the answer comes first, it counts.
func (s *session) abandon(c *command, err error) error {
	s.mu.Lock()
	sent := !c.began.IsZero() && !c.over
	if !sent && !c.over {
		s.takeBack(c, err)
	}
	abort := otherCommand(pdu.TaskRequest, abortTask)
	abort.h.SetImmediate()
	abort.h.SetLUN(c.h.LUN())
	abort.h.SetTTT(c.h.ITT())         // the task to abort
	abort.h.SetWindow(0, c.h.CmdSN()) // its CmdSN, in MaxCmdSN's place
	s.mu.Unlock()

	timer := time.NewTimer(abortTime)
	defer timer.Stop()
	if sent {
		_ = s.startUrgent(abort) // without the session c is done as well
	}
	for {
		select {
		case <-c.done:
			if c.err == nil {
				return nil
			}
			return err
		case <-abort.done:
			if abort.err == nil && abort.response[2] > 1 {
				s.fail(fmt.Errorf("the target does not abort a command: response %d", abort.response[2]))
				continue
			}
			s.mu.Lock()
			s.finish(c, err)
			s.mu.Unlock()
		case <-timer.C:
			s.fail(errSilent)
		}
	}
}

// startUrgent is start for what a session that is being left takes as well.
func (s *session) startUrgent(c *command) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.admit(c)
	s.ring()
	return nil
}

// takeBack finishes a command that was not sent.
func (s *session) takeBack(c *command, err error) {
	for i, w := range s.waiting {
		if w == c {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			break
		}
	}
	c.over, c.err = true, err
	c.done <- struct{}{}
}

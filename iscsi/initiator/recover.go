package initiator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ferrule/ferrule/iscsi/internal/scsi"
	"github.com/ferrule/ferrule/task"
)

const (
	maxAttempts = 64 // of one command, while others succeed
	maxAborted  = 5  // times that the target itself aborts it
	firstPause  = 100 * time.Millisecond
	longPause   = 2 * time.Second
)

func pause(ctx context.Context, n int) error {
	timer := time.NewTimer(min(firstPause<<min(n, 10), longPause))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// do carries a SCSI command out, in another session if need be.
func (l *link) do(ctx context.Context, c *command, timeout time.Duration) error {
	began := time.Now()
	aborted, busy := 0, 0
	for range maxAttempts {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s, err := l.session(ctx)
		if err != nil {
			return err
		}
		c.reset()
		err = s.do(ctx, c, timeout)
		if isLost(err) && ctx.Err() == nil && l.cfg.RecoveryTime > 0 {
			continue
		}
		if err != nil {
			return l.reason(err)
		}
		err = c.failure()
		if err == nil && c.in != nil && c.got < len(c.in) {
			err = &shortError{opNames[c.h.CDB()[0]]}
		}
		if err == nil {
			l.succeeded(s)
			return nil
		}
		switch verdict(err) {
		case again:
			if changesUnit(err) {
				s.fail(err) // the next session has a look at the disk
			}
		case later:
			if time.Since(began) > l.cfg.RecoveryTime {
				return err
			}
			if pauseErr := pause(ctx, busy); pauseErr != nil {
				return pauseErr
			}
			busy++
		case aborts:
			if aborted++; aborted > maxAborted {
				return err
			}
		default:
			return err
		}
	}
	return fmt.Errorf("%w %d times during one command", ErrLost, maxAttempts)
}

// reason is what a caller is told of a session's end.
func (l *link) reason(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	if isLost(err) {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return err
}

// What to do about a command that failed.
const (
	never = iota
	again
	later
	aborts
)

func verdict(err error) int {
	var e *CommandError
	if !errors.As(err, &e) {
		return never
	}
	switch {
	case e.Status == scsi.Busy || e.Status == scsi.TaskSetFull:
		return later
	case e.Status == scsi.TaskAborted:
		return aborts
	case e.Status != scsi.CheckCondition:
		return never
	case e.Key == scsi.UnitAttention:
		return again
	case e.Key == scsi.AbortedCommand:
		return aborts
	case e.Key == scsi.NotReady && e.ASC == 4 && e.ASCQ == 1:
		return later
	}
	return never
}

// changesUnit reports whether a unit attention says that the disk is not what it was.
func changesUnit(err error) bool {
	var e *CommandError
	return errors.As(err, &e) && (e.ASC == 0x2a && e.ASCQ == 9 || e.ASC == 0x3f)
}

// succeeded notes that s works.
func (l *link) succeeded(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s == l.sess && !l.recovering {
		l.broken = time.Time{}
	}
}

// session returns a session that works, and waits for it if it must.
func (l *link) session(ctx context.Context) (*session, error) {
	for {
		l.mu.Lock()
		if l.err != nil {
			defer l.mu.Unlock()
			return nil, l.err
		}
		if !l.recovering {
			if l.sess.alive() {
				defer l.mu.Unlock()
				return l.sess, nil
			}
			l.recovering = true
			if l.broken.IsZero() {
				l.broken = time.Now()
			}
			l.wg.Go(l.recover)
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// notify wakes those who wait in session.
func (l *link) notify() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// recover makes a new session in place of one that has ended, or gives up.
func (l *link) recover() {
	s, err := l.relogin()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recovering = false
	if err == nil {
		l.sess = s
	} else if l.err == nil {
		l.err = err
	}
	l.notify()
}

func (l *link) relogin() (*session, error) {
	l.mu.Lock()
	old, broken := l.sess, l.broken
	l.mu.Unlock()
	if err := old.leftFor(); err != nil {
		l.cfg.Logger.Warn("iSCSI connection lost", "portal", l.cfg.Portal, "target", l.cfg.Target, "err", err)
	}
	old.close(errClosed)
	last := old.reason()
	for n := 0; ; n++ {
		left := l.cfg.RecoveryTime - time.Since(broken)
		if left <= 0 {
			return nil, fmt.Errorf("%w and not got back within %s: %w", ErrLost, l.cfg.RecoveryTime, last)
		}
		ctx, cancel := context.WithTimeoutCause(l.stopped, left, task.ErrTimeout)
		s, u, err := l.login(ctx)
		cancel()
		switch {
		case l.stopped.Err() != nil:
			if err == nil {
				s.close(errClosed)
			}
			return nil, errClosed
		case err == nil && !u.same(&l.unit):
			s.close(errClosed)
			return nil, fmt.Errorf("%w: it was %s and is %s", ErrChanged, &l.unit, &u)
		case err == nil:
			l.cfg.Logger.Info("iSCSI connection made again", "portal", l.cfg.Portal, "target", l.cfg.Target, "attempts", n+1)
			return s, nil
		case errors.Is(err, ErrAuth):
			return nil, err
		}
		last = err
		if pause(l.stopped, n) != nil {
			return nil, errClosed
		}
	}
}

func (s *session) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// leftFor is why a session ended, nil if the target asked for that.
func (s *session) leftFor() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.err, errLeaving) || s.leaving {
		return nil
	}
	return s.err
}

// login makes a session and looks at the disk.
func (l *link) login(ctx context.Context) (*session, unit, error) {
	s, err := connect(ctx, &l.cfg, l.isid)
	if err != nil {
		return nil, unit{}, err
	}
	u, err := s.probe(ctx)
	if err != nil {
		if ctx.Err() == nil && !isLost(err) {
			_ = s.logout(ctx) // the probe's error says more
		}
		s.close(errClosed)
		return nil, u, err
	}
	return s, u, nil
}

package target

import "github.com/ferrule/ferrule/iscsi/internal/pdu"

// Functions of task management (RFC 7143, 11.5.1) and its answers.
const (
	abortTask    = 1
	abortTaskSet = 2
	resetUnit    = 5
	resetWarm    = 6

	tmfDone        = 0
	tmfNoTask      = 1
	tmfUnsupported = 5
)

// manage aborts tasks.
func (s *session) manage(h *pdu.Header) {
	answer := byte(tmfDone)
	switch h.Flags() & 0x7f {
	case abortTask:
		if s.abortSlow(h) {
			return
		}
		if s.tasks[h.TTT()] == nil {
			answer = tmfNoTask
			break
		}
		s.drop(h.TTT())
	case abortTaskSet, resetUnit, resetWarm:
		for itt := range s.tasks {
			s.drop(itt)
		}
	default:
		answer = tmfUnsupported
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.managed(h, answer)
}

func (s *session) managed(h *pdu.Header, answer byte) {
	r := pdu.New(pdu.TaskResponse, pdu.Final, h.ITT())
	r[2] = answer
	s.sendLocked(&r, nil, true)
}

func (s *session) abortSlow(h *pdu.Header) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	task := s.slow[h.TTT()]
	if task == nil {
		return false
	}
	abort := *h
	task.abort = &abort
	return true
}

// drop forgets a write. Data for it that is on its way is ignored.
func (s *session) drop(itt uint32) {
	delete(s.tasks, itt)
	s.mu.Lock()
	s.active--
	s.mu.Unlock()
}

// A slowTask is a command in the background. abort is the request to abort it,
// which is answered in its place when it has ended.
type slowTask struct{ abort *pdu.Header }

// inBackground runs what may take long, after all of a command's data has come,
// and answers then.
func (s *session) inBackground(h pdu.Header, run func() error) {
	h.SetTransferLen(0) // there is no residual
	task := &slowTask{}
	s.mu.Lock()
	if s.slow == nil {
		s.slow = map[uint32]*slowTask{}
	}
	s.slow[h.ITT()] = task
	s.mu.Unlock()
	s.background.Go(func() {
		err := run()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.slow, h.ITT())
		if task.abort != nil {
			s.active--
			s.managed(task.abort, tmfDone)
		} else {
			s.respondLocked(&h, result{err: err})
		}
		if s.b.Flush(s.conn) != nil {
			s.conn.Close() // which the reader sees
		}
	})
}

package target

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/ferrule/ferrule/iscsi/internal/pdu"
	"github.com/ferrule/ferrule/iscsi/internal/scsi"
)

// window is how many commands an initiator may have under way.
const window = 128

// A session is an initiator in its full feature phase. One goroutine takes what
// comes, in its order; what may take long runs in goroutines of its own.
type session struct {
	t         *Target
	conn      net.Conn
	r         *pdu.Reader
	limits    pdu.Limits
	initiator string
	key       string // tells the initiator's ports apart
	tsih      uint16
	discovery bool
	ended     chan struct{} // closed when nothing of it is left

	tasks map[uint32]*write // by initiator task tag
	ttt   uint32
	room  []byte // for what is read

	background sync.WaitGroup

	mu       sync.Mutex // guards what follows, and writing to conn
	b        pdu.Batch
	statSN   uint32
	expCmdSN uint32
	active   int                  // commands that are not answered
	slow     map[uint32]*slowTask // in the background, by initiator task tag
}

// A slowTask is a command in the background. abort is the request to abort it,
// which is answered in its place when it has ended.
type slowTask struct{ abort *pdu.Header }

func protocolError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", pdu.ErrProtocol, fmt.Sprintf(format, args...))
}

var errLogout = errors.New("logout")

// serve does what the initiator asks for until it logs out.
func (s *session) serve() error {
	for {
		if s.r.Buffered() < pdu.HeaderLen {
			if err := s.flush(); err != nil {
				return err
			}
		}
		h, err := s.r.Next()
		if err == nil {
			err = s.handle(h)
		}
		switch {
		case err == errLogout:
			return s.flush()
		case errors.Is(err, io.EOF):
			return errors.New("closed without a logout")
		case err != nil:
			return err
		}
	}
}

func (s *session) handle(h *pdu.Header) error {
	op := h.Opcode()
	if op != pdu.DataOut && !h.Immediate() {
		if err := s.number(h); err != nil {
			return err
		}
	}
	if s.discovery && op != pdu.Text && op != pdu.Logout && op != pdu.NopOut {
		return protocolError("PDU %02xh in a discovery session", byte(op))
	}
	switch op {
	case pdu.Command:
		return s.command(h)
	case pdu.DataOut:
		return s.dataOut(h)
	case pdu.NopOut:
		return s.nopOut(h)
	case pdu.TaskRequest:
		s.manage(h)
		return nil
	case pdu.Text:
		return s.text(h)
	case pdu.Logout:
		s.background.Wait()
		s.t.forget(s) // before the initiator learns that it is logged out
		r := pdu.New(pdu.LogoutResponse, pdu.Final, h.ITT())
		s.send(&r, nil, true)
		return errLogout
	}
	return protocolError("PDU %02xh", byte(op))
}

// number checks that a command comes in its turn.
func (s *session) number(h *pdu.Header) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.CmdSN() != s.expCmdSN {
		return protocolError("command %d where %d was due", h.CmdSN(), s.expCmdSN)
	}
	s.expCmdSN++
	return nil
}

// send queues a PDU; status says that it takes a status number.
func (s *session) send(h *pdu.Header, data []byte, status bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sendLocked(h, data, status)
}

func (s *session) sendLocked(h *pdu.Header, data []byte, status bool) {
	h.SetStatSN(s.statSN)
	if status {
		s.statSN++
	}
	h.SetWindow(s.expCmdSN, s.expCmdSN+window-1-uint32(s.active))
	s.b.Add(h, data)
}

func (s *session) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Flush(s.conn)
}

// nopOut answers a ping.
func (s *session) nopOut(h *pdu.Header) error {
	data, err := s.r.Data()
	if err != nil || h.ITT() == pdu.None {
		return err
	}
	r := pdu.New(pdu.NopIn, pdu.Final, h.ITT())
	r.SetLUN(h.LUN())
	r.SetTTT(pdu.None)
	s.send(&r, bytes.Clone(data[:min(len(data), s.limits.MaxSend)]), true)
	return nil
}

// text answers SendTargets.
func (s *session) text(h *pdu.Header) error {
	data, err := s.r.Data()
	if err != nil {
		return err
	}
	p, err := pdu.ParseText(data)
	if err != nil {
		return err
	}
	var answer pdu.Pairs
	for _, x := range p {
		switch {
		case x.Key != "SendTargets":
			answer.Add(x.Key, "NotUnderstood")
		case x.Value == "All" && s.discovery || x.Value == "" && !s.discovery || x.Value == s.t.Name:
			answer.Add("TargetName", s.t.Name)
			answer.Add("TargetAddress", s.conn.LocalAddr().String()+",1")
		}
	}
	r := pdu.New(pdu.TextResponse, pdu.Final, h.ITT())
	r.SetTTT(pdu.None)
	s.send(&r, answer.Bytes(), true)
	return nil
}

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

// A result is how a command ended: moved are the bytes that the initiator sent
// or will have received, whole those that the command is about.
type result struct {
	err          error
	moved, whole int
}

// respond ends a command.
func (s *session) respond(h *pdu.Header, res result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.respondLocked(h, res)
}

func (s *session) respondLocked(h *pdu.Header, res result) {
	s.active--
	r := pdu.New(pdu.Response, pdu.Final, h.ITT())
	setResidual(&r, h, res)
	var data []byte
	if res.err != nil {
		if errors.Is(res.err, ErrBusy) {
			r[3] = scsi.Busy
		} else {
			r[3] = scsi.CheckCondition
			sense := senseOf(res.err).Bytes()
			data = append([]byte{0, byte(len(sense))}, sense...)
		}
	}
	s.sendLocked(&r, data, true)
}

// setResidual says how far the data that was moved is from what the initiator
// expected.
func setResidual(r, h *pdu.Header, res result) {
	expected := int(h.TransferLen())
	switch {
	case res.err == nil && res.whole > expected:
		r[1] |= pdu.Overflow
		r.SetResidual(uint32(res.whole - expected))
	case res.moved < expected:
		r[1] |= pdu.Underflow
		r.SetResidual(uint32(expected - res.moved))
	}
}

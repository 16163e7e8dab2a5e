package initiator

import (
	"bytes"
	"fmt"
	"time"

	"github.com/ferrule/ferrule/iscsi/internal/pdu"
)

func protocolError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", pdu.ErrProtocol, fmt.Sprintf(format, args...))
}

// receive takes what the target sends, until the connection or the target fails.
func (s *session) receive() error {
	for {
		h, err := s.r.Next()
		if err != nil {
			return err
		}
		switch h.Opcode() {
		case pdu.DataIn:
			err = s.dataIn(h)
		case pdu.R2T:
			err = s.r2t(h)
		case pdu.Response, pdu.TaskResponse, pdu.LogoutResponse, pdu.TextResponse:
			err = s.answered(h)
		case pdu.NopIn:
			err = s.nopIn(h)
		case pdu.Async:
			err = s.async(h)
		case pdu.Reject:
			err = protocolError("the target rejected a PDU for reason %02xh", h[2])
		default:
			err = protocolError("PDU %02xh", byte(h.Opcode()))
		}
		if err != nil {
			return err
		}
	}
}

// note takes over the numbers that every PDU of a target has. A status that is
// missed is lost with its command.
func (s *session) note(h *pdu.Header, status bool) error {
	if exp, last := h.ExpCmdSN(), h.MaxCmdSN(); !pdu.Before(last, exp-1) && pdu.Before(s.maxCmdSN, last) {
		s.maxCmdSN = last
		s.pump()
	}
	if !status {
		return nil
	}
	if sn := h.StatSN(); sn != s.expStatSN {
		return protocolError("status %d where %d was due", sn, s.expStatSN)
	}
	s.expStatSN++
	return nil
}

// task returns the command that a PDU answers, which must be of the kind that op sends.
func (s *session) task(h *pdu.Header, op pdu.Opcode) (*command, error) {
	c := s.tasks[h.ITT()]
	if c == nil || c.h.Opcode() != op {
		return nil, protocolError("PDU %02xh for task %08xh, which is not there", byte(h.Opcode()), h.ITT())
	}
	return c, nil
}

// dataIn takes a part of what a command reads, and its status if that comes along.
func (s *session) dataIn(h *pdu.Header) error {
	off, n, status := int(h.Offset()), h.DataLen(), h.Flags()&pdu.HasStatus != 0
	s.mu.Lock()
	c, err := s.task(h, pdu.Command)
	if err == nil {
		err = s.note(h, status)
	}
	if err == nil && (off != c.got || n > len(c.in)-off) {
		err = protocolError("%d bytes at %d of a read where %d of %d have come", n, off, c.got, len(c.in))
	}
	if err != nil {
		s.mu.Unlock()
		return err
	}
	c.refs++
	s.mu.Unlock()

	err = s.r.DataInto(c.in[off : off+n])

	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		c.got += n
		if status {
			c.response = *h
			s.finish(c, nil)
		}
	}
	s.release(c)
	return err
}

// r2t queues the burst that the target is ready for.
func (s *session) r2t(h *pdu.Header) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.task(h, pdu.Command)
	if err != nil {
		return err
	}
	if err := s.note(h, false); err != nil {
		return err
	}
	off, n := int(h.Offset()), int(h.Desired())
	if off != c.next || n == 0 || n > len(c.out)-off || n > s.limits.MaxBurst || c.bursts >= s.limits.MaxR2T {
		return protocolError("asked for %d bytes at %d of a write where %d of %d were", n, off, c.next, len(c.out))
	}
	c.next += n
	c.bursts++
	c.refs++
	t := transfer{cmd: c, h: c.h, data: c.out[off : off+n], off: off}
	t.h.SetTTT(h.TTT())
	s.queue = append(s.queue, t)
	s.ring()
	return nil
}

// requests are what the responses answer.
var requests = map[pdu.Opcode]pdu.Opcode{
	pdu.Response: pdu.Command, pdu.TaskResponse: pdu.TaskRequest, pdu.LogoutResponse: pdu.Logout, pdu.TextResponse: pdu.Text,
}

// answered finishes a command with its response.
func (s *session) answered(h *pdu.Header) error {
	data, err := s.r.Data()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.task(h, requests[h.Opcode()])
	if err != nil {
		return err
	}
	if err := s.note(h, true); err != nil {
		return err
	}
	if h.Opcode() == pdu.Response && h[2] != 0 {
		return protocolError("the target failed a command with response %02xh", h[2])
	}
	c.response, c.answer = *h, bytes.Clone(data)
	s.finish(c, nil)
	if h.Opcode() == pdu.LogoutResponse && s.leaving {
		return errLeaving
	}
	return nil
}

// nopIn answers a target that asks, and takes its answers.
func (s *session) nopIn(h *pdu.Header) error {
	data, err := s.r.Data()
	if err != nil {
		return err
	}
	s.mu.Lock()
	if err = s.note(h, h.ITT() != pdu.None); err == nil && h.ITT() != pdu.None {
		var c *command
		if c, err = s.task(h, pdu.NopOut); err == nil {
			s.finish(c, nil)
		}
	}
	s.mu.Unlock()
	if err != nil || h.TTT() == pdu.None || h.ITT() != pdu.None {
		return err
	}
	pong := pdu.New(pdu.NopOut, pdu.Final, pdu.None)
	pong.SetImmediate()
	pong.SetLUN(h.LUN())
	pong.SetTTT(h.TTT())
	return s.post(pong, bytes.Clone(data))
}

// Events of an asynchronous message.
const (
	eventLogout      = 1
	eventDrop        = 2
	eventDropAll     = 3
	eventNegotiation = 4
)

// async does what the target asks for on its own account.
func (s *session) async(h *pdu.Header) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.note(h, true); err != nil {
		return err
	}
	switch event := h[36]; event {
	case eventDrop, eventDropAll:
		return fmt.Errorf("the target drops the connection (event %d)", event)
	case eventLogout, eventNegotiation:
		// The same session could be negotiated anew; a new one always can.
		s.leave()
	}
	return nil
}

// leave takes no more commands, and logs out when those under way are done.
func (s *session) leave() {
	if s.leaving {
		return
	}
	s.leaving = true
	for _, c := range s.waiting {
		c.over, c.err = true, lostError{errLeaving}
		c.done <- struct{}{}
	}
	s.waiting = nil
	s.leaveIfIdle()
}

func (s *session) leaveIfIdle() {
	if s.leaving && len(s.tasks) == 0 {
		c := logoutCommand()
		s.admit(c)
		c.began = time.Now()
		s.ring()
	}
}

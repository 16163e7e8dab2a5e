package target

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ferrule/ferrule/iscsi/internal/chap"
	"github.com/ferrule/ferrule/iscsi/internal/pdu"
)

const (
	loginTime   = 30 * time.Second
	maxRounds   = 32
	fullFeature = 3
)

// A refusal is a login that is refused, with its status (RFC 7143, 11.13.5).
type refusal struct {
	class, detail byte
	why           string
}

func (r *refusal) Error() string { return r.why }

func refuse(detail byte, why string) error { return &refusal{2, detail, why} }

// A login is a connection on its way to a session.
type login struct {
	t *Target
	s *session

	pending   []byte // text that goes on in the next PDU
	named     bool   // the initiator has said who it is and what it wants
	trusted   bool   // security is done
	asked     *chap.Challenge
	algorithm int
	declared  bool // our MaxRecvDataSegmentLength
	header    bool // digests that hold from full feature phase on
	data      bool
}

// login takes a connection to its full feature phase.
func (t *Target) login(conn net.Conn) (*session, error) {
	conn.SetDeadline(time.Now().Add(loginTime))
	s := &session{t: t, conn: conn, r: pdu.NewReader(conn, 8192), limits: t.limits(), statSN: 1, ended: make(chan struct{})}
	l := &login{t: t, s: s, trusted: t.CHAP == nil}
	for range maxRounds {
		h, err := s.r.Next()
		if err != nil {
			return nil, err
		}
		if h.Opcode() != pdu.Login {
			return nil, fmt.Errorf("%w: PDU %02xh before login", pdu.ErrProtocol, byte(h.Opcode()))
		}
		done, err := l.round(h)
		if err != nil || done {
			conn.SetDeadline(time.Time{})
			return s, err
		}
	}
	return nil, fmt.Errorf("%w: the login does not come to an end", pdu.ErrProtocol)
}

// round answers one request.
func (l *login) round(h *pdu.Header) (done bool, err error) {
	text, err := l.s.r.Data()
	if err != nil {
		return false, err
	}
	flags := h.Flags()
	l.s.expCmdSN = h.CmdSN()
	if len(l.pending)+len(text) > pdu.MaxText {
		return false, l.reply(h, 0, nil, refuse(0, "too much text"))
	}
	l.pending = append(l.pending, text...)
	if flags&pdu.Continue != 0 {
		return false, l.reply(h, flags&0x0c, nil, nil)
	}
	p, err := pdu.ParseText(l.pending)
	l.pending = nil
	if err != nil {
		return false, l.reply(h, 0, nil, refuse(0, err.Error()))
	}
	answer, err := l.answer(h, p)
	if err != nil {
		return false, l.reply(h, 0, nil, err)
	}
	stage, next := flags>>2&3, flags&3
	out := stage << 2
	if move := flags&pdu.Transit != 0 && l.trusted; move {
		if next <= stage || next == 2 {
			return false, l.reply(h, 0, nil, refuse(0x0b, "no such stage"))
		}
		out |= pdu.Transit | next
		done = next == fullFeature
	}
	if done {
		l.finish()
	}
	if err := l.reply(h, out, answer, nil); err != nil {
		if done {
			l.t.remove(l.s)
		}
		return false, err
	}
	if done {
		l.s.b.HeaderDigest, l.s.b.DataDigest = l.header, l.data
		l.s.r.HeaderDigest, l.s.r.DataDigest = l.header, l.data
		l.s.r.Grow(l.s.limits.MaxRecv)
	}
	return done, nil
}

// finish makes the session the one of its initiator port.
func (l *login) finish() {
	l.s.limits.FirstBurst = min(l.s.limits.FirstBurst, l.s.limits.MaxBurst)
	l.s.tasks = map[uint32]*write{}
	l.t.add(l.s)
}

// answer does what the text of a request asks for.
func (l *login) answer(h *pdu.Header, p pdu.Pairs) (answer pdu.Pairs, err error) {
	if !l.named {
		if err := l.name(h, p); err != nil {
			return nil, err
		}
		answer.Add("TargetPortalGroupTag", "1")
	}
	if stage := h.Flags() >> 2 & 3; stage == 0 {
		err = l.security(p, &answer)
		return answer, err
	} else if stage != 1 {
		return nil, refuse(0x0b, "no such stage")
	}
	if !l.trusted {
		return nil, refuse(1, "the initiator has not proved who it is")
	}
	return answer, l.operational(p, &answer)
}

// name reads who the initiator is and what it wants.
func (l *login) name(h *pdu.Header, p pdu.Pairs) error {
	name, _ := p.Get("InitiatorName")
	if name == "" {
		return refuse(7, "no InitiatorName")
	}
	l.s.initiator = name
	l.s.key = name + "," + chap.Encode(h[8:14])
	kind, ok := p.Get("SessionType")
	wanted, _ := p.Get("TargetName")
	switch {
	case kind == "Discovery":
		l.s.discovery = true
		l.s.key += ",discovery"
	case ok && kind != "Normal":
		return refuse(9, "no such session type")
	case wanted == "":
		return refuse(7, "no TargetName")
	case wanted != l.t.Name:
		return refuse(3, "no such target")
	}
	if h[14] != 0 || h[15] != 0 {
		return refuse(0x0a, "no such session")
	}
	l.named = true
	return nil
}

// security authenticates the initiator.
func (l *login) security(p pdu.Pairs, answer *pdu.Pairs) error {
	if methods, ok := p.Get("AuthMethod"); ok {
		want := "None"
		if l.t.CHAP != nil {
			want = "CHAP"
		}
		if !slices.Contains(strings.Split(methods, ","), want) {
			return refuse(1, "the initiator does not offer "+want)
		}
		answer.Add("AuthMethod", want)
	}
	if offer, ok := p.Get("CHAP_A"); ok && l.t.CHAP != nil {
		l.algorithm = chap.Choose(offer)
		if l.algorithm == 0 {
			return refuse(1, "no common algorithm")
		}
		c := chap.NewChallenge(l.algorithm)
		l.asked = &c
		answer.Add("CHAP_A", strconv.Itoa(l.algorithm))
		answer.Add("CHAP_I", strconv.Itoa(int(c.ID)))
		answer.Add("CHAP_C", chap.Encode(c.Bytes))
	}
	if response, ok := p.Get("CHAP_R"); ok && l.asked != nil {
		return l.prove(p, response, answer)
	}
	return nil
}

// prove checks the initiator's response, and makes our own if it asks for one.
func (l *login) prove(p pdu.Pairs, response string, answer *pdu.Pairs) error {
	creds, asked := l.t.CHAP, l.asked
	l.asked = nil // one attempt each
	if user, _ := p.Get("CHAP_N"); !asked.Check(response, string(creds.Secret)) || user != creds.User {
		return refuse(1, "wrong user or secret")
	}
	if text, ok := p.Get("CHAP_C"); ok {
		id, _ := p.Get("CHAP_I")
		c, err := chap.ParseChallenge(l.algorithm, id, text)
		if err != nil || creds.OwnSecret == "" || text == chap.Encode(asked.Bytes) {
			return refuse(1, "cannot prove the target's identity")
		}
		answer.Add("CHAP_N", creds.OwnUser)
		answer.Add("CHAP_R", chap.Encode(c.Answer(string(creds.OwnSecret))))
	}
	l.trusted = true
	return nil
}

// operational settles the session's parameters.
func (l *login) operational(p pdu.Pairs, answer *pdu.Pairs) error {
	for _, x := range p {
		switch x.Key {
		case "InitiatorName", "InitiatorAlias", "TargetName", "SessionType":
		case "HeaderDigest", "DataDigest":
			value := chooseDigest(x.Value)
			if x.Key == "HeaderDigest" {
				l.header = value == "CRC32C"
			} else {
				l.data = value == "CRC32C"
			}
			answer.Add(x.Key, value)
		default:
			value, known, err := l.s.limits.Meet(x.Key, x.Value)
			if err != nil {
				return refuse(0, err.Error())
			}
			if !known {
				value = "NotUnderstood"
			}
			if value != "" {
				answer.Add(x.Key, value)
			}
		}
	}
	if !l.declared {
		l.declared = true
		answer.Add("MaxRecvDataSegmentLength", strconv.Itoa(l.s.limits.MaxRecv))
	}
	return nil
}

func chooseDigest(offer string) string {
	for name := range strings.SplitSeq(offer, ",") {
		if name == "None" || name == "CRC32C" {
			return name
		}
	}
	return "Reject"
}

// reply sends an answer, or the refusal that err is, and returns that.
func (l *login) reply(h *pdu.Header, flags byte, p pdu.Pairs, err error) error {
	r := pdu.New(pdu.LoginResponse, flags, h.ITT())
	copy(r[8:14], h[8:14])
	r[14], r[15] = byte(l.s.tsih>>8), byte(l.s.tsih)
	r.SetStatSN(l.s.statSN)
	l.s.statSN++
	r.SetWindow(l.s.expCmdSN, l.s.expCmdSN+window-1)
	var no *refusal
	if errors.As(err, &no) {
		r[36], r[37] = no.class, no.detail
	}
	l.s.b.Add(&r, p.Bytes())
	if sendErr := l.s.b.Flush(l.s.conn); err == nil {
		err = sendErr
	}
	return err
}

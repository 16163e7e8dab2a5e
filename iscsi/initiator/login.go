package initiator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/ferrule/ferrule/iscsi/internal/chap"
	"github.com/ferrule/ferrule/iscsi/internal/pdu"
	"github.com/ferrule/ferrule/task"
)

const (
	maxRecv      = 256 << 10 // what this side takes in one PDU
	maxTransfer  = 1 << 20   // what one command transfers
	maxRounds    = 16        // of a login
	maxRedirects = 4
)

// Stages of a login.
const (
	securityStage    = 0
	operationalStage = 1
	fullFeature      = 3
)

// connect logs in to a normal session, or to a discovery session if Target is "".
func connect(ctx context.Context, c *Config, id isid) (*session, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.LoginTimeout, fmt.Errorf("login: %w", task.ErrTimeout))
	defer cancel()
	portal := c.Portal
	for range maxRedirects {
		conn, err := c.Dial(ctx, "tcp", portal)
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return nil, lostError{err}
		}
		l := &login{cfg: c, conn: conn, r: pdu.NewReader(conn, maxRecv), isid: id}
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		err = l.run()
		if !stop() {
			err = lostError{context.Cause(ctx)}
		}
		if err == nil {
			return newSession(c, l), nil
		}
		conn.Close()
		if l.movedTo == "" {
			return nil, err
		}
		portal = l.movedTo
	}
	return nil, fmt.Errorf("%w: redirected more than %d times", pdu.ErrProtocol, maxRedirects)
}

// A login is a connection on its way to the full feature phase.
type login struct {
	cfg  *Config
	conn net.Conn
	r    *pdu.Reader
	isid isid

	limits    pdu.Limits
	expStatSN uint32
	cmdSN     uint32
	maxCmdSN  uint32
	movedTo   string // where the target wants to be asked instead
}

func (l *login) run() error {
	l.cmdSN = 1
	l.r.MaxData = 8192 // until full feature phase
	if err := l.security(); err != nil {
		return err
	}
	return l.operational()
}

// security goes through the first stage.
func (l *login) security() error {
	var p pdu.Pairs
	p.Add("InitiatorName", l.cfg.Initiator)
	if l.cfg.Target == "" {
		p.Add("SessionType", "Discovery")
	} else {
		p.Add("SessionType", "Normal")
		p.Add("TargetName", l.cfg.Target)
	}
	if l.cfg.CHAP == nil {
		p.Add("AuthMethod", "None")
		_, err := l.transit(securityStage, operationalStage, p)
		return err
	}
	p.Add("AuthMethod", "CHAP")
	answer, _, err := l.exchange(securityStage, -1, p)
	if err != nil {
		return err
	}
	if method, _ := answer.Get("AuthMethod"); method != "CHAP" {
		return fmt.Errorf("%w: the target does not do CHAP", ErrAuth)
	}
	return l.chap()
}

// chap proves this side's identity, and has the other prove its own if asked for.
func (l *login) chap() error {
	answer, _, err := l.exchange(securityStage, -1, pdu.Pairs{{Key: "CHAP_A", Value: chap.Offer}})
	if err != nil {
		return err
	}
	algorithm, _ := answer.Get("CHAP_A")
	id, _ := answer.Get("CHAP_I")
	bytes, _ := answer.Get("CHAP_C")
	number, _ := strconv.Atoi(algorithm)
	asked, err := chap.ParseChallenge(number, id, bytes)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrAuth, err)
	}
	creds := l.cfg.CHAP
	p := pdu.Pairs{{Key: "CHAP_N", Value: creds.User}, {Key: "CHAP_R", Value: chap.Encode(asked.Answer(string(creds.Secret)))}}
	var ours chap.Challenge
	if creds.PeerSecret != "" {
		ours = chap.NewChallenge(number)
		p.Add("CHAP_I", strconv.Itoa(int(ours.ID)))
		p.Add("CHAP_C", chap.Encode(ours.Bytes))
	}
	answer, err = l.transit(securityStage, operationalStage, p)
	var refused *LoginError
	if errors.As(err, &refused) && refused.Class == 2 {
		err = fmt.Errorf("%w: %w", ErrAuth, err) // tgtd says "initiator error"
	}
	if err != nil || creds.PeerSecret == "" {
		return err
	}
	name, _ := answer.Get("CHAP_N")
	response, _ := answer.Get("CHAP_R")
	if (creds.PeerUser != "" && name != creds.PeerUser) || !ours.Check(response, string(creds.PeerSecret)) {
		return fmt.Errorf("%w: the target did not prove its own identity (mutual CHAP)", ErrAuth)
	}
	return nil
}

// operational settles the session's parameters.
func (l *login) operational() error {
	ours := pdu.Limits{MaxRecv: maxRecv, MaxSend: 8192, MaxBurst: pdu.MaxLength, FirstBurst: maxTransfer, MaxR2T: 16, ImmediateData: true}
	var offer, defaults pdu.Pairs
	offer.Add("HeaderDigest", digestOffer(l.cfg.HeaderDigest))
	offer.Add("DataDigest", digestOffer(l.cfg.DataDigest))
	ours.Offer(&offer)
	unsaid := pdu.DefaultLimits()
	unsaid.Offer(&defaults)
	answer, err := l.transit(operationalStage, fullFeature, offer)
	if err != nil {
		return err
	}
	l.limits = ours
	for _, o := range offer {
		value, said := answer.Get(o.Key)
		if !said || value == "Reject" || value == "Irrelevant" || value == "NotUnderstood" {
			value, _ = defaults.Get(o.Key)
		}
		switch o.Key {
		case "HeaderDigest":
			l.limits.HeaderDigest, err = digestAnswer(o.Key, value, l.cfg.HeaderDigest)
		case "DataDigest":
			l.limits.DataDigest, err = digestAnswer(o.Key, value, l.cfg.DataDigest)
		default:
			_, _, err = l.limits.Meet(o.Key, value)
		}
		if err != nil {
			return err
		}
	}
	l.limits.FirstBurst = min(l.limits.FirstBurst, l.limits.MaxBurst)
	l.r.HeaderDigest, l.r.DataDigest = l.limits.HeaderDigest, l.limits.DataDigest
	l.r.MaxData = maxRecv
	return nil
}

func digestOffer(insist bool) string {
	if insist {
		return "CRC32C"
	}
	return "None,CRC32C"
}

func digestAnswer(key, value string, insist bool) (bool, error) {
	switch {
	case value == "CRC32C":
		return true, nil
	case insist:
		return false, fmt.Errorf("the target does no %s", key)
	case value == "None" || value == "":
		return false, nil
	}
	return false, fmt.Errorf("%w: %s=%.20q", pdu.ErrProtocol, key, value)
}

// transit exchanges text until the target goes on to the next stage, and returns
// all that it said.
func (l *login) transit(stage, next int, p pdu.Pairs) (pdu.Pairs, error) {
	var all pdu.Pairs
	for range maxRounds {
		answer, moved, err := l.exchange(stage, next, p)
		if err != nil {
			return nil, err
		}
		p = nil
		for _, x := range answer {
			all = append(all, x)
			if !understood[x.Key] {
				p.Add(x.Key, "NotUnderstood")
			}
		}
		if moved {
			return all, nil
		}
	}
	return nil, fmt.Errorf("%w: the login does not come to an end", pdu.ErrProtocol)
}

// understood are the keys that may be in an answer without a question back.
var understood = map[string]bool{
	"HeaderDigest": true, "DataDigest": true, "MaxRecvDataSegmentLength": true, "InitialR2T": true, "ImmediateData": true, "MaxBurstLength": true,
	"FirstBurstLength": true, "MaxOutstandingR2T": true, "MaxConnections": true, "ErrorRecoveryLevel": true, "DataPDUInOrder": true,
	"DataSequenceInOrder": true, "DefaultTime2Wait": true, "DefaultTime2Retain": true, "TargetPortalGroupTag": true, "TargetAlias": true,
	"TargetAddress": true, "AuthMethod": true, "CHAP_N": true, "CHAP_R": true,
}

// exchange sends one request, with next below 0 as one that stays in its stage,
// and reads the whole answer.
func (l *login) exchange(stage, next int, p pdu.Pairs) (answer pdu.Pairs, moved bool, err error) {
	flags := byte(stage << 2)
	if next >= 0 {
		flags |= pdu.Transit | byte(next)
	}
	data := p.Bytes()
	var text []byte
	for range maxRounds {
		h, err := l.roundTrip(flags, data)
		if err != nil {
			return nil, false, err
		}
		part, err := l.r.Data()
		if err != nil {
			return nil, false, lostError{err}
		}
		if class, detail := h[36], h[37]; class != 0 {
			return nil, false, l.refused(class, detail, part)
		}
		text = append(text, part...)
		if h.Flags()&pdu.Continue == 0 {
			moved = h.Flags()&pdu.Transit != 0
			if moved && (next < 0 || int(h.Flags()&3) != next) {
				return nil, false, fmt.Errorf("%w: the target went on to another stage than was asked for", pdu.ErrProtocol)
			}
			answer, err = pdu.ParseText(text)
			return answer, moved, err
		}
		data = nil
	}
	return nil, false, fmt.Errorf("%w: the target's text does not come to an end", pdu.ErrProtocol)
}

func (l *login) roundTrip(flags byte, data []byte) (*pdu.Header, error) {
	h := pdu.New(pdu.Login, flags, 0)
	h.SetImmediate()
	copy(h[8:], l.isid[:])
	h.SetCmdSN(l.cmdSN)
	h.SetExpStatSN(l.expStatSN)
	var b pdu.Batch
	b.Add(&h, data)
	if err := b.Flush(l.conn); err != nil {
		return nil, lostError{err}
	}
	got, err := l.r.Next()
	if errors.Is(err, pdu.ErrProtocol) {
		return nil, err
	}
	if err != nil {
		return nil, lostError{fmt.Errorf("login: %w", err)}
	}
	if got.Opcode() != pdu.LoginResponse || got.ITT() != 0 {
		return nil, fmt.Errorf("%w: PDU %02xh in a login", pdu.ErrProtocol, byte(got.Opcode()))
	}
	l.expStatSN = got.StatSN() + 1
	l.maxCmdSN = got.MaxCmdSN()
	return got, nil
}

// refused is why the target ended the login.
func (l *login) refused(class, detail byte, text []byte) error {
	e := &LoginError{class, detail}
	switch class {
	case 1:
		p, err := pdu.ParseText(text)
		if err != nil {
			return err
		}
		addr, _ := p.Get("TargetAddress")
		if l.movedTo = portalOf(addr); l.movedTo == "" {
			return fmt.Errorf("%w: redirected to nowhere", pdu.ErrProtocol)
		}
		return e
	case 3:
		return lostError{e} // it may be better later
	}
	return e
}

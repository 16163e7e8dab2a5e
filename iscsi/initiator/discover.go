package initiator

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/ferrule/ferrule/iscsi/internal/pdu"
	"github.com/ferrule/ferrule/task"
)

// A Target is what a portal says of a target: its name and where it is reached.
type Target struct {
	Name    string
	Portals []string // "192.0.2.7:3260", "[2001:db8::7]:3260"
}

// Discover asks a portal for its targets (SendTargets). Of c it uses what concerns
// the connection and the login. A portal behind address translation answers with
// addresses that may be of no use from here.
func Discover(ctx context.Context, c Config) ([]Target, error) {
	const op = "initiator.Discover"
	c, err := c.checked(op, true)
	if err != nil {
		return nil, err
	}
	c.Target = ""
	text, err := sendTargets(ctx, &c)
	if err == nil {
		var all []Target
		if all, err = parseTargets(text, c.Portal); err == nil {
			return all, nil
		}
	}
	return nil, &task.Error{Op: op, Field: "portal " + c.Portal, Err: err, Remedy: remedy(err)}
}

func sendTargets(ctx context.Context, c *Config) (text []byte, err error) {
	s, err := connect(ctx, c, newISID())
	if err != nil {
		return nil, err
	}
	defer func() {
		if logoutErr := s.logout(ctx); err == nil {
			err = logoutErr
		}
	}()
	request, ttt := pdu.Pairs{{Key: "SendTargets", Value: "All"}}.Bytes(), pdu.None
	for range maxRounds {
		ask := otherCommand(pdu.Text, 0)
		ask.out = request
		ask.h.SetTTT(ttt)
		if err := s.do(ctx, ask, c.LoginTimeout); err != nil {
			return nil, err
		}
		text = append(text, ask.answer...)
		if ttt = ask.response.TTT(); ask.response.Flags()&pdu.Final != 0 || ttt == pdu.None {
			return text, nil
		}
		request = nil
	}
	return nil, fmt.Errorf("%w: the list of targets does not come to an end", pdu.ErrProtocol)
}

func parseTargets(text []byte, portal string) ([]Target, error) {
	p, err := pdu.ParseText(text)
	if err != nil {
		return nil, err
	}
	var all []Target
	for _, x := range p {
		switch {
		case x.Key == "TargetName":
			all = append(all, Target{Name: x.Value})
		case x.Key == "TargetAddress" && len(all) > 0:
			t := &all[len(all)-1]
			if addr := portalOf(x.Value); addr != "" {
				t.Portals = append(t.Portals, addr)
			}
		}
	}
	for i := range all {
		if all[i].Portals == nil {
			all[i].Portals = []string{portal} // RFC 7143, appendix C: where it was asked
		}
	}
	return all, nil
}

// portalOf reads a TargetAddress, "host[:port][,tag]", and returns "" for none.
func portalOf(addr string) string {
	addr, _, _ = strings.Cut(addr, ",")
	if addr == "" {
		return ""
	}
	if _, _, err := net.SplitHostPort(addr); err == nil {
		return addr
	}
	return net.JoinHostPort(strings.Trim(addr, "[]"), defaultPort)
}

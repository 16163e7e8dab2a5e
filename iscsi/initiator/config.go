package initiator

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/ferrule/ferrule/task"
)

// Config says which disk to open, and how. Portal and Target are required.
type Config struct {
	// Portal is the target's address, as "192.0.2.7:3260" or "[2001:db8::7]:3260".
	// Without a port it is 3260.
	Portal string

	// Target is the target's name, as "iqn.2008-10.org.openstack:n1".
	Target string

	// LUN is the number of the disk, from 0 to 16383.
	LUN int

	// Initiator is this side's name. "" means one made of the host's name.
	Initiator string

	// CHAP proves to the target who this is. Nil offers no authentication.
	CHAP *CHAP

	// HeaderDigest and DataDigest insist on CRC32C for headers and for data.
	// Otherwise they are used only if the target insists.
	HeaderDigest bool
	DataDigest   bool

	// QueueDepth bounds how many commands are sent and not answered. 0 means 32;
	// the target may allow fewer.
	QueueDepth int

	// KeepAlive is how long the target may be silent before it is asked whether
	// it is there; after twice as long the connection counts as lost. 0 means 15 s.
	KeepAlive time.Duration

	// CommandTimeout is how long a command may take once it is sent, before it is
	// aborted and sent again. 0 means a minute; Sync may take ten times as long.
	CommandTimeout time.Duration

	// LoginTimeout is how long connecting and logging in may take. 0 means 15 s.
	LoginTimeout time.Duration

	// RecoveryTime is how long after the loss of a connection no command may
	// succeed before the disk is given up. 0 means a minute; below 0 nothing is
	// tried again.
	RecoveryTime time.Duration

	// Dial makes the connection. Nil means that of net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Logger is told at level Warn of lost connections and at Info of new ones. Nil
	// discards.
	Logger *slog.Logger
}

// CHAP are the credentials of a login.
type CHAP struct {
	User   string
	Secret task.Secret

	// PeerUser and PeerSecret are what the target has to prove in turn (mutual
	// CHAP). A "" PeerSecret asks for no proof. It must not be Secret.
	PeerUser   string
	PeerSecret task.Secret
}

const defaultPort = "3260"

// checked returns c with its defaults filled in, or everything that is wrong with it.
func (c Config) checked(op string, discovery bool) (Config, error) {
	var errs []error
	bad := func(wrong bool, field string, err error, remedy string) {
		if wrong {
			errs = append(errs, &task.Error{Op: op, Field: field, Err: err, Remedy: remedy})
		}
	}
	if host, port, err := net.SplitHostPort(c.Portal); err != nil {
		c.Portal = net.JoinHostPort(strings.Trim(c.Portal, "[]"), defaultPort)
	} else {
		c.Portal = net.JoinHostPort(host, cmp.Or(port, defaultPort))
	}
	invalid := task.ErrInvalidParameter
	bad(strings.HasPrefix(c.Portal, ":"), "Portal", task.ErrMissingParameter, "set it to the target's address and port")
	if !discovery {
		bad(c.Target == "", "Target", task.ErrMissingParameter, "set it to the target's name, as Discover returns it")
		bad(c.LUN < 0 || c.LUN > 16383, "LUN", fmt.Errorf("%w: %d", invalid, c.LUN), "set it from 0 to 16383")
	}
	for field, name := range map[string]string{"Target": c.Target, "Initiator": c.Initiator} {
		bad(len(name) > 223 || strings.ContainsAny(name, "\x00 "), field, invalid, "use an iSCSI name, such as iqn.2026-01.org.example:name")
	}
	if c.CHAP != nil {
		bad(c.CHAP.User == "", "CHAP.User", task.ErrMissingParameter, "set it to the name that the target knows")
		bad(c.CHAP.Secret == "", "CHAP.Secret", task.ErrMissingParameter, "set it to the secret that the target knows")
		bad(c.CHAP.Secret != "" && c.CHAP.Secret == c.CHAP.PeerSecret, "CHAP.PeerSecret", invalid, "use another secret than for this side")
	}
	bad(c.QueueDepth < 0, "QueueDepth", invalid, "set it to a positive number, or zero for 32")
	bad(min(c.KeepAlive, c.CommandTimeout, c.LoginTimeout) < 0, "KeepAlive, CommandTimeout, LoginTimeout", invalid, "set them to positive durations, or zero")
	if err := task.Join(errs...); err != nil {
		return c, err
	}
	if c.Initiator == "" {
		c.Initiator = hostInitiator()
	}
	c.QueueDepth = cmp.Or(c.QueueDepth, 32)
	c.KeepAlive = cmp.Or(c.KeepAlive, 15*time.Second)
	c.CommandTimeout = cmp.Or(c.CommandTimeout, time.Minute)
	c.LoginTimeout = cmp.Or(c.LoginTimeout, 15*time.Second)
	c.RecoveryTime = cmp.Or(c.RecoveryTime, time.Minute)
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// hostInitiator names this host by what of its name iSCSI names may have.
func hostInitiator() string {
	host, _ := os.Hostname()
	host = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return -1
	}, strings.ToLower(host))
	return "iqn.2026-01.com.github.ferrule:" + cmp.Or(host, "initiator")
}

// An isid identifies an initiator port: the session of another login with the
// same one is ended by the target.
type isid [6]byte

func newISID() isid {
	id := isid{0x80} // of the random kind
	rand.Read(id[1:4])
	return id
}

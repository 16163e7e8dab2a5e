package ipminative

import (
	"context"
	"fmt"
	"strings"
	"time"

	ipmiclient "github.com/bougou/go-ipmi/pkg/client"
	"github.com/bougou/go-ipmi/pkg/types"

	"github.com/ferrule/ferrule/driver/ipmi"
)

// A key tells sessions apart: whatever a login depends on.
type key struct {
	address, user, password, privilege, version string
	port, suite                                 int
}

func keyOf(b *ipmi.BMC) key {
	return key{b.Address, b.Username, string(b.Password), b.Privilege, b.Version, b.Port, b.CipherSuite}
}

// A session is one login at a BMC, for one user at a time.
type session struct {
	key    key
	client *ipmiclient.Client
	timer  *time.Timer // ends it when it was idle for long; set by its pool
}

var privileges = map[string]types.PrivilegeLevel{
	"CALLBACK": types.PrivilegeLevelCallback, "USER": types.PrivilegeLevelUser,
	"OPERATOR": types.PrivilegeLevelOperator, "ADMINISTRATOR": types.PrivilegeLevelAdministrator,
}

// login opens a session at b.
func (c *client) login(ctx context.Context, b *ipmi.BMC) (*session, error) {
	cl, err := ipmiclient.NewClient(b.Address, b.Port, b.Username, string(b.Password))
	if err != nil {
		return nil, c.told(b, err)
	}
	intf := ipmiclient.InterfaceLanplus
	if b.Version == "1.5" {
		intf = ipmiclient.InterfaceLan
	}
	cl.WithInterface(intf).WithTimeout(c.cfg.Timeout).WithRetry(c.cfg.Retransmits).WithMaxPrivilegeLevel(privileges[b.Privilege])
	if b.CipherSuite >= 0 {
		cl.WithCipherSuiteID(types.CipherSuiteID(b.CipherSuite))
	}
	s := &session{key: keyOf(b), client: cl}
	if err := cl.Connect(ctx); err != nil {
		c.pool.drop(s)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, c.told(b, fmt.Errorf("no session: %w", err))
	}
	return s, nil
}

// endTime is how long a BMC may take to confirm that a session is over.
const endTime = 2 * time.Second

// end logs out.
func (s *session) end() {
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	_ = s.client.Close(ctx)
}

// told makes an error of the library's one line, without the password.
func (c *client) told(b *ipmi.BMC, err error) error {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if b.Password != "" {
		text = strings.ReplaceAll(text, string(b.Password), "******")
	}
	return &toldError{text: text[:min(len(text), 400)]}
}

type toldError struct{ text string }

func (e *toldError) Error() string { return e.text }

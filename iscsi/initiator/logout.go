package initiator

import (
	"context"
	"fmt"
	"time"

	"github.com/ferrule/ferrule/iscsi/internal/pdu"
)

// logoutTime is how long the target may take to answer a logout.
const logoutTime = 5 * time.Second

// logoutCommand closes the session.
func logoutCommand() *command {
	c := otherCommand(pdu.Logout, 0)
	c.h.SetImmediate()
	return c
}

// logout ends the session with the target's consent, or without it if that does
// not come soon.
func (s *session) logout(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, logoutTime, errSilent)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { s.fail(context.Cause(ctx)) })
	defer stop()
	c := logoutCommand()
	err := s.startUrgent(c)
	if err == nil {
		<-c.done
		err = c.err
	}
	if err == nil && c.response[2] != 0 {
		err = fmt.Errorf("the target answered the logout with %d", c.response[2])
	}
	s.close(errClosed)
	return err
}

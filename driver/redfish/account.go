package redfish

import (
	"context"
	"fmt"
	"net/http"

	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/task"
)

// SetPassword gives the account that c logs in with another password (DSP0268,
// ManagerAccount). c itself still has the old one. The error Is task.ErrUnsupported
// where the BMC has no such account that can be changed.
func (c *Client) SetPassword(ctx context.Context, password task.Secret) error {
	if c.access.Username == "" { // as accounts have that nobody uses yet
		return fmt.Errorf("%w: no user name to change the password of", task.ErrUnsupported)
	}
	var root struct{ AccountService link }
	if _, err := c.Get(ctx, rootPath, &root); err != nil {
		return err
	}
	var service struct{ Accounts link }
	if root.AccountService.ID != "" {
		if _, err := c.Get(ctx, root.AccountService.ID, &service); err != nil {
			return err
		}
	}
	if service.Accounts.ID == "" {
		return fmt.Errorf("%w: the BMC has no accounts", task.ErrUnsupported)
	}
	var all collection
	if _, err := c.Get(ctx, service.Accounts.ID, &all); err != nil {
		return err
	}
	var unread error // accounts that only others may see
	for _, l := range all.Members {
		var account struct{ UserName string }
		etag, err := c.Get(ctx, l.ID, &account)
		if class := bmc.ClassOf(err); class == bmc.Refused || class == bmc.Unsupported {
			unread = err
			continue
		}
		if err != nil {
			return err
		}
		if account.UserName == c.access.Username {
			_, err = c.do(ctx, request{method: http.MethodPatch, path: l.ID, body: map[string]string{"Password": string(password)}, etag: etag, secret: string(password)})
			return err
		}
	}
	if unread != nil {
		return unread
	}
	return fmt.Errorf("%w: the BMC has no account %q", task.ErrUnsupported, bmc.Clean(c.access.Username))
}

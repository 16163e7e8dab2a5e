package redfish

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/task"
)

// Access is where a node's BMC is and how to log in. Address is required.
type Access struct {
	Address  string // https://host[:port], or the host alone
	Username string
	Password task.Secret
	SystemID string // the path of the system; empty where the BMC has one only
	Auth     string // "auto", "session" or "basic"; empty means auto: a session where there are some
	TLS      bmc.TLS

	// Owner bounds the requests, for a BMC that is also spoken to by another
	// protocol: the one that is given with the first [Client] of its address counts.
	// Nil means one of this package's own.
	Owner *bmc.Owner
}

type parameters struct {
	Address     string      `driver_info:"redfish_address,required" help:"URL of the BMC, as https://bmc.example.com"`
	Username    string      `driver_info:"redfish_username" help:"user name on the BMC"`
	Password    task.Secret `driver_info:"redfish_password" help:"password on the BMC"`
	SystemID    string      `driver_info:"redfish_system_id" help:"path of the system, as /redfish/v1/Systems/1; needed where the BMC has several"`
	Auth        string      `driver_info:"redfish_auth_type" default:"auto" choices:"auto,session,basic" help:"how to log in: by a session, by user name and password in each request, or as the BMC can"`
	Verify      string      `driver_info:"redfish_verify_ca" default:"true" help:"true to verify the BMC's certificate by this host's authorities, the path of a file with others, or false"`
	Fingerprint string      `driver_info:"redfish_fingerprint" help:"SHA-256 of the BMC's certificate, which is then the only one that is taken"`
	Old         bool        `driver_info:"redfish_old_ciphers" help:"whether to allow broken versions and ciphers of TLS, for a BMC that has no others"`
}

// nodeAccess reads it from the parameters of t's node.
func nodeAccess(op string, t *task.Task) (Access, error) {
	var p parameters
	if err := t.Node.Decode(op, &p); err != nil {
		return Access{}, err
	}
	a := Access{Address: p.Address, Username: p.Username, Password: p.Password, SystemID: p.SystemID, Auth: p.Auth,
		TLS: bmc.TLS{Verify: p.Verify, Fingerprint: p.Fingerprint, Old: p.Old}}
	var errs []error
	bad := func(field string, err error, remedy string) {
		errs = append(errs, &task.Error{Op: op, Node: t.Node.String(), Field: "driver_info." + field, Err: err, Remedy: remedy})
	}
	if _, err := a.base(); err != nil {
		bad("redfish_address", err, "set it to the URL of the BMC, as https://bmc.example.com")
	}
	if a.SystemID != "" {
		if _, err := localPath(a.SystemID); err != nil {
			bad("redfish_system_id", fmt.Errorf("%w: %q is no path", task.ErrInvalidParameter, a.SystemID), "set it to the path of the system, as /redfish/v1/Systems/1")
		}
	}
	if _, err := a.TLS.Config(); err != nil {
		field := "redfish_verify_ca"
		if p.Fingerprint != "" {
			field = "redfish_fingerprint"
		}
		bad(field, err, "correct it")
	}
	return a, task.Join(errs...)
}

// base returns the address of the BMC.
func (a Access) base() (*url.URL, error) {
	text := a.Address
	if !strings.Contains(text, "://") {
		if strings.Count(text, ":") > 1 && !strings.HasPrefix(text, "[") {
			text = "[" + text + "]"
		}
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("%w: no http or https URL of a host", task.ErrInvalidParameter)
	}
	u.Path = ""
	return u, nil
}

// localPath checks a path that somebody says is on the BMC.
func localPath(path string) (string, error) {
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.Contains(path, `\`) {
		return "", &bmc.Error{Class: bmc.Protocol, Op: "follow a link", Text: bmc.Clean(fmt.Sprintf("%q leads elsewhere", path))}
	}
	return path, nil
}

func (a Access) credentials() string { return a.Username + "\x00" + string(a.Password) }

// A Reader finds the access of a task's node.
type Reader func(op string, t *task.Task) (Access, error)

// Roles are implementations of drivers' roles for nodes whose access is told by
// other parameters than those of this package.
type Roles struct {
	BMCs       *BMCs
	Access     Reader
	Properties task.Properties // of what Access reads
}

func (b *BMCs) roles() Roles { return Roles{b, nodeAccess, task.PropertiesOf[parameters]()} }

// a role is what all of them share.
type role struct{ Roles }

// Properties describes the parameters that say where the BMC is.
func (r role) Properties() task.Properties { return task.MergeProperties(r.Roles.Properties) }

// Validate reports every parameter that is missing or wrong.
func (r role) Validate(ctx context.Context, t *task.Task) error {
	_, err := r.Access("redfish.Validate", t)
	return err
}

// client returns a client for t's node.
func (r role) client(ctx context.Context, op string, t *task.Task) (*Client, error) {
	if ctx.Err() != nil {
		return nil, &task.Error{Op: op, Node: t.Node.String(), Err: context.Cause(ctx)}
	}
	a, err := r.Access(op, t)
	if err != nil {
		return nil, err
	}
	c, err := r.BMCs.Client(a)
	if err != nil {
		return nil, wrap(op, t, err)
	}
	return c, nil
}

// wrap names the node of an error.
func wrap(op string, t *task.Task, err error) error {
	if err == nil {
		return nil
	}
	return &task.Error{Op: op, Node: t.Node.String(), Err: err, Remedy: bmc.Remedy(err)}
}

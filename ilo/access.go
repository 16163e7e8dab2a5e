package ilo

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/driver/redfish"
	"github.com/ferrule/ferrule/task"
)

type parameters struct {
	Address     string      `driver_info:"ilo_address,required" help:"host name or address of the iLO"`
	Username    string      `driver_info:"ilo_username,required" help:"user name on the iLO"`
	Password    task.Secret `driver_info:"ilo_password,required" help:"password on the iLO"`
	Port        int         `driver_info:"client_port" default:"443" help:"port of the iLO"`
	Protocol    string      `driver_info:"ilo_protocol" default:"auto" choices:"auto,ribcl,redfish" help:"how to talk to the iLO: ribcl up to iLO 4, redfish from iLO 5 on, auto to ask it"`
	Verify      string      `driver_info:"ilo_verify_ca" default:"true" help:"true to verify the iLO's certificate by this host's authorities, the path of a file with others, or false"`
	Fingerprint string      `driver_info:"ilo_fingerprint" help:"SHA-256 of the iLO's certificate, which is then the only one that is taken"`
	Old         bool        `driver_info:"ilo_old_ciphers" help:"whether to allow broken versions and ciphers of TLS, for an iLO that has no others"`
}

// access is where a node's iLO is and how to log in.
type access struct {
	host     string // with port
	username string
	password task.Secret
	protocol string
	tls      bmc.TLS
}

// accessOf reads it from the parameters of t's node.
func accessOf(op string, t *task.Task) (access, error) {
	var p parameters
	if err := t.Node.Decode(op, &p); err != nil {
		return access{}, err
	}
	var errs []error
	bad := func(field string, err error, remedy string) {
		errs = append(errs, &task.Error{Op: op, Node: t.Node.String(), Field: "driver_info." + field, Err: err, Remedy: remedy})
	}
	host := strings.Trim(p.Address, "[]")
	if strings.ContainsAny(host, "/@ ?#\\") || host == "" {
		bad("ilo_address", fmt.Errorf("%w: no host name or address", task.ErrInvalidParameter), "set it to the host name or address alone")
	}
	if p.Port < 1 || p.Port > 65535 {
		bad("client_port", fmt.Errorf("%w: %d", task.ErrInvalidParameter, p.Port), "set it to a port, usually 443")
	}
	a := access{net.JoinHostPort(host, strconv.Itoa(p.Port)), p.Username, p.Password, p.Protocol, bmc.TLS{Verify: p.Verify, Fingerprint: p.Fingerprint, Old: p.Old}}
	if _, err := a.tls.Config(); err != nil {
		field := "ilo_verify_ca"
		if p.Fingerprint != "" {
			field = "ilo_fingerprint"
		}
		bad(field, err, "correct it")
	}
	return a, task.Join(errs...)
}

func (a access) credentials() string { return a.username + "\x00" + string(a.password) }

// redfishAccess is accessOf for the roles of package redfish.
func (b *BMCs) redfishAccess(op string, t *task.Task) (redfish.Access, error) {
	a, err := accessOf(op, t)
	if err != nil {
		return redfish.Access{}, err
	}
	c, err := b.client(a)
	if err != nil {
		return redfish.Access{}, wrap(op, t, err)
	}
	return c.redfish(), nil
}

package snmp

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gosnmp/gosnmp"

	"github.com/ferrule/ferrule/internal/switched"
	"github.com/ferrule/ferrule/task"
)

type parameters struct {
	Model   string `driver_info:"snmp_driver,required" choices:"auto,apc,apc_masterswitch,apc_masterswitchplus,apc_rackpdu,aten,baytech_mrp27,cyberpower,eatonpower,teltronix" help:"model of the power distribution unit"`
	Address string `driver_info:"snmp_address,required" help:"IP address or host name of the unit"`
	Outlet  int    `driver_info:"snmp_outlet,required" help:"number of the machine's outlet, from 1"`
	Port    int    `driver_info:"snmp_port" default:"161" help:"UDP port of the unit"`
	Version string `driver_info:"snmp_version" default:"1" choices:"1,2c,3" help:"version of SNMP"`

	Community task.Secret `driver_info:"snmp_community" help:"community of versions 1 and 2c, unless the two others are given"`
	Read      task.Secret `driver_info:"snmp_community_read" help:"community for questions"`
	Write     task.Secret `driver_info:"snmp_community_write" help:"community for orders"`

	User         string      `driver_info:"snmp_user" help:"user of version 3"`
	OldUser      string      `driver_info:"snmp_security" help:"old name of snmp_user"`
	AuthProtocol string      `driver_info:"snmp_auth_protocol" help:"authentication of version 3: none, md5, sha, sha224, sha256, sha384 or sha512; md5 where only a key is given"`
	AuthKey      task.Secret `driver_info:"snmp_auth_key" help:"key of the authentication, of 8 characters or more"`
	PrivProtocol string      `driver_info:"snmp_priv_protocol" help:"privacy of version 3: none, des, aes, aes192, aes256, aes192blmt or aes256blmt; des where only a key is given"`
	PrivKey      task.Secret `driver_info:"snmp_priv_key" help:"key of the privacy, of 8 characters or more"`
	EngineID     string      `driver_info:"snmp_context_engine_id" help:"context engine of version 3, in hexadecimal digits"`
	Context      string      `driver_info:"snmp_context_name" help:"context of version 3"`
}

// open returns the outlet of t's node.
func (c Config) open(op string, t *task.Task) (switched.Switch, error) {
	var p parameters
	r := &reader{op: op, node: t.Node}
	r.errs = append(r.errs, t.Node.Decode(op, &p))
	if p.Outlet < 1 && t.Node.DriverInfo["snmp_outlet"] != nil {
		r.check("snmp_outlet", fmt.Errorf("%d", p.Outlet), "set it to the number of the outlet, from 1")
	}
	if p.Port < 1 || p.Port > 65535 {
		r.check("snmp_port", fmt.Errorf("%d is no UDP port", p.Port), "set it to a number from 1 to 65535")
	}
	o := &outlet{model: p.Model, number: p.Outlet, unit: unit{
		address: p.Address, port: uint16(p.Port), timeout: c.Timeout, retries: c.Retries, version: gosnmp.Version1,
	}}
	switch p.Version {
	case "2c":
		o.version = gosnmp.Version2c
	case "3":
		o.version = gosnmp.Version3
	}
	if p.Version == "3" {
		o.usm, o.flags = r.usm(&p)
		o.contextName, o.contextEngine = p.Context, r.engine(p.EngineID)
	} else {
		o.read, o.write = r.communities(&p)
	}
	return o, task.Join(r.errs...)
}

type reader struct {
	op   string
	node *task.Node
	errs []error
}

func (r *reader) check(name string, err error, remedy string) {
	if !errors.Is(err, task.ErrInvalidParameter) {
		err = fmt.Errorf("%w: %w", task.ErrInvalidParameter, err)
	}
	r.errs = append(r.errs, &task.Error{Op: r.op, Node: r.node.String(), Field: "driver_info." + name, Err: err, Remedy: remedy})
}

func (r *reader) communities(p *parameters) (read, write string) {
	read, write = string(p.Read), string(p.Write)
	if read == "" {
		read = string(p.Community)
	}
	if write == "" {
		write = string(p.Community)
	}
	if read == "" || write == "" {
		r.check("snmp_community", task.ErrMissingParameter, "set it to the unit's community, or set snmp_community_read and snmp_community_write")
	}
	return read, write
}

var authProtocols = map[string]gosnmp.SnmpV3AuthProtocol{
	"none": gosnmp.NoAuth, "md5": gosnmp.MD5, "sha": gosnmp.SHA, "sha224": gosnmp.SHA224, "sha256": gosnmp.SHA256, "sha384": gosnmp.SHA384, "sha512": gosnmp.SHA512,
}

var privProtocols = map[string]gosnmp.SnmpV3PrivProtocol{
	"none": gosnmp.NoPriv, "des": gosnmp.DES, "aes": gosnmp.AES,
	"aes192": gosnmp.AES192C, "aes256": gosnmp.AES256C, "aes192blmt": gosnmp.AES192, "aes256blmt": gosnmp.AES256,
}

// usm reads the user of version 3 and how packets are protected.
func (r *reader) usm(p *parameters) (*gosnmp.UsmSecurityParameters, gosnmp.SnmpV3MsgFlags) {
	if p.User == "" {
		p.User = p.OldUser
	}
	if p.User == "" {
		r.check("snmp_user", task.ErrMissingParameter, "set it to the user of SNMP version 3")
	}
	auth := protocol(r, "snmp_auth_protocol", p.AuthProtocol, "md5", p.AuthKey, authProtocols)
	priv := protocol(r, "snmp_priv_protocol", p.PrivProtocol, "des", p.PrivKey, privProtocols)
	for _, k := range []struct {
		name   string
		key    task.Secret
		needed bool
	}{{"snmp_auth_key", p.AuthKey, auth > gosnmp.NoAuth}, {"snmp_priv_key", p.PrivKey, priv > gosnmp.NoPriv}} {
		switch {
		case k.needed && k.key == "":
			r.check(k.name, task.ErrMissingParameter, "set it to a key of 8 characters or more")
		case k.needed && len(k.key) < 8:
			r.check(k.name, errors.New("shorter than 8 characters"), "set it to a key of 8 characters or more")
		}
	}
	flags := gosnmp.NoAuthNoPriv
	switch {
	case priv > gosnmp.NoPriv && auth <= gosnmp.NoAuth:
		r.check("snmp_auth_protocol", errors.New("privacy needs authentication"), "set it, or drop the privacy")
	case priv > gosnmp.NoPriv:
		flags = gosnmp.AuthPriv
	case auth > gosnmp.NoAuth:
		flags = gosnmp.AuthNoPriv
	}
	return &gosnmp.UsmSecurityParameters{
		UserName: p.User, AuthenticationProtocol: auth, AuthenticationPassphrase: string(p.AuthKey),
		PrivacyProtocol: priv, PrivacyPassphrase: string(p.PrivKey),
	}, flags
}

// protocol returns the one with that name; without a name it is none, or usual
// where there is a key.
func protocol[P any](r *reader, field, name, usual string, key task.Secret, all map[string]P) P {
	switch {
	case name == "" && key != "":
		name = usual
	case name == "":
		name = "none"
	}
	p, ok := all[strings.ToLower(name)]
	if !ok {
		var names []string
		for n := range all {
			names = append(names, n)
		}
		slices.Sort(names)
		r.check(field, errors.New("no such protocol"), "set it to one of "+strings.Join(names, ", "))
		p = all["none"]
	}
	return p
}

func (r *reader) engine(id string) string {
	b, err := hex.DecodeString(strings.TrimPrefix(id, "0x"))
	if err != nil {
		r.check("snmp_context_engine_id", errors.New("no hexadecimal digits"), "set it to hexadecimal digits")
	}
	return string(b)
}

package ipmi

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/ferrule/ferrule/task"
)

// A BMC is how a node's BMC is reached: its driver_info, checked.
type BMC struct {
	Address     string
	Port        int
	Username    string
	Password    task.Secret
	KG          task.Secret // the bytes of the BMC key; empty for none
	Privilege   string      // ADMINISTRATOR, OPERATOR, USER or CALLBACK
	Version     string      // 2.0 or 1.5
	CipherSuite int         // -1 where the node names none
	Bridge      *Bridge     // nil for none
}

// A Bridge is the way through the BMC to another controller.
type Bridge struct {
	Local   string // own address; "" for the client's default
	Transit *Hop   // nil for single bridging
	Target  Hop
}

// A Hop is an address on a channel.
type Hop struct{ Channel, Address int }

// String is the address that errors and logs have.
func (b *BMC) String() string { return net.JoinHostPort(b.Address, strconv.Itoa(b.Port)) }

type parameters struct {
	Address     string      `driver_info:"ipmi_address,required" help:"IP address or host name of the BMC"`
	Port        int         `driver_info:"ipmi_port" default:"623" help:"UDP port of the BMC"`
	Username    string      `driver_info:"ipmi_username" help:"user name at the BMC; none is the BMC's anonymous user"`
	Password    task.Secret `driver_info:"ipmi_password" help:"password at the BMC"`
	KG          task.Secret `driver_info:"ipmi_hex_kg_key" help:"BMC key of the second login step, as 40 hexadecimal digits"`
	Privilege   string      `driver_info:"ipmi_priv_level" default:"ADMINISTRATOR" choices:"ADMINISTRATOR,CALLBACK,OPERATOR,USER" help:"privilege level of the session"`
	Version     string      `driver_info:"ipmi_protocol_version" default:"2.0" choices:"2.0,1.5" help:"version of IPMI over LAN"`
	CipherSuite string      `driver_info:"ipmi_cipher_suite" help:"number of the cipher suite, 0 to 17; none leaves the choice to the client"`

	Bridging       string `driver_info:"ipmi_bridging" default:"no" choices:"no,single,dual" help:"whether commands go through the BMC to another controller"`
	LocalAddress   string `driver_info:"ipmi_local_address" help:"own address on the way to the controller, as 0x20"`
	TransitChannel string `driver_info:"ipmi_transit_channel" help:"channel of the transit hop; required for dual bridging"`
	TransitAddress string `driver_info:"ipmi_transit_address" help:"address of the transit hop; required for dual bridging"`
	TargetChannel  string `driver_info:"ipmi_target_channel" help:"channel of the target; required for bridging"`
	TargetAddress  string `driver_info:"ipmi_target_address" help:"address of the target; required for bridging"`
}

// maxPassword is what the protocol's field holds, by version.
var maxPassword = map[string]int{"2.0": 20, "1.5": 16}

// ParseBMC reads how n's BMC is reached. The error joins every problem.
func ParseBMC(op string, n *task.Node) (*BMC, error) {
	var p parameters
	r := reader{op: op, node: n, errs: []error{n.Decode(op, &p)}}
	b := &BMC{
		Address: p.Address, Port: p.Port, Username: p.Username, Password: p.Password,
		Privilege: p.Privilege, Version: p.Version, CipherSuite: -1,
	}
	r.check("ipmi_address", addressProblem(p.Address), "set it to an IP address or a host name")
	if p.Port < 0 || p.Port > 65535 || p.Port == 0 && r.errs[0] == nil {
		r.check("ipmi_port", fmt.Errorf("%d is no UDP port", p.Port), "set it to a number from 1 to 65535")
	}
	r.check("ipmi_username", textProblem(p.Username, 16), "set it to a name of up to 16 characters")
	r.check("ipmi_password", textProblem(string(p.Password), cmp.Or(maxPassword[p.Version], 20)), "set a password that fits IPMI: up to 20 bytes, or 16 for version 1.5, without control characters")
	if p.KG != "" {
		key, err := hex.DecodeString(string(p.KG))
		if err != nil || len(key) != 20 {
			r.check("ipmi_hex_kg_key", errors.New("not 40 hexadecimal digits"), "set it to 40 hexadecimal digits")
		}
		b.KG = task.Secret(key)
	}
	if p.CipherSuite != "" {
		b.CipherSuite = r.number("ipmi_cipher_suite", p.CipherSuite, 17)
	}
	b.Bridge = r.bridge(&p)
	return b, task.Join(r.errs...)
}

// A reader gathers what is wrong with a node's driver_info.
type reader struct {
	op   string
	node *task.Node
	errs []error
}

func (r *reader) check(name string, err error, remedy string) {
	if err == nil {
		return
	}
	if !errors.Is(err, task.ErrInvalidParameter) {
		err = fmt.Errorf("%w: %w", task.ErrInvalidParameter, err)
	}
	r.errs = append(r.errs, &task.Error{Op: r.op, Node: r.node.String(), Field: "driver_info." + name, Err: err, Remedy: remedy})
}

// number reads a number as operators write channels and addresses: 7 or 0x07.
func (r *reader) number(name, text string, most int) int {
	v, err := strconv.ParseUint(text, 0, 16)
	if err != nil || int(v) > most {
		r.check(name, fmt.Errorf("%q is no number up to %d", text, most), fmt.Sprintf("set it to a number from 0 to %d, as 7 or 0x07", most))
		return -1
	}
	return int(v)
}

func (r *reader) bridge(p *parameters) *Bridge {
	if p.Bridging != "single" && p.Bridging != "dual" {
		return nil
	}
	hop := func(which, channel, address string) Hop {
		for name, text := range map[string]string{"channel": channel, "address": address} {
			if text == "" {
				r.check("ipmi_"+which+"_"+name, task.ErrMissingParameter, "set it, or set driver_info.ipmi_bridging to no")
			}
		}
		if channel == "" || address == "" {
			return Hop{}
		}
		return Hop{Channel: r.number("ipmi_"+which+"_channel", channel, 15), Address: r.number("ipmi_"+which+"_address", address, 255)}
	}
	b := &Bridge{Target: hop("target", p.TargetChannel, p.TargetAddress)}
	if p.LocalAddress != "" {
		b.Local = fmt.Sprintf("0x%02x", r.number("ipmi_local_address", p.LocalAddress, 255))
	}
	if p.Bridging == "dual" {
		transit := hop("transit", p.TransitChannel, p.TransitAddress)
		b.Transit = &transit
	}
	return b
}

// addressProblem refuses what is no host: it may reach an argument list.
func addressProblem(s string) error {
	if s == "" { // told as missing
		return nil
	}
	if net.ParseIP(s) != nil {
		return nil
	}
	ok := len(s) <= 253 && s[0] != '-' && s[0] != '.'
	for _, c := range s {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-._", c))
	}
	if !ok {
		return fmt.Errorf("%.64q is no host", s)
	}
	return nil
}

func textProblem(s string, most int) error {
	if len(s) > most {
		return fmt.Errorf("longer than %d bytes", most)
	}
	if strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return errors.New("it has a control character")
	}
	return nil
}

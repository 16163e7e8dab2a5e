package netboot

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ferrule/ferrule/task"
)

// A Volume is a disk that an iSCSI target offers.
type Volume struct {
	Host      string // an address, or a name that DNS knows
	Port      uint16
	Target    string // its iSCSI name
	LUN       uint64
	Initiator string // the machine's iSCSI name; empty for the loader's own
}

const iscsiPort = 3260

const volumeField = "instance_info.boot_volume"

// parseVolume reads what n says of its volume, and reports every problem.
func parseVolume(op string, n *task.Node, info task.Info) (*Volume, error) {
	var p struct {
		Portal    string `instance_info:"target_portal,required" help:"address of the target, as host:port"`
		Target    string `instance_info:"target_iqn,required" help:"iSCSI name of the target"`
		LUN       int64  `instance_info:"target_lun" help:"number of the volume at the target"`
		Initiator string `instance_info:"initiator_iqn" help:"iSCSI name of the machine"`
		Method    string `instance_info:"auth_method" help:"authentication, of which there is none here"`
	}
	var errs []error
	for _, problem := range task.Problems((&task.Node{InstanceInfo: info}).Decode("", &p)) {
		e := *problem.(*task.Error)
		e.Op, e.Node, e.Field = op, n.String(), volumeField+strings.TrimPrefix(e.Field, "instance_info")
		errs = append(errs, &e)
	}
	bad := func(key, what, remedy string) {
		errs = append(errs, &task.Error{Op: op, Node: n.String(), Field: volumeField + key, Err: fmt.Errorf("%w: %s", task.ErrInvalidParameter, what), Remedy: remedy})
	}
	if p.Method != "" || info.Text("auth_password") != "" || info.Text("auth_username") != "" {
		bad("", "it asks for a password, which anybody could read on the network", "let the target know the machine by its name or address")
	}
	v := &Volume{Target: p.Target, LUN: uint64(p.LUN), Initiator: p.Initiator}
	if p.LUN < 0 || p.LUN >= 1<<14 {
		bad(".target_lun", fmt.Sprintf("%d is not from 0 to %d", p.LUN, 1<<14-1), "give the number that the target has for the volume")
	}
	for key, name := range map[string]string{"target_iqn": p.Target, "initiator_iqn": p.Initiator} {
		if name != "" && !iscsiName(name) {
			bad("."+key, fmt.Sprintf("%q is no iSCSI name", name), "write it as iqn.2001-04.com.example:name, in lower case")
		}
	}
	var ok bool
	if v.Host, v.Port, ok = portal(p.Portal); p.Portal != "" && !ok {
		bad(".target_portal", fmt.Sprintf("%q is no host:port", p.Portal), "put an IPv6 address in brackets")
	}
	return v, task.Join(errs...)
}

// iscsiName keeps to what RFC 3722 leaves of names: lower-case letters, digits
// and a few marks, after iqn., eui. or naa.
func iscsiName(s string) bool {
	if len(s) > 223 || !(strings.HasPrefix(s, "iqn.") || strings.HasPrefix(s, "eui.") || strings.HasPrefix(s, "naa.")) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'F' && !strings.HasPrefix(s, "iqn.") || '0' <= r && r <= '9' || strings.ContainsRune(".-:", r))
	})
}

func portal(s string) (host string, port uint16, ok bool) {
	host, text, err := net.SplitHostPort(s)
	if err != nil {
		host, text = strings.Trim(s, "[]"), strconv.Itoa(iscsiPort)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || host == "" {
		return "", 0, false
	}
	if _, err := netip.ParseAddr(host); err != nil && strings.ContainsFunc(host, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(".-", r))
	}) {
		return "", 0, false
	}
	return host, uint16(n), true
}

// URI returns the volume as firmware names it (RFC 4173, as iPXE reads it, with
// the number of the volume in hexadecimal).
func (v Volume) URI() string {
	host := v.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return fmt.Sprintf("iscsi:%s::%d:%x:%s", host, v.Port, v.LUN, v.Target)
}

package ipmitool

import (
	"os"
	"strconv"
	"strings"

	"github.com/ferrule/ferrule/driver/ipmi"
)

// arguments are ipmitool's for a command to b. They hold no secret.
func (c *client) arguments(b *ipmi.BMC, suite int, words []string) []string {
	protocol := "lanplus"
	if b.Version == "1.5" {
		protocol = "lan"
	}
	args := []string{"-I", protocol, "-H", b.Address, "-p", strconv.Itoa(b.Port), "-L", b.Privilege}
	if b.Username != "" {
		args = append(args, "-U", b.Username)
	}
	if suite >= 0 && protocol == "lanplus" {
		args = append(args, "-C", strconv.Itoa(suite))
	}
	args = append(args, bridgeArguments(b.Bridge)...)
	seconds := max(1, int(c.cfg.Timeout.Seconds()))
	args = append(args, "-R", strconv.Itoa(c.cfg.Retransmits), "-N", strconv.Itoa(seconds), "-E")
	if b.KG != "" {
		args = append(args, "-K")
	}
	return append(args, words...)
}

func bridgeArguments(b *ipmi.Bridge) []string {
	if b == nil {
		return nil
	}
	var args []string
	if b.Local != "" {
		args = append(args, "-m", b.Local)
	}
	if b.Transit != nil {
		args = append(args, "-B", strconv.Itoa(b.Transit.Channel), "-T", hexByte(byte(b.Transit.Address)))
	}
	return append(args, "-b", strconv.Itoa(b.Target.Channel), "-t", hexByte(byte(b.Target.Address)))
}

// environment is this process's own, with b's secrets in place of any that it has
// for ipmitool. The password is there even when empty, or ipmitool would ask.
func environment(b *ipmi.BMC) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "IPMI_") && !strings.HasPrefix(v, "IPMITOOL_") {
			env = append(env, v)
		}
	}
	env = append(env, "IPMI_PASSWORD="+string(b.Password), "LC_ALL=C")
	if b.KG != "" {
		env = append(env, "IPMI_KGKEY="+string(b.KG))
	}
	return env
}

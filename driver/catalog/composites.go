package catalog

import (
	"fmt"
	"strings"
)

// A Composite says what a composite driver is made of, by the names of its parts.
type Composite struct {
	Name   string
	Boot   string // "" for none
	Deploy string
	Reach  string // power and, where it has them, management, console, vendor, inspection
}

// A pattern makes one composite of each reach.
type pattern struct {
	format string // of the name
	boot   string // media stands for the reach's virtual media
	deploy string
	media  wanted // whether the reach has virtual media
}

type wanted int

const (
	either wanted = iota
	without
	with
)

// media is the boot of patterns that boot from the BMC's virtual media.
const media = "media"

// patterns are all of them. With virtual media agent_X is Ironic's agent_ilo, without
// it is agent_ipmitool.
var patterns = []pattern{
	{"pxe_%s", "pxe", "iscsi", either},
	{"ipxe_%s", "ipxe", "iscsi", either},
	{"http_%s", "http", "iscsi", either},
	{"iscsi_%s", media, "iscsi", with},
	{"agent_%s", "pxe", "direct", without},
	{"agent_%s", media, "direct", with},
	{"agent_pxe_%s", "pxe", "direct", with},
	{"agent_ipxe_%s", "ipxe", "direct", either},
	{"agent_http_%s", "http", "direct", either},
	{"fake_%s", "", "fake", either},
}

// Composites lists every composite that [Register] knows, in a fixed order.
func Composites() []Composite {
	all := []Composite{{Name: "fake", Boot: "fake", Deploy: "fake", Reach: "fake"}}
	for _, r := range reaches {
		for _, p := range patterns {
			if p.media == with && r.media == "" || p.media == without && r.media != "" {
				continue
			}
			c := Composite{Name: fmt.Sprintf(p.format, r.name), Boot: p.boot, Deploy: p.deploy, Reach: r.name}
			if c.Boot == media {
				c.Boot = r.media
			}
			all = append(all, c)
		}
	}
	return all
}

// Markdown is the list of [Composites], and of those that are [Absent], as tables
// for people.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| driver | boots by | deploys by | power, management | Ironic's |\n|---|---|---|---|---|\n")
	for _, c := range Composites() {
		ironic := ""
		if ironicNames[c.Name] {
			ironic = "yes"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", c.Name, c.Boot, c.Deploy, c.Reach, ironic)
	}
	b.WriteString("\nIronic's drivers that are not here:\n\n| drivers | why |\n|---|---|\n")
	for _, a := range Absent {
		fmt.Fprintf(&b, "| %s | %s |\n", a.Names, a.Why)
	}
	return b.String()
}

// ironicNames are the classic drivers of Ironic among ours.
var ironicNames = map[string]bool{
	"fake": true, "pxe_ipmitool": true, "pxe_ipminative": true, "pxe_ilo": true, "pxe_snmp": true, "pxe_wol": true, "iscsi_ilo": true,
	"agent_ilo": true, "agent_ipmitool": true, "agent_wol": true, "fake_ipmitool": true, "fake_ipminative": true, "fake_ilo": true, "fake_snmp": true, "fake_wol": true,
}

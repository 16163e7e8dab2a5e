package dhcp

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/ferrule/ferrule/task"
)

// choose returns the URL of what c is to fetch of f, the files for one version
// of IP, "" for nothing, and what there is to be said about that.
func (b *Boot) choose(f *Files, c *caller) (file string, findings []Finding) {
	if !c.boots() {
		return "", nil
	}
	findings = b.disagreements(c)
	file = f.fileFor(c)
	if file == "" && !f.empty() {
		findings = append(findings, f.noLoader(c))
	}
	return file, findings
}

// fileFor returns the URL of what c is to fetch, "" when there is none.
func (f *Files) fileFor(c *caller) string {
	switch {
	case c.iPXE && f.Script != "":
		return f.Script
	case c.known:
		return f.Loaders[c.Client]
	}
	return ""
}

// disagreements are what c and the node's data say differently. The client is
// right: it is what it is, and gets the loader that it can run.
func (b *Boot) disagreements(c *caller) []Finding {
	var all []Finding
	if !c.known {
		return nil
	}
	if b.Firmware != "" && b.Firmware != c.Firmware {
		all = append(all, Finding{OtherFirmware, fmt.Sprintf("the machine's firmware is %s, the node's data says %s", c.Firmware, b.Firmware)})
	}
	if b.Arch != "" && b.Arch != c.Arch && !(c.Firmware == task.BIOS && b.Arch == I386) {
		all = append(all, Finding{OtherArch, fmt.Sprintf("the machine is %s, the node's data says %s", c.Arch, b.Arch)})
	}
	return all
}

func (f *Files) noLoader(c *caller) Finding {
	if len(f.Loaders) == 0 {
		return Finding{NoLoader, fmt.Sprintf("there is no loader for %s, only a script for iPXE", c)}
	}
	have := make([]string, 0, len(f.Loaders))
	for _, k := range f.sorted() {
		have = append(have, k.String())
	}
	return Finding{NoLoader, fmt.Sprintf("there is no loader for %s, only for %s", c, strings.Join(have, ", "))}
}

// told adds what the machine was told, which comes last: it is the least where
// there is more to say.
func told(findings []Finding, c *caller, offered bool, addr netip.Addr, file string) []Finding {
	what := "given"
	if offered {
		what = "offered"
	}
	switch {
	case addr.IsValid() && file != "":
		what += " " + addr.String() + " and " + file
	case addr.IsValid():
		what += " " + addr.String()
	case file != "":
		what += " " + file
	default:
		return findings
	}
	return append(findings, Finding{Told, c.String() + ": " + what})
}

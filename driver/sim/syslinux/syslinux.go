// Package syslinux reads the configurations of pxelinux and isolinux, as far as
// simulated machines boot by them.
//
//	e, err := syslinux.Parse(text)
//	fetch(e.Kernel, e.Initrd())
//
// It is written from the loaders' documentation, apart from what writes such
// configurations in this module, so that the one is a test of the other. Menus,
// includes and what asks a person are unknown to it; unknown words are passed over, as
// the loaders do.
package syslinux

import (
	"errors"
	"fmt"
	"strings"
)

// An Entry is what a label of a configuration starts.
type Entry struct {
	Kernel string // as written; empty where Local is set
	Append string // the arguments, initrd= among them
	Local  bool   // localboot: the loader leaves the machine to the next boot device
	BOOTIF bool   // ipappend 2: pxelinux adds the address of the NIC
}

// Parse returns the entry that the loader starts when nobody types anything. The
// error says where the loader would stop.
func Parse(text string) (Entry, error) {
	byDefault := ""
	labels := map[string]*Entry{}
	var e *Entry // nil before the first label
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		word, rest = strings.ToLower(word), strings.TrimSpace(rest)
		switch {
		case word == "default":
			byDefault = rest
		case word == "label":
			e = &Entry{}
			labels[rest] = e
		case e == nil: // holds for all labels, and none of it matters here
		case word == "kernel", word == "linux", word == "com32":
			e.Kernel = rest
		case word == "append":
			e.Append = rest
		case word == "initrd":
			e.Append = strings.TrimSpace("initrd=" + rest + " " + e.Append)
		case word == "localboot":
			e.Local = true
		case word == "ipappend", word == "sysappend":
			e.BOOTIF = rest == "2"
		}
	}
	e, ok := labels[byDefault]
	switch {
	case byDefault == "":
		return Entry{}, errors.New("syslinux: no default")
	case !ok:
		return Entry{}, fmt.Errorf("syslinux: no label %q", byDefault)
	case e.Kernel == "" && !e.Local:
		return Entry{}, fmt.Errorf("syslinux: label %q has no kernel", byDefault)
	}
	return *e, nil
}

// Initrd is the file that the last initrd= among the arguments names; empty for none.
func (e Entry) Initrd() string {
	found := ""
	for _, word := range strings.Fields(e.Append) {
		if name, ok := strings.CutPrefix(word, "initrd="); ok {
			found = name
		}
	}
	return found
}

// CommandLine is what the kernel is started with. Bootif is the NIC's address as
// pxelinux writes it, with the type of the hardware before it.
func (e Entry) CommandLine(bootif string) string {
	line := "BOOT_IMAGE=" + e.Kernel + " " + e.Append
	if e.BOOTIF {
		line += " BOOTIF=" + bootif
	}
	return strings.TrimSpace(line)
}

package media

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/driver/sim/syslinux"
	"github.com/ferrule/ferrule/task"
)

// A Start is what the boot loaders of a disc start.
type Start struct {
	Kernel, Ramdisk *io.SectionReader
	CommandLine     string
}

// Start does what firmware of that mode and the boot loaders on the disc do: for
// BIOS isolinux, for UEFI a loader for x86-64 in the EFI system partition, and then
// grub. The error says where they would stop.
func (d *ISO) Start(mode task.BootMode) (Start, error) {
	loader, ok := d.Boot(mode)
	if !ok {
		return Start{}, fmt.Errorf("media: nothing that firmware starts in boot mode %s", mode)
	}
	if mode == task.BIOS {
		text, err := d.text("isolinux/isolinux.cfg")
		if err != nil {
			return Start{}, err
		}
		return d.isolinux(text)
	}
	esp, err := OpenFAT(loader)
	if err != nil {
		return Start{}, err
	}
	if !slices.ContainsFunc(esp.Names(), func(n string) bool { return strings.EqualFold(n, "EFI/BOOT/BOOTX64.EFI") }) {
		return Start{}, errors.New("media: no EFI/BOOT/BOOTX64.EFI in the EFI system partition")
	}
	text, err := d.text("boot/grub/grub.cfg")
	if err != nil {
		return Start{}, err
	}
	return d.grub(text)
}

func (d *ISO) text(name string) (string, error) {
	f, err := d.Open(name)
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFolder))
	return string(data), err
}

// isolinux starts what its configuration says.
func (d *ISO) isolinux(text string) (Start, error) {
	e, err := syslinux.Parse(text)
	if err != nil {
		return Start{}, err
	}
	return d.start(e.Kernel, e.Initrd(), e.CommandLine(""))
}

// grub reads a script for its commands linux and initrd, whatever is around them.
func (d *ISO) grub(text string) (Start, error) {
	var kernel, ramdisk string
	line := []string{}
	words := grubWords(text)
	for i := 0; i < len(words); i++ {
		switch {
		case words[i] == "linux" && i+1 < len(words) && kernel == "":
			kernel = words[i+1]
			line = append(line, "BOOT_IMAGE="+kernel)
			for i += 2; i < len(words) && words[i] != ";"; i++ {
				word := words[i]
				if strings.Contains(word, " ") {
					word = `"` + word + `"`
				}
				line = append(line, word)
			}
		case words[i] == "initrd" && i+1 < len(words) && ramdisk == "":
			ramdisk = words[i+1]
		}
	}
	return d.start(kernel, ramdisk, strings.Join(line, " "))
}

// grubWords splits a script into words: single quotes keep what is in them
// together, a semicolon and the end of a line are words of their own.
func grubWords(text string) []string {
	var words []string
	var word strings.Builder
	begun, quoted := false, false
	end := func() {
		if begun {
			words = append(words, word.String())
		}
		word.Reset()
		begun = false
	}
	for _, r := range text {
		switch {
		case r == '\'':
			quoted, begun = !quoted, true
		case quoted:
			word.WriteRune(r)
		case r == ';' || r == '\n':
			end()
			words = append(words, ";")
		case r == ' ':
			end()
		default:
			begun = true
			word.WriteRune(r)
		}
	}
	end()
	return words
}

func (d *ISO) start(kernel, ramdisk, line string) (Start, error) {
	s := Start{CommandLine: line}
	var err error
	if s.Kernel, err = d.Open(strings.TrimPrefix(kernel, "/")); err == nil {
		s.Ramdisk, err = d.Open(strings.TrimPrefix(ramdisk, "/"))
	}
	return s, err
}

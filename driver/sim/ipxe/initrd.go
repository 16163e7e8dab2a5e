package ipxe

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNoInitrd is a kernel that starts without the initrd that was loaded for it.
var ErrNoInitrd = errors.New("kernel finds no initrd")

const initrdAlign = 4096 // INITRD_ALIGN in iPXE

// InitrdFor returns the initrd that a Linux kernel finds when out is booted,
// nil if there is none.
//
// On a BIOS machine iPXE hands over everything that is loaded, each image padded
// with zeros to where the next begins, a multiple of 4096 bytes.
//
// On an EFI machine the kernel reads the files that initrd= arguments of its
// command line name, in order and without regard to case, out of those loaded.
// Images that no argument names, or an argument that names none, are
// ErrNoInitrd. (Kernels from 5.8 on can do without the argument under a recent
// iPXE; what boots here boots on the others too.) The name "initrd.magic" stands
// for everything, as on a BIOS machine.
func InitrdFor(out Outcome) ([]byte, error) {
	for _, i := range out.Initrds {
		if i.Args != "" {
			return nil, fmt.Errorf("initrd %q has arguments: files inside an initrd are not simulated", i.Name)
		}
	}
	if out.Platform != EFI {
		return joinInitrds(out.Initrds), nil
	}
	var found []byte
	named := false
	for word := range strings.FieldsSeq(out.CommandLine) {
		name, ok := strings.CutPrefix(word, "initrd=")
		if !ok {
			continue
		}
		named = true
		data, err := efiFile(out, strings.TrimLeft(name, `\/`))
		if err != nil {
			return nil, err
		}
		if found == nil {
			found = data // most have one, which need not be copied
			continue
		}
		found = slices.Concat(found, data)
	}
	if !named && len(out.Initrds) > 0 {
		return nil, fmt.Errorf("%w: %q is loaded but no initrd= of the kernel command line names it", ErrNoInitrd, out.Initrds[0].Name)
	}
	return found, nil
}

func efiFile(out Outcome, name string) ([]byte, error) {
	if name == "initrd.magic" {
		return joinInitrds(out.Initrds), nil
	}
	var names []string
	for _, i := range out.Initrds {
		if strings.EqualFold(i.Name, name) {
			return i.Data, nil
		}
		names = append(names, i.Name)
	}
	return nil, fmt.Errorf("%w: initrd=%s names none of the images %q", ErrNoInitrd, name, names)
}

func joinInitrds(initrds []Initrd) []byte {
	if len(initrds) == 1 {
		return initrds[0].Data
	}
	var all []byte
	for _, i := range initrds {
		if pad := -len(all) & (initrdAlign - 1); pad > 0 {
			all = append(all, make([]byte, pad)...)
		}
		all = append(all, i.Data...)
	}
	return all
}

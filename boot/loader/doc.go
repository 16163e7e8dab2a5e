// Package loader knows what boot loaders do with kernel arguments on the way to the
// kernel: which they would change, and how those that they leave alone are written.
//
//	if err := loader.Check(args, loader.Syslinux, loader.GRUB); err != nil {
//		return err
//	}
//	script := "linux " + loader.GRUBWords("/boot/vmlinuz", args)
//
// A [Rule] says what one loader does with one argument. [Check] asks the rules of all
// loaders that a machine may come through, and adds what holds whichever it is: what a
// command line cannot carry, and what a kernel that is started on UEFI takes for itself.
// The rules were read from the loaders' sources, whose files the comments name.
package loader

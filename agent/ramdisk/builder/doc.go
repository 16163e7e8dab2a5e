// Package builder makes a ramdisk of an agent and the kernel modules that it
// needs: what a kernel is given to boot, to deploy a machine.
//
//	err := builder.Write(w, builder.Config{Agent: "ferrule-ramdisk", Modules: []string{"nvme", "ixgbe"}, ModulesDir: "/lib/modules/6.1.0-50-amd64"})
//
// The agent is the first and only program of it, unless it is to be one for
// rescues, too ([Config].Busybox). The same parts give the same bytes.
package builder

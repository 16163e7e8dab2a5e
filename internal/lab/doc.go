//go:build linux

// Package lab is a network of its own with real firmware in it: what tests need
// that run this module's servers and drivers against QEMU, and against other
// people's programs.
//
//	func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }
//
//	func TestChain(t *testing.T) {
//		net := lab.Network(t)
//		...
//	}
//
// Tests run where FERRULE_LAB is 1, and are skipped elsewhere. [Main] runs them in
// a network namespace that ends with them, so nothing that they do to the network
// is seen outside or left behind. What they need beside packages of Debian, they
// download from its archive once, into a folder of the user's cache.
package lab

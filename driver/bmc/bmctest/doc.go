// Package bmctest has a machine as its BMC sees it: power, boot settings, virtual
// drives, users and licence. Simulated BMCs show it by their protocols:
// redfishtest by Redfish, ilotest by RIBCL.
//
//	m := bmctest.NewMachine()
//	m.OnPower = func(on bool) { ... }
//
// Its hooks join it to something that really starts, such as a machine of package
// sim; without them it remembers only. It may be used by many at once.
package bmctest

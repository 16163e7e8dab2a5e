// Package snmp switches machines by the outlets of a power distribution unit that
// speaks SNMP.
//
//	d := driver.Driver{Title: "pxe_snmp", Power: snmp.New(snmp.Config{}), Boot: b, Deploy: d}
//
// driver_info.snmp_driver says which model a node's unit is, by Ironic's names; auto
// asks the unit. Versions 1, 2c and 3 are spoken, version 3 with authentication and
// privacy.
//
// Each command opens a socket and closes it. There is no management interface beside
// it: the machine's boot order is set by hand, with the network first.
package snmp

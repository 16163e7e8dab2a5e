// Package wol wakes machines by Wake-on-LAN: a magic packet for each of a node's
// ports.
//
//	d := driver.Driver{Title: "agent_wol", Power: wol.New(wol.Config{}), Boot: b, Deploy: d}
//
// A packet can turn a machine on, and nothing else. Whether it runs is found out by
// driver_info.wol_probe, a TCP address that answers while it does, or by
// Config.Running; without either, what was last done counts, which is the node's
// power_state.
//
// Off is something that the machine does by itself, as the deploy ramdisk does at
// its end, or that Config.Off does: SetPowerState waits until it has happened, and
// fails with a remedy when it does not. Reboot is off, then a packet. So a deploy
// needs a machine that is off when it begins, or Config.Off.
package wol

package main

import (
	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/driver/sim"
)

// connect has the BMC's machine be m: what the iLO switches is switched there.
func connect(b *bmctest.Machine, m *sim.Machine) {
	b.IsOn = func() bool {
		s, _ := m.State()
		return s != sim.Off
	}
	b.OnPower = func(on bool) {
		if on {
			m.PowerOn()
		} else {
			m.PowerOff()
		}
	}
	b.OnBoot = func(d boot.Device, once bool) { m.SetBootDevice(driver.BootSetting{Device: d, Persistent: !once}) }
	b.OnMedia = func(string, string) {
		media := b.Media()
		m.SetMedia(media[bmctest.CD], media[bmctest.Floppy])
	}
}

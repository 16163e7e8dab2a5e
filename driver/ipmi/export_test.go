package ipmi

import (
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

var (
	DecodeFlags = decodeFlags
	ParseRaw    = parseRaw
)

func EncodeFlags(s driver.BootSetting, mode task.BootMode) []byte {
	return encodeFlags(s, firmware{mode: mode})
}

// Lanes returns how many BMCs a remembers.
func (a *Access) Lanes() int {
	a.gate.mu.Lock()
	defer a.gate.mu.Unlock()
	return len(a.gate.lanes)
}

package ipmitool_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver/ipmitool"
)

func TestParseBytes(t *testing.T) {
	got, err := ipmitool.ParseBytes(" 01 05 e0 04\n 00 00\n")
	require.NoError(t, err)
	require.Equal(t, []byte{1, 5, 0xe0, 4, 0, 0}, got)
	for _, bad := range []string{"Chassis Power is on", "1", "001", "zz"} {
		_, err := ipmitool.ParseBytes(bad)
		require.Error(t, err, bad)
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(" 01 05 e0 04\n")
	f.Add("Lab Temp,37,degrees C,ok\n")
	f.Add("Unable to send RAW command (channel=0x0 netfn=0x0 lun=0x0 cmd=0x55 rsp=0xc1): Invalid command")
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = ipmitool.ParseBytes(text)
		_, _ = ipmitool.Completion(text)
		for _, s := range ipmitool.ParseSensors(text) {
			if s.State == "ns" {
				t.Errorf("%q has a sensor without a reading", text)
			}
		}
	})
}

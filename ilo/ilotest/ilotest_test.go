package ilotest_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/ilo/ilotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	m := bmctest.NewMachine()
	config := ilotest.Config{Generation: 4, Machine: m, Quirks: []ilotest.Quirk{ilotest.PowerLater}}
	fmt.Println(config.Generation, config.Quirks)
	// Output: 4 [power is acknowledged and changes later]
}

func TestGenerations(t *testing.T) {
	for g := 2; g <= 6; g++ {
		i := ilotest.NewILO(t, ilotest.Config{Generation: g})
		require.Equal(t, g >= 5, i.Redfish != nil)
		require.NotEmpty(t, i.DriverInfo()["ilo_address"])
		require.Empty(t, i.Requests())
		require.Zero(t, i.Refused())
	}
}

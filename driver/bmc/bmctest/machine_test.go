package bmctest_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver/bmc/bmctest"
)

func Example() {
	m := bmctest.NewMachine()
	m.OnPower = func(on bool) { fmt.Println("power", on, "from", m.State().Once) }
	m.SetBoot(boot.CDROM, true)
	m.SetPower(true)
	fmt.Printf("%q\n", m.State().Once)
	// Output:
	// power true from cdrom
	// ""
}

func TestMachine(t *testing.T) {
	m := bmctest.NewMachine()
	require.True(t, m.Knows(bmctest.User, bmctest.Password))
	m.SetPassword(bmctest.User, "")
	require.False(t, m.Knows(bmctest.User, ""))
	m.Insert(bmctest.CD, "x")
	require.Equal(t, map[string]string{"cd": "x"}, m.Media())
	m.Insert(bmctest.CD, "")
	require.Empty(t, m.Media())
	m.Change(func(s *bmctest.State) { s.Post = 1; s.Jammed = true })
	post := func(s *bmctest.State) *int { return &s.Post }
	require.True(t, m.CountDown(post))
	require.False(t, m.CountDown(post))
	m.SetPower(true)
	require.False(t, m.State().On)
}

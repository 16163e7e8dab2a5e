package redfish_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/driver/redfish"
	"github.com/ferrule/ferrule/driver/redfish/redfishtest"
	"github.com/ferrule/ferrule/task"
)

func TestProtocol(t *testing.T) {
	b := redfishtest.NewBMC(t, redfishtest.Config{Quirks: []redfishtest.Quirk{redfishtest.NoIPMI}})
	c := clientOf(t, b)
	p, err := c.Protocol(t.Context(), "HTTPS")
	require.NoError(t, err)
	require.Equal(t, redfish.Protocol{ProtocolEnabled: true, Port: 443}, p)
	_, err = c.Protocol(t.Context(), "IPMI")
	require.ErrorIs(t, err, task.ErrUnsupported)
	require.ErrorContains(t, err, "IPMI")
	_, err = c.Protocol(t.Context(), "HostName")
	require.ErrorContains(t, err, "HostName is no protocol")

	b = redfishtest.NewBMC(t, redfishtest.Config{})
	b.Machine.Change(func(s *bmctest.State) { s.IPMIOff = true })
	p, err = clientOf(t, b).Protocol(t.Context(), "IPMI")
	require.NoError(t, err)
	require.Equal(t, redfish.Protocol{Port: 623}, p)
}

func clientOf(t *testing.T, b *redfishtest.BMC) *redfish.Client {
	c, err := newBMCs(t).Client(redfish.Access{Address: b.URL, Username: bmctest.User, Password: bmctest.Password, TLS: bmc.TLS{Fingerprint: b.Fingerprint()}})
	require.NoError(t, err)
	return c
}

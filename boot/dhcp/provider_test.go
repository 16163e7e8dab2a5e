package dhcp_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/task"
)

// providers are one of each kind.
func providers(t *testing.T) map[string]dhcp.Provider {
	return map[string]dhcp.Provider{"None": dhcp.None{}, "Dnsmasq": newDnsmasq(t), "Responder": newSite(t)}
}

func TestEveryProvider(t *testing.T) {
	t.Parallel()
	for name, p := range providers(t) {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			b := dhcp.Boot{IPv4: aBoot().IPv4}
			require.NoError(t, p.CheckBoot(b))
			require.NoError(t, p.SetBoot(ctx, aTask("n1", port1), b))
			require.NoError(t, p.SetBoot(ctx, aTask("n1", "52-54-00-77-00-02"), b), "the last call counts")
			require.NoError(t, p.ClearBoot(ctx, "n1"))
			require.NoError(t, p.ClearBoot(ctx, "n1"), "twice")
			require.NoError(t, p.ClearBoot(ctx, "never seen"))

			bad := dhcp.Boot{IPv4: dhcp.Files{Script: "nowhere"}}
			require.ErrorIs(t, p.CheckBoot(bad), task.ErrInvalidParameter)
			err := p.SetBoot(ctx, aTask("n1", port1, "no address"), bad)
			require.ErrorIs(t, err, task.ErrInvalidParameter)
			require.Len(t, task.Problems(err), 2, "the boot and the port: %v", err)

			no := false
			quiet := aTask("n1")
			quiet.Ports = []*task.Port{{Address: port1, PXEEnabled: &no}}
			require.ErrorIs(t, p.SetBoot(ctx, quiet, b), task.ErrMissingParameter)
			require.ErrorIs(t, p.SetBoot(ctx, aTask("", port1), b), task.ErrMissingParameter)

			ib := aTask("n1", "80:00:02:08:fe:80:00:00:00:00:00:00:00:02:c9:03:00:0f:5e:19")
			require.ErrorIs(t, p.SetBoot(ctx, ib, b), task.ErrMissingParameter)
			ib.Ports[0].Extra = task.Info{"client-id": "what?"}
			require.ErrorContains(t, p.SetBoot(ctx, ib, b), "port.extra.client-id")
		})
	}
}

func TestAddressesUnsupported(t *testing.T) {
	t.Parallel()
	_, err := dhcp.Addresses(context.Background(), dhcp.None{}, "n1")
	require.ErrorIs(t, err, task.ErrUnsupported)
	d, err := dhcp.NewDnsmasq(dhcp.DnsmasqConfig{HostsDir: t.TempDir(), OptsDir: t.TempDir()})
	require.NoError(t, err)
	_, err = dhcp.Addresses(context.Background(), d, "n1")
	require.ErrorIs(t, err, task.ErrUnsupported, "no lease file")
}

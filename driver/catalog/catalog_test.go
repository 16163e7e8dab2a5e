package catalog_test

import (
	"context"
	"flag"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/catalog"
	"github.com/ferrule/ferrule/driver/console"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/driver/ipmi"
	"github.com/ferrule/ferrule/ilo"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write CATALOG.md")

// The list for people is the one that is registered.
func TestTable(t *testing.T) {
	const file = "CATALOG.md"
	want := "# The composite drivers\n\nMade from the code by `go test ./driver/catalog -update`.\n\n" + catalog.Markdown()
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(want), 0o644))
	}
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "run go test ./driver/catalog -update")
}

func bmc() catalog.BMC {
	return catalog.BMC{Power: &drivertest.Power{}, Management: &drivertest.Management{}, Boot: &drivertest.Boot{}, Vendor: &drivertest.Vendor{}}
}

// full has every part.
func full() catalog.Config {
	withoutMedia := bmc()
	withoutMedia.Boot = nil
	return catalog.Config{
		PXE: &drivertest.Boot{}, IPXE: &drivertest.Boot{}, HTTP: &drivertest.Boot{},
		ISCSI: &drivertest.Deploy{}, Agent: &drivertest.Deploy{},
		IPMITool: withoutMedia, IPMINative: withoutMedia, ILO: bmc(), Redfish: bmc(),
		SNMP: &drivertest.Power{}, WOL: &drivertest.Power{}, Webhook: &drivertest.Power{},
		Inspect: &drivertest.Inspect{}, Rescue: &drivertest.Rescue{},
	}
}

func TestEverythingIsRegistered(t *testing.T) {
	var r driver.Registry
	c := full()
	require.NoError(t, catalog.Register(&r, c))
	var want []string
	for _, row := range catalog.Composites() {
		want = append(want, row.Name)
	}
	slices.Sort(want)
	require.Equal(t, want, r.Drivers.Names())
	require.Subset(t, want, []string{
		"pxe_ipmitool", "pxe_ipminative", "agent_ipmitool", "agent_ipminative", "pxe_ilo", "iscsi_ilo", "agent_ilo", "pxe_snmp", "agent_wol",
		"fake", "fake_ipmitool", "ipxe_ipmitool", "http_redfish", "agent_redfish", "iscsi_redfish",
	})
	require.Equal(t, []string{"fake", "http", "ilo-virtual-media", "ipxe", "pxe", "redfish-virtual-media"}, r.Boot.Names())
	require.Equal(t, []string{"direct", "fake", "iscsi"}, r.Deploy.Names())

	// Each has the parts that its row names.
	get := func(name string) *driver.Driver {
		d, ok := r.Drivers.Get(name)
		require.True(t, ok, name)
		return d
	}
	require.Same(t, c.PXE, get("pxe_ipmitool").Boot)
	require.Same(t, c.ISCSI, get("pxe_ipmitool").Deploy)
	require.Same(t, c.IPMITool.Management, get("pxe_ipmitool").Management)
	require.Same(t, c.PXE, get("agent_ipmitool").Boot)
	require.Same(t, c.Agent, get("agent_ipmitool").Deploy)
	require.Same(t, c.ILO.Boot, get("agent_ilo").Boot)
	require.Same(t, c.ILO.Boot, get("iscsi_ilo").Boot)
	require.Same(t, c.PXE, get("pxe_ilo").Boot)
	require.Nil(t, get("pxe_snmp").Management)
	require.Same(t, c.Inspect, get("pxe_snmp").Inspect)
	require.Nil(t, get("fake_ipmitool").Boot)

	require.ErrorIs(t, catalog.Register(&r, c), task.ErrExists)
}

func TestMissingParts(t *testing.T) {
	var none driver.Registry
	require.NoError(t, catalog.Register(&none, catalog.Config{}))
	require.Equal(t, []string{"fake"}, none.Drivers.Names())

	var some driver.Registry
	var nilBoot *drivertest.Boot // what a constructor that failed leaves
	c := catalog.Config{IPXE: &drivertest.Boot{}, PXE: nilBoot, Agent: &drivertest.Deploy{}, IPMITool: bmc()}
	require.NoError(t, catalog.Register(&some, c))
	require.Equal(t, []string{"agent_ipxe_ipmitool", "fake", "fake_ipmitool"}, some.Drivers.Names())
	require.Equal(t, []string{"fake", "ipmitool"}, some.Power.Names())
}

func TestConsoles(t *testing.T) {
	c := full()
	c.IPMITool.Console = &drivertest.Console{}
	var r driver.Registry
	require.NoError(t, catalog.Register(&r, c))
	d, _ := r.Drivers.Get("agent_ipmitool")
	require.Same(t, c.IPMITool.Console, d.Console)
	d, _ = r.Drivers.Get("agent_ilo")
	require.Nil(t, d.Console)
	require.Equal(t, []string{"fake", "ipmitool"}, r.Console.Names())
}

// An ipmiClient has one console.
type ipmiClient struct {
	ipmi.Client
	console io.ReadWriteCloser
	user    string // who opened it
}

func (c *ipmiClient) Check(*ipmi.BMC) error { return nil }

func (c *ipmiClient) Console(_ context.Context, b *ipmi.BMC) (io.ReadWriteCloser, error) {
	c.user = b.Username
	return c.console, nil
}

// The iLO's composites show the machine's serial console in the hub of all consoles,
// joined from package ilo and a package of IPMI.
func TestILOConsole(t *testing.T) {
	ours, theirs := net.Pipe()
	client := &ipmiClient{console: ours}
	hub := console.NewHub(console.Config{URL: "https://192.0.2.1/console/"})
	defer hub.Close()
	var ilos ilo.BMCs
	defer ilos.Close()
	c := full()
	c.ILO.Console = hub.Console(ilos.SerialConsole(ipmi.New("ipmitool", client, ipmi.Config{}).Console()))
	var r driver.Registry
	require.NoError(t, catalog.Register(&r, c))
	require.Equal(t, []string{"fake", "ilo"}, r.Console.Names())
	for _, name := range []string{"pxe_ilo", "iscsi_ilo", "agent_ilo", "agent_ipxe_ilo", "fake_ilo"} {
		d, _ := r.Drivers.Get(name)
		require.Same(t, c.ILO.Console, d.Console, name)
	}
	n := tasktest.Node("n1")
	n.Driver, n.DriverInfo = "agent_ilo", task.Info{"ilo_address": "192.0.2.7", "ilo_username": "admin", "ilo_password": "s3cret"}
	d, err := r.Driver(n)
	require.NoError(t, err)
	tk := tasktest.Task(t, n)
	tk.Driver = d
	require.NoError(t, driver.Of(tk).Console.StartConsole(t.Context(), tk))
	require.Equal(t, "admin", client.user)
	v, err := hub.Attach(n.UUID)
	require.NoError(t, err)
	_, err = theirs.Write([]byte("login: "))
	require.NoError(t, err)
	seen := make([]byte, len("login: "))
	_, err = io.ReadFull(v, seen)
	require.NoError(t, err)
	require.Equal(t, "login: ", string(seen))
	where, err := driver.Of(tk).Console.Console(t.Context(), tk)
	require.NoError(t, err)
	require.Equal(t, "https://192.0.2.1/console/node/"+n.UUID+"/", where.URL)
}

// A node picks a part over its composite's own.
func TestPick(t *testing.T) {
	var r driver.Registry
	c := full()
	require.NoError(t, catalog.Register(&r, c))
	n := tasktest.Node("n1")
	n.Driver, n.BootInterface = "agent_ipmitool", "ipxe"
	d, err := r.Driver(n)
	require.NoError(t, err)
	require.Same(t, c.IPXE, d.(*driver.Driver).Boot)
	n.BootInterface = "fake"
	_, err = r.Driver(n)
	require.ErrorIs(t, err, task.ErrUnsupported)
	require.ErrorContains(t, err, "fake boot interface")
}

// ironics are all names that Ironic's entry points for composite drivers ever had, from
// the first to the last release with them.
const ironics = `
agent_amt agent_iboot agent_ilo agent_ipmitool agent_ipmitool_socat agent_irmc agent_pxe_oneview agent_pyghmi agent_ssh
agent_ucs agent_vbox agent_wol fake fake_agent fake_amt fake_cimc fake_discoverd fake_drac fake_iboot fake_ilo
fake_inspector fake_ipmi fake_ipminative fake_ipmitool fake_ipmitool_socat fake_irmc fake_msftocs fake_oneview fake_pxe
fake_seamicro fake_snmp fake_soft_power fake_ssh fake_ucs fake_vbox fake_wol ilo iscsi_ilo iscsi_irmc iscsi_pxe_oneview
pxe_agent_cimc pxe_amt pxe_drac pxe_drac_inspector pxe_iboot pxe_ilo pxe_ipmi pxe_ipminative pxe_ipmitool
pxe_ipmitool_socat pxe_irmc pxe_iscsi_cimc pxe_msftocs pxe_seamicro pxe_snmp pxe_ssh pxe_ucs pxe_vbox pxe_wol
`

// Each driver that Ironic had is here, or is said to be absent with the reason.
func TestAllOfIronic(t *testing.T) {
	absent := map[string]bool{}
	for _, a := range catalog.Absent {
		require.NotEmpty(t, a.Why)
		for name := range strings.SplitSeq(a.Names, ", ") {
			require.False(t, absent[name], "%s is there twice", name)
			absent[name] = true
			require.False(t, slices.ContainsFunc(catalog.Composites(), func(c catalog.Composite) bool { return c.Name == name }), name)
		}
	}
	var all []string
	for name := range absent {
		all = append(all, name)
	}
	for line := range strings.Lines(catalog.Markdown()) {
		if name, ok := strings.CutPrefix(line, "| `"); ok && strings.HasSuffix(line, "| yes |\n") {
			all = append(all, name[:strings.Index(name, "`")])
		}
	}
	require.ElementsMatch(t, strings.Fields(ironics), all)
}

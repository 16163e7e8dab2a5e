package driver_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// registry holds the driver "fake" and an implementation "other" of every role.
func registry(t *testing.T) (*driver.Registry, driver.Driver) {
	r, o := &driver.Registry{}, drivertest.Driver(nil)
	for _, err := range []error{
		r.Add(drivertest.Driver(nil)),
		r.Power.Add("other", o.Power), r.Deploy.Add("other", o.Deploy), r.Boot.Add("other", o.Boot),
		r.Management.Add("other", o.Management), r.Console.Add("other", o.Console), r.Inspect.Add("other", o.Inspect),
		r.RAID.Add("other", o.RAID), r.Rescue.Add("other", o.Rescue), r.Vendor.Add("other", o.Vendor),
	} {
		require.NoError(t, err)
	}
	return r, o
}

func TestRegistryAdd(t *testing.T) {
	r, _ := registry(t)
	require.ErrorIs(t, r.Add(drivertest.Driver(nil)), task.ErrExists)
	require.ErrorIs(t, r.Add(driver.Driver{Title: "no power"}), task.ErrMissingParameter)
	require.ErrorIs(t, r.Boot.Add("other", &drivertest.Boot{}), task.ErrExists)
	require.ErrorIs(t, r.Boot.Add("", &drivertest.Boot{}), task.ErrMissingParameter)
	require.NoError(t, r.Boot.Add("another", &drivertest.Boot{}))
	require.Equal(t, []string{"another", "other"}, r.Boot.Names())
	require.Equal(t, []string{"fake"}, r.Drivers.Names())
	_, ok := r.Boot.Get("third")
	require.False(t, ok)
}

func TestRegistryDriver(t *testing.T) {
	r, other := registry(t)
	n := tasktest.Node("n1")
	base, ok := r.Drivers.Get("fake")
	require.True(t, ok)
	got, err := r.Driver(n)
	require.NoError(t, err)
	require.Same(t, base, got, "without picks the composite itself is handed out")

	n.PowerInterface, n.DeployInterface, n.BootInterface = "other", "other", "other"
	n.ManagementInterface, n.ConsoleInterface, n.InspectInterface = "other", "other", "other"
	n.RAIDInterface, n.RescueInterface, n.VendorInterface = "other", "other", "other"
	got, err = r.Driver(n)
	require.NoError(t, err)
	require.Equal(t, &other, got) // titled "fake" too
	require.Same(t, other.Boot, got.(*driver.Driver).Boot)
	require.NotSame(t, other.Boot, base.Boot, "the base stays as it is")
}

func TestRegistryDriverOneRoleAtATime(t *testing.T) {
	r, other := registry(t)
	base, _ := r.Drivers.Get("fake")
	tests := map[driver.Role]struct {
		pick func(n *task.Node) *string
		part func(d *driver.Driver) any
	}{
		driver.PowerRole:      {func(n *task.Node) *string { return &n.PowerInterface }, func(d *driver.Driver) any { return d.Power }},
		driver.DeployRole:     {func(n *task.Node) *string { return &n.DeployInterface }, func(d *driver.Driver) any { return d.Deploy }},
		driver.BootRole:       {func(n *task.Node) *string { return &n.BootInterface }, func(d *driver.Driver) any { return d.Boot }},
		driver.ManagementRole: {func(n *task.Node) *string { return &n.ManagementInterface }, func(d *driver.Driver) any { return d.Management }},
		driver.ConsoleRole:    {func(n *task.Node) *string { return &n.ConsoleInterface }, func(d *driver.Driver) any { return d.Console }},
		driver.InspectRole:    {func(n *task.Node) *string { return &n.InspectInterface }, func(d *driver.Driver) any { return d.Inspect }},
		driver.RAIDRole:       {func(n *task.Node) *string { return &n.RAIDInterface }, func(d *driver.Driver) any { return d.RAID }},
		driver.RescueRole:     {func(n *task.Node) *string { return &n.RescueInterface }, func(d *driver.Driver) any { return d.Rescue }},
		driver.VendorRole:     {func(n *task.Node) *string { return &n.VendorInterface }, func(d *driver.Driver) any { return d.Vendor }},
	}
	for role := range tests {
		t.Run(string(role), func(t *testing.T) {
			n := tasktest.Node("n1")
			*tests[role].pick(n) = "other"
			got, err := r.Driver(n)
			require.NoError(t, err)
			for part, tt := range tests {
				want := base
				if part == role {
					want = &other
				}
				require.Same(t, tt.part(want), tt.part(got.(*driver.Driver)), part)
			}

			*tests[role].pick(n) = "nobody"
			_, err = r.Driver(n)
			require.ErrorIs(t, err, task.ErrInvalidParameter)
			require.EqualError(t, err, `driver.Registry: node n1: `+string(role)+`_interface: invalid: "nobody" is not registered (set it to one of ["other"])`)
		})
	}
}

func TestRegistryUnknownNames(t *testing.T) {
	r, _ := registry(t)
	n := tasktest.Node("n1")
	n.Driver = "ipmi"
	_, err := r.Driver(n)
	require.ErrorIs(t, err, task.ErrInvalidParameter)
	require.EqualError(t, err, `driver.Registry: node n1: driver: invalid: "ipmi" is not registered (set it to one of ["fake"])`)

	n.Driver = ""
	_, err = r.Driver(n)
	require.ErrorIs(t, err, task.ErrMissingParameter)

	require.NoError(t, r.Drivers.Add("void", nil))
	n.Driver = "void"
	_, err = r.Driver(n)
	require.ErrorIs(t, err, task.ErrInvalidParameter)

	n.Driver, n.PowerInterface, n.BootInterface, n.VendorInterface = "fake", "a", "other", "b"
	d, err := r.Driver(n)
	require.Nil(t, d)
	require.EqualError(t, err, `driver.Registry: node n1: power_interface: invalid: "a" is not registered (set it to one of ["other"])
driver.Registry: node n1: vendor_interface: invalid: "b" is not registered (set it to one of ["other"])`)
}

func TestRegistryRefusesPairs(t *testing.T) {
	r, _ := registry(t)
	require.NoError(t, r.Deploy.Add("picky", picky{&drivertest.Deploy{}}))
	require.NoError(t, r.Boot.Add("none", nil))
	n := tasktest.Node("n1")
	n.DeployInterface = "picky"
	_, err := r.Driver(n)
	require.NoError(t, err)

	n.BootInterface = "none"
	d, err := r.Driver(n)
	require.Nil(t, d)
	require.ErrorIs(t, err, errNeedsBoot)
	var e *task.Error
	require.True(t, errors.As(err, &e))
	require.Equal(t, "n1", e.Node)
	require.Equal(t, "pick interfaces that fit together", e.Remedy)
}

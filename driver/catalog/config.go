package catalog

import (
	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/fake"
)

// Config has the parts that composites are made of. A part that is nil leaves out
// the composites that need it.
type Config struct {
	PXE  boot.BootInterface // package pxe
	IPXE boot.BootInterface // package ipxe
	HTTP boot.BootInterface // package ipxe with HTTPBoot

	ISCSI deploy.DeployInterface // package iscsi
	Agent deploy.DeployInterface // package agent

	// What reaches machines, by the last word of a composite's name.
	IPMITool, IPMINative, ILO, Redfish BMC
	SNMP, WOL, Webhook                 driver.PowerInterface

	// Inspect is the inspect interface of all composites whose BMC has none of its
	// own; nil where inspection is not enabled.
	Inspect driver.InspectInterface

	// Rescue is the rescue interface of all composites. Nil for none.
	Rescue driver.RescueInterface

	// Fake is how fakes behave.
	Fake fake.Config
}

// A BMC is what one kind of BMC gives. Power is required where any of it is given.
type BMC struct {
	Power      driver.PowerInterface
	Management driver.ManagementInterface
	Vendor     driver.VendorInterface
	Console    driver.ConsoleInterface // one of a console.Hub, or the BMC's own
	Boot       boot.BootInterface      // virtual media
	Inspect    driver.InspectInterface
	RAID       driver.RAIDInterface
}

// A reach is a kind of BMC, or another way to a machine's power, in the table.
type reach struct {
	name  string // the last word of a composite's name, and the interfaces' name
	media string // name of its virtual media; "" for none
	of    func(*Config) BMC
}

// reaches are all of them, in the order of the table.
var reaches = []reach{
	{"ipmitool", "", func(c *Config) BMC { return c.IPMITool }},
	{"ipminative", "", func(c *Config) BMC { return c.IPMINative }},
	{"ilo", "ilo-virtual-media", func(c *Config) BMC { return c.ILO }},
	{"redfish", "redfish-virtual-media", func(c *Config) BMC { return c.Redfish }},
	{"snmp", "", func(c *Config) BMC { return BMC{Power: c.SNMP} }},
	{"wol", "", func(c *Config) BMC { return BMC{Power: c.WOL} }},
	{"webhook", "", func(c *Config) BMC { return BMC{Power: c.Webhook} }},
}

// A named part goes by the name that nodes' fields and the table have.
type named[T any] struct {
	name string
	of   func(*Config) T
}

// boots and deploys are the parts of the columns. Virtual media belongs to its BMC.
var (
	boots = []named[boot.BootInterface]{
		{"pxe", func(c *Config) boot.BootInterface { return c.PXE }},
		{"ipxe", func(c *Config) boot.BootInterface { return c.IPXE }},
		{"http", func(c *Config) boot.BootInterface { return c.HTTP }},
	}
	deploys = []named[deploy.DeployInterface]{
		{"iscsi", func(c *Config) deploy.DeployInterface { return c.ISCSI }},
		{"direct", func(c *Config) deploy.DeployInterface { return c.Agent }},
	}
)

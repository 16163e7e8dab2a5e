// Package catalog names the usual composite drivers and registers those whose parts a
// program has, in one call:
//
//	var registry driver.Registry
//	err := catalog.Register(&registry, catalog.Config{
//		PXE: pxeBoot, IPXE: ipxeBoot, Agent: agentDeploy,
//		IPMITool: catalog.BMC{Power: bmcs.Power(), Management: bmcs.Management(), Vendor: bmcs.Vendor(), Console: hub.Console(bmcs.Console())},
//		ILO:      catalog.BMC{Power: ilos.Power(), Management: ilos.Management(), Boot: iloMedia, Console: hub.Console(ilos.SerialConsole(bmcs.Console()))},
//		Inspect:  inspect,
//	})
//
// Names are Ironic's where it had the driver: pxe_ipmitool boots by PXE and deploys
// over iSCSI, agent_ipmitool boots by PXE and deploys by the agent, agent_ilo boots
// from virtual media. Their kin begin with the way that they boot: ipxe_ipmitool,
// agent_http_redfish. [Composites] lists all of them with their parts, and CATALOG.md
// beside this file is that list.
//
// The single parts are registered too, by Ironic's names of interfaces, so that a node
// may pick one over its composite's own (boot_interface: ipxe).
//
// A part is what its package made, or one of the program's own. Parts of other modules
// (package ipminative) come in the same way; this package imports none of them.
package catalog

package catalog

// Absent are drivers of Ironic that have no composite here, and why: what a node with
// one of them can use instead. With those that [Markdown] marks as Ironic's they are all
// that it ever had, until hardware types took the place of its composites.
var Absent = []struct{ Names, Why string }{
	{"pxe_ipmitool_socat, agent_ipmitool_socat, fake_ipmitool_socat", "a console is a part like others here, and no driver of its own: use pxe_ipmitool, agent_ipmitool or fake_ipmitool with the console of a console.Hub, which gives programs the bare stream as socat does"},
	{"agent_pyghmi", "it is named for what it does: use agent_ipminative"},
	{"pxe_drac_inspector, fake_inspector", "inspection is a part like others here: use pxe_redfish or pxe_ipmitool, with Config.Inspect or a node's inspect_interface"},
	{"pxe_drac, fake_drac, pxe_irmc, iscsi_irmc, agent_irmc, fake_irmc, pxe_iscsi_cimc, pxe_agent_cimc, fake_cimc, pxe_ucs, agent_ucs, fake_ucs", "these vendors' machines speak Redfish by now, and IPMI all along: use the drivers whose name ends in redfish, or in ipmitool"},
	{"iscsi_pxe_oneview, agent_pxe_oneview, fake_oneview", "Ironic dropped them; the machines that OneView manages have iLOs of their own: use the drivers whose name ends in ilo, or in redfish"},
	{"pxe_ssh, agent_ssh, fake_ssh, pxe_vbox, agent_vbox, fake_vbox", "for virtual machines under test, which Ironic dropped: use examples/qemu, driver/sim or the webhook drivers"},
	{"pxe_amt, agent_amt, fake_amt, pxe_iboot, agent_iboot, fake_iboot, pxe_seamicro, fake_seamicro, pxe_msftocs, fake_msftocs", "Ironic dropped them, and there is nothing here to test them on: a webhook can switch such a machine"},
	{"fake_pxe, fake_agent", "a deploy that waits for a machine does not end without one: driver/sim has machines"},
	{"fake_soft_power", "fake has soft power, too"},
	{"pxe_ipmi, fake_ipmi, ilo, fake_discoverd", "names from before a release, or for one: use pxe_ipmitool, fake_ipmitool, iscsi_ilo, and for the last what is said of fake_inspector"},
}

package catalog

// Absent are drivers of Ironic that have no composite here, and why: what a node with
// one of them can use instead.
var Absent = []struct{ Names, Why string }{
	{"pxe_drac, agent_irmc, iscsi_irmc, pxe_irmc, pxe_iscsi_cimc, pxe_agent_cimc, pxe_ucs, agent_ucs", "these machines speak Redfish by now: use the drivers whose name ends in redfish, or ipmitool"},
	{"pxe_ssh, agent_ssh, pxe_vbox, agent_vbox, fake_ssh, fake_vbox", "for virtual machines under test: use examples/qemu, driver/sim or the webhook drivers"},
	{"pxe_amt, agent_amt, pxe_iboot, agent_iboot, pxe_seamicro, pxe_msftocs", "Ironic dropped them, and there is nothing here to test them on; a webhook can switch such a machine"},
	{"fake_pxe, fake_agent", "a deploy that waits for a machine does not end without one: driver/sim has machines"},
}

package boot

// The stages of task.Evidence that boot implementations report.
const (
	StageDHCP    = "DHCP"        // the firmware asked for an address
	StageLoader  = "boot loader" // the firmware fetched its boot loader
	StageScript  = "boot script" // the loader fetched the node's script or menu
	StageKernel  = "kernel"
	StageRamdisk = "ramdisk"
)

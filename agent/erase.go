package agent

import "github.com/ferrule/ferrule/task"

// Erase is how a ramdisk's clean step erase_devices goes about it. The zero value
// is Ironic's default.
type Erase struct {
	Iterations   int  // how often disks without an erasure of their own are overwritten; 0 means once
	NoZeroize    bool // leaves out the last pass, of zeros
	NoATA        bool // does not use the erasure that ATA disks have
	NoNVMe       bool // does not use the erasure that NVMe disks have
	Overwrite    bool // overwrites a disk whose own erasure failed, in place of failing
	SkipReadOnly bool // lets read-only disks be, in place of failing
	Concurrency  int  // disks erased at once; 0 means 4
}

// tell puts e where agents look for it (ironic-python-agent's names).
func (e Erase) tell(n *task.Node) {
	iterations, concurrency := e.Iterations, e.Concurrency
	if iterations == 0 {
		iterations = 1
	}
	if concurrency == 0 {
		concurrency = 4
	}
	for key, value := range map[string]any{
		"agent_erase_devices_iterations":        iterations,
		"agent_erase_devices_zeroize":           !e.NoZeroize,
		"agent_enable_ata_secure_erase":         !e.NoATA,
		"agent_enable_nvme_secure_erase":        !e.NoNVMe,
		"agent_continue_if_secure_erase_failed": e.Overwrite,
		"agent_continue_if_ata_erase_failed":    e.Overwrite, // the name before
		"agent_erase_skip_read_only":            e.SkipReadOnly,
		"disk_erasure_concurrency":              concurrency,
	} {
		n.SetInternal(key, value)
	}
}

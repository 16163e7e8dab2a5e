package ramdisk

import (
	"fmt"
	"os"
	"strings"
)

// peakMemory is the most memory in MiB that this process was ever resident in, and
// 0 where the kernel does not tell. It is logged after an image was written: a
// ramdisk shares a machine's memory with nothing else, and small machines have little.
func peakMemory() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	var kib int64
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		return 0
	}
	return (kib + 1023) / 1024
}

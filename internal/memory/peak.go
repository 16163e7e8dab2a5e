// Package memory tells how much memory this process has used.
package memory

import (
	"fmt"
	"os"
	"strings"
)

// PeakKiB is the most memory in KiB that this process was ever resident in, and 0
// where the kernel does not tell. What a parent learns of its child in another way
// counts what the parent had when it started it.
func PeakKiB() (kib int64) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		return 0
	}
	return kib
}

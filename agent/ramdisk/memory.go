package ramdisk

import "github.com/ferrule/ferrule/internal/memory"

// peakMemory is the most memory in MiB that this process was ever resident in, and
// 0 where the kernel does not tell. It is logged after an image was written: a
// ramdisk shares a machine's memory with nothing else, and small machines have little.
func peakMemory() int64 { return (memory.PeakKiB() + 1023) / 1024 }

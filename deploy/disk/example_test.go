package disk_test

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/deploy/disk"
)

// A disk is divided for a partition image that boots by UEFI.
func Example() {
	d := &disk.Disk{Device: make(medium, 100<<20), Size: 100 << 20}
	plan, err := disk.Layout{BootMode: disk.UEFI, LocalBoot: true, ESPMiB: 40, SwapMiB: 10, RootMiB: 40}.Plan(d)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(plan, plan.Write(d))
	if _, err := disk.Format(context.Background(), plan.Section(d, disk.ESP), "vfat", "efi-part", ""); err != nil {
		fmt.Println(err)
	}
	table, err := disk.Read(d)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range table.Partitions {
		fmt.Println(p.Number, p.Name, p.Start>>20, p.Size>>20)
	}
	// Output:
	// efi system partition of 40 MiB, swap of 10 MiB, root of 40 MiB <nil>
	// 1 efi-part 1 40
	// 2 swap1 41 10
	// 3 root 51 40
}

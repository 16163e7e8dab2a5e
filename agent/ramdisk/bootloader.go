package ramdisk

import (
	"context"
	"encoding/json"
	"net/http"
)

// A BootLoader is what image.install_bootloader asks for.
type BootLoader struct {
	Disk     string `json:"-"` // the disk that the image was written to
	RootUUID string `json:"root_uuid"`
	ESPUUID  string `json:"efi_system_part_uuid"`
	PRePUUID string `json:"prep_boot_part_uuid"`
	BootMode string `json:"target_boot_mode"` // "" means bios
}

// A BootLoaderInstaller is a [Host] that can have the image of a partition's
// install its boot loader, by tools of the ramdisk. Other hosts answer
// image.install_bootloader with an error; whole-disk images bring theirs.
type BootLoaderInstaller interface {
	// InstallBootLoader returns when the disk boots by itself. It may be called
	// again.
	InstallBootLoader(ctx context.Context, b BootLoader) error
}

func bootLoaderError(details string) error {
	return &commandError{"CommandExecutionError", http.StatusInternalServerError, "Command execution failed", "Installing the boot loader failed: " + details}
}

func (a *agent) installBootLoader(ctx context.Context, _ *command, p parameters) (any, error) {
	var b BootLoader
	text, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(text, &b)
	}
	if err != nil {
		return nil, invalidParams("UUIDs and target_boot_mode are texts")
	}
	w := a.lastWritten()
	b.Disk = w.disk.Name
	installer, ok := a.host.(BootLoaderInstaller)
	switch {
	case b.Disk == "":
		return nil, bootLoaderError("no image was written by this ramdisk")
	case w.uuids == nil:
		return nil, nil // a whole-disk image has its own
	case b.RootUUID != w.uuids[rootUUID]:
		return nil, bootLoaderError("no file system has the root_uuid given")
	case !ok:
		return nil, bootLoaderError("this ramdisk has no tools for it; use a whole-disk image, or boot_option netboot")
	}
	if err := installer.InstallBootLoader(ctx, b); err != nil {
		return nil, bootLoaderError(err.Error())
	}
	return nil, nil
}

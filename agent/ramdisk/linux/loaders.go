//go:build linux

package linux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// hasLoader reports whether the image brings what firmware starts that nobody has
// told anything: its EFI/BOOT/BOOTX64.EFI, by whatever architecture's name. FAT
// knows no case.
func (r *root) hasLoader() bool {
	folders, _ := os.ReadDir(filepath.Join(r.dir, "boot/efi/EFI"))
	for _, f := range folders {
		if !strings.EqualFold(f.Name(), "BOOT") {
			continue
		}
		files, _ := os.ReadDir(filepath.Join(r.dir, "boot/efi/EFI", f.Name()))
		for _, file := range files {
			if ok, _ := path.Match("boot*.efi", strings.ToLower(file.Name())); ok {
				return true
			}
		}
	}
	return false
}

// copyLoaders copies the image's own loaders, which may be signed as those that
// grub makes are not, to the ESP. An image that has grub, too, has it write its
// configuration first.
func (g grub) copyLoaders(ctx context.Context, r *root, installer string) error {
	if installer != "" {
		if err := r.mountKernel(); err != nil {
			return err
		}
		if err := r.configure(ctx, installer); err != nil {
			return err
		}
	}
	image, err := os.OpenRoot(r.dir) // an image's links lead nowhere else
	if err != nil {
		return err
	}
	defer image.Close()
	from, err := image.OpenRoot("boot/efi") // it stays the image's when the ESP is mounted over it
	if err != nil {
		return err
	}
	defer from.Close()
	if err := r.mount(g.esp, "boot/efi", "vfat"); err != nil {
		return err
	}
	to, err := os.OpenRoot(filepath.Join(r.dir, "boot/efi"))
	if err != nil {
		return err
	}
	defer to.Close()
	if err := copyFolder(to, from, "EFI"); err != nil {
		return fmt.Errorf("copying the image's /boot/efi: %w", err)
	}
	return copyConfig(to, image)
}

// copyFolder copies a folder, and the files that links lead to in their place: the
// ESP's file system has no links. Links to folders are left out, and those that lead
// to nothing unless it would be a loader.
func copyFolder(to, from *os.Root, name string) error {
	return fs.WalkDir(from.FS(), name, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return to.MkdirAll(name, 0o755)
		}
		info, err := from.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist) && !strings.EqualFold(path.Ext(name), ".efi"):
			return nil
		case err != nil:
			return err
		case !info.Mode().IsRegular():
			return nil
		}
		return copyFile(to, from, name, name)
	})
}

func copyFile(to, from *os.Root, name, source string) error {
	in, err := from.Open(source)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := to.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// copyConfig gives loaders that have none the configuration of the image's grub2,
// whose distributions' loaders look for it beside themselves.
func copyConfig(to, image *os.Root) error {
	folders, err := fs.ReadDir(to.FS(), "EFI")
	if err != nil {
		return err
	}
	for _, f := range folders {
		if !f.IsDir() {
			continue
		}
		for _, file := range []string{"grub.cfg", "grubenv"} {
			source, name := path.Join("boot/grub2", file), path.Join("EFI", f.Name(), file)
			info, err := image.Stat(source)
			if err != nil || !info.Mode().IsRegular() {
				continue
			}
			if _, err := to.Stat(name); err == nil {
				continue
			}
			if err := copyFile(to, image, name, source); err != nil {
				return err
			}
		}
	}
	return nil
}

// addToFstab has the instance mount the ESP, if it mounts anything.
func (r *root) addToFstab(id string) error {
	image, err := os.OpenRoot(r.dir)
	if err != nil {
		return err
	}
	defer image.Close()
	f, err := image.OpenFile("etc/fstab", os.O_RDWR|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil || strings.Contains(string(text), "UUID="+id) {
		return err
	}
	line := "UUID=" + id + "\t/boot/efi\tvfat\tumask=0077\t0\t1\n"
	if len(text) > 0 && text[len(text)-1] != '\n' {
		line = "\n" + line
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}

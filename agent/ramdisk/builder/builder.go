package builder

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/ferrule/ferrule/agent/ramdisk/initramfs"
	"github.com/ferrule/ferrule/agent/ramdisk/linux"
	"github.com/ferrule/ferrule/task"
)

// Config says what a ramdisk consists of. Agent is required.
type Config struct {
	// Agent is the path of a static program for the machine's architecture, as
	// "go build" makes of agent/ramdisk/cmd/ferrule-ramdisk with CGO_ENABLED=0.
	Agent string

	// Modules are the names of kernel modules to load, in this order, each behind
	// those that it needs. What is built into the kernel is passed over.
	Modules []string

	// ModulesDir is where the kernel's modules are, as /lib/modules/RELEASE. It is
	// required with Modules.
	ModulesDir string

	// Busybox is the path of a static busybox for the machine's architecture, as
	// Debian's package busybox-static has it. With it the ramdisk is one for rescues
	// as well: the rescue user logs in on the kernel's consoles. Empty: it is not,
	// unless Files have a program /sbin/rescue (linux.RescueProgram) of the site's own.
	Busybox string

	// Files are further files. An etc/modules among them is refused; a sbin/rescue is
	// taken in place of Busybox's.
	Files []initramfs.File
}

// Write writes the ramdisk, every problem at once being an error before that.
func Write(w io.Writer, c Config) error {
	const op = "builder.Write"
	files := []initramfs.File{{Name: "etc", Mode: fs.ModeDir | 0o755}}
	var errs []error
	agent, err := os.ReadFile(c.Agent)
	if err != nil {
		errs = append(errs, &task.Error{Op: op, Field: "Agent", Err: err, Remedy: "build it: CGO_ENABLED=0 go build ./agent/ramdisk/cmd/ferrule-ramdisk"})
	}
	files = append(files, initramfs.File{Name: "init", Mode: 0o755, Data: agent})
	if c.Busybox != "" {
		busybox, err := os.ReadFile(c.Busybox)
		if err != nil {
			errs = append(errs, &task.Error{Op: op, Field: "Busybox", Err: err, Remedy: "name a static busybox"})
		}
		files = append(files, rescue(busybox)...)
	}
	modules, err := c.modules()
	if err != nil {
		errs = append(errs, &task.Error{Op: op, Field: "Modules", Err: err})
	}
	for _, f := range c.Files {
		if path.Clean("/"+f.Name) == linux.ModulesFile {
			errs = append(errs, &task.Error{Op: op, Field: "Files", Err: fmt.Errorf("%w: %s", task.ErrExists, f.Name), Remedy: "name the modules in Modules"})
		}
	}
	if err := task.Join(errs...); err != nil {
		return err
	}
	return initramfs.Write(w, append(append(files, modules...), c.Files...))
}

// modules returns the files of the modules, and the list of them.
func (c *Config) modules() ([]initramfs.File, error) {
	if len(c.Modules) == 0 {
		return nil, nil
	}
	t, err := readTree(c.ModulesDir)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, name := range c.Modules {
		errs = append(errs, t.add(name))
	}
	if err := task.Join(errs...); err != nil {
		return nil, err
	}
	var files []initramfs.File
	var list strings.Builder
	for _, p := range t.order {
		data, err := os.ReadFile(filepath.Join(c.ModulesDir, filepath.FromSlash(p)))
		if err != nil {
			return nil, err
		}
		at := path.Join("lib/modules", p)
		files = append(files, initramfs.File{Name: at, Mode: 0o644, Data: data})
		fmt.Fprintf(&list, "/%s\n", at)
	}
	return append(files, initramfs.File{Name: linux.ModulesFile[1:], Mode: 0o644, Data: []byte(list.String())}), nil
}

// Mkramdisk makes a ramdisk that deploys machines: the agent, and the modules of a
// kernel that it needs.
//
//	mkramdisk -o ramdisk.img
//	mkramdisk -o ramdisk.img -modules /lib/modules/6.1.0-50-amd64 -load nvme,ixgbe
//	mkramdisk -o rescue.img -rescue /bin/busybox
//
// The agent is built by the go command, for this architecture or $GOARCH, unless
// -agent names one.
package main

import (
	"errors"
	"flag"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ferrule/ferrule/agent/ramdisk/builder"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("mkramdisk: ")
	out := flag.String("o", "ramdisk.img", "file to write")
	agent := flag.String("agent", "", "static program of the agent; empty: it is built")
	modules := flag.String("modules", "", "folder of the kernel's modules, with modules.dep")
	load := flag.String("load", "", "names of modules to load, separated by commas")
	busybox := flag.String("rescue", "", "static busybox that a rescue user works with, as Debian's package busybox-static has it; empty: machines cannot be rescued by the ramdisk")
	flag.Parse()
	c := builder.Config{Agent: *agent, ModulesDir: *modules, Busybox: *busybox}
	if *load != "" {
		c.Modules = strings.Split(*load, ",")
	}
	if err := write(c, *out); err != nil {
		log.Fatal(err)
	}
}

// write makes the file in one step: what is there before stays until then.
func write(c builder.Config, out string) error {
	dir, err := os.MkdirTemp(filepath.Dir(out), ".mkramdisk-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if c.Agent == "" {
		c.Agent = filepath.Join(dir, "agent")
		if err := build(c.Agent); err != nil {
			return err
		}
	}
	f, err := os.Create(filepath.Join(dir, "ramdisk"))
	if err != nil {
		return err
	}
	if err := errors.Join(builder.Write(f, c), f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), out)
}

func build(to string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", to, "github.com/ferrule/ferrule/agent/ramdisk/cmd/ferrule-ramdisk")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

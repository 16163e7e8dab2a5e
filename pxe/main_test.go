package pxe_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/netboot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/pxe"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const rootUUID = "1f3b9e64-7a50-4c1d-9e58-c10f6d0f2a11"

// site is a Boot, what it serves, and the BMCs of its nodes.
type site struct {
	tree *artifact.Tree
	boot *pxe.Boot
	bmcs *drivertest.Management
	dir  string // image directory with a kernel and a ramdisk
}

func newSite(t testing.TB, change ...func(*pxe.Config)) *site {
	t.Helper()
	s := &site{tree: new(artifact.Tree), bmcs: new(drivertest.Management), dir: t.TempDir()}
	for _, name := range []string{"kernel", "ramdisk"} {
		require.NoError(t, os.WriteFile(filepath.Join(s.dir, name), []byte(name), 0o600))
	}
	cfg := pxe.Config{Site: netboot.Site{Tree: s.tree, TFTP: "192.0.2.1", ImageDirs: []string{s.dir}}}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	s.boot, err = pxe.New(t.Context(), cfg)
	require.NoError(t, err)
	return s
}

func (s *site) task(t testing.TB, name string) *task.Task {
	n := tasktest.Node(name)
	n.DriverInfo["deploy_kernel"] = filepath.Join(s.dir, "kernel")
	n.DriverInfo["deploy_ramdisk"] = filepath.Join(s.dir, "ramdisk")
	n.Properties = nil
	tk := tasktest.Task(t, n)
	tk.Driver = &driver.Driver{Boot: s.boot, Management: s.bmcs}
	return tk
}

// netbooted returns a task on a node whose partition image boots over the
// network.
func (s *site) netbooted(t testing.TB, name, capabilities string) *task.Task {
	tk := s.task(t, name)
	tk.Node.InstanceInfo = task.Info{"capabilities": "boot_option:netboot" + capabilities, "kernel": filepath.Join(s.dir, "kernel"), "ramdisk": filepath.Join(s.dir, "ramdisk")}
	tk.Node.SetInternal("root_uuid_or_disk_id", rootUUID)
	return tk
}

func (s *site) get(name string) (string, error) {
	data, err := fs.ReadFile(s.tree, name)
	return string(data), err
}

// left is what is published beyond what is for all machines.
func (s *site) left() []string {
	var names []string
	for _, n := range []string{"n1", "n2", "n9"} {
		names = append(names, s.tree.Names(tasktest.Node(n).UUID)...)
	}
	return names
}

// A booted is what a loader does.
type booted struct {
	kernel, ramdisk string // their content; kernel is "disk" for the machine's disk
	line            string
}

// pxelinux boots as pxelinux does that was fetched from folder, by the NIC with
// that address.
func (s *site) pxelinux(t testing.TB, folder, mac string) booted {
	t.Helper()
	text, err := s.get(filepath.Join(folder, "pxelinux.cfg/01-"+strings.ReplaceAll(mac, ":", "-")))
	if err != nil {
		text, err = s.get("pxelinux.cfg/default")
		require.NoError(t, err)
	}
	menu := map[string]string{}
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		menu[word] = rest
	}
	require.Equal(t, menu["default"], menu["label"])
	fetch := func(path string) string {
		rest, ok := strings.CutPrefix(path, "::")
		require.True(t, ok, "%q", path)
		data, err := s.get(rest)
		require.NoError(t, err)
		return data
	}
	switch {
	case menu["localboot"] == "-1":
		return booted{kernel: "disk"}
	case menu["kernel"] == "chain.c32":
		return booted{kernel: "disk", line: menu["append"]}
	case menu["kernel"] == "mboot.c32":
		modules := strings.Split(menu["append"], " --- ")
		require.Len(t, modules, 3)
		require.Equal(t, "tboot.gz", modules[0])
		kernel, line, _ := strings.Cut(modules[1], " ")
		return booted{fetch(kernel), fetch(modules[2]), line}
	}
	require.Equal(t, "2", menu["ipappend"])
	initrd, line, _ := strings.Cut(menu["append"], " ")
	_, ramdisk, _ := strings.Cut(initrd, "initrd=")
	return booted{fetch(menu["kernel"]), fetch(ramdisk), "BOOTIF=01-" + strings.ReplaceAll(mac, ":", "-") + " " + line}
}

// grub boots as grub does, by the NIC with that address: the first of its
// attempts.
func (s *site) grub(t testing.TB, mac string) booted {
	t.Helper()
	shared, err := s.get("grub/grub.cfg")
	require.NoError(t, err)
	require.Contains(t, shared, "source /$net_default_mac.conf\n")
	text, err := s.get(mac + ".conf")
	if err != nil {
		text = shared
	}
	if strings.Contains(text, "chainloader $loader") {
		return booted{kernel: "disk"}
	}
	_, rest, ok := strings.Cut(text, "if linux ")
	require.True(t, ok, text)
	linux, rest, _ := strings.Cut(rest, "; then if initrd ")
	initrd, _, _ := strings.Cut(rest, "; then boot; fi; fi\n")
	words := grubWords(t, linux)
	fetch := func(path string) string {
		data, err := s.get(strings.TrimPrefix(path, "/"))
		require.NoError(t, err, path)
		return data
	}
	for i, w := range words[1:] {
		if strings.Contains(w, " ") {
			words[i+1] = `"` + w + `"`
		}
	}
	return booted{fetch(words[0]), fetch(grubWords(t, initrd)[0]), strings.Join(words[1:], " ")}
}

// grubWords splits a command: this library quotes each word of its own.
func grubWords(t testing.TB, command string) []string {
	t.Helper()
	var words []string
	for rest := command; rest != ""; {
		rest = strings.TrimPrefix(rest, " ")
		require.Equal(t, "'", rest[:1], command)
		word, more, ok := strings.Cut(rest[1:], "'")
		require.True(t, ok, command)
		words, rest = append(words, word), more
	}
	return words
}

// args are the kernel arguments of a command line, for comparison between
// loaders.
func args(t testing.TB, line string) []string {
	t.Helper()
	parsed, err := boot.ParseKernelArgs(line)
	require.NoError(t, err)
	var all []string
	for _, a := range parsed {
		all = append(all, fmt.Sprintf("%s=%s %v", a.Key, a.Value, a.Flag))
	}
	slices.Sort(all)
	return all
}

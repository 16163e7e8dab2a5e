package ferrule_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/ferrule/ferrule"

// contracts may import the standard library, these modules, and one another
// downwards.
var (
	contracts       = []string{"task", "boot", "deploy", "driver"}
	contractModules = []string{"github.com/hashicorp/go-multierror", "github.com/hashicorp/errwrap", "golang.org/x/sync"}
)

// allowed says which packages of the module each folder may import; a folder
// stands for everything below it, and the longest entry counts. Test kits may
// import any contract and any kit.
var allowed = map[string][]string{
	"task":                    {},
	"boot":                    {"task"},
	"boot/artifact":           {"task", "boot", "internal/filelock"},
	"boot/imagecache":         {"task", "boot/artifact", "internal/filelock"},
	"boot/dhcp":               {"task", "boot"},
	"boot/tftp":               {"task"},
	"boot/fat":                {"task", "internal/extent"},
	"boot/loader":             {"task", "boot"},
	"boot/iso":                {"task", "boot", "boot/fat", "boot/loader", "internal/extent"},
	"boot/vmedia":             {"task", "boot", "driver", "boot/artifact", "boot/fat", "boot/imagecache", "boot/iso"},
	"boot/netboot":            {"task", "boot", "driver", "boot/artifact", "boot/dhcp", "boot/imagecache", "boot/loader"},
	"deploy":                  {"task"},
	"driver":                  {"task", "boot", "deploy"},
	"driver/bmc":              {"task"},
	"driver/redfish":          {"task", "boot", "driver", "driver/bmc", "driver/inspector", "boot/vmedia"},
	"driver/catalog":          {"task", "boot", "deploy", "driver", "driver/fake"},
	"driver/console":          {"task", "driver"},
	"driver/ipmi":             {"task", "boot", "driver", "driver/bmc", "internal/switched"},
	"driver/ipmitool":         {"task", "driver", "driver/ipmi"},
	"driver/snmp":             {"task", "driver", "internal/switched"},
	"driver/inspector":        {"task", "boot", "driver"},
	"driver/wol":              {"task", "driver", "internal/switched"},
	"driver/webhook":          {"task", "driver", "internal/switched"},
	"driver/fake":             {"task", "boot", "deploy", "driver"},
	"driver/conductor":        {"task", "boot", "deploy", "driver"},
	"driver/sim/ipxe":         {},
	"driver/sim/fetch":        {},
	"driver/sim/syslinux":     {},
	"driver/sim/media":        {"task", "driver/sim/syslinux"},
	"driver/sim":              {"task", "boot", "deploy", "driver", "driver/sim/ipxe", "driver/sim/fetch", "driver/sim/media", "driver/sim/syslinux", "agent/ramdisk"},
	"internal/switched":       {"task", "driver", "driver/bmc"},
	"internal/filelock":       {},
	"internal/extent":         {},
	"internal/memory":         {},
	"ilo":                     {"task", "boot", "deploy", "driver", "driver/bmc", "driver/inspector", "driver/redfish", "boot/artifact", "boot/vmedia"},
	"ipxe":                    {"task", "boot", "boot/artifact", "boot/dhcp", "boot/loader", "boot/netboot"},
	"pxe":                     {"task", "boot", "boot/artifact", "boot/dhcp", "boot/loader", "boot/netboot"},
	"agent":                   {"task", "boot", "deploy", "driver", "boot/artifact", "deploy/configdrive", "deploy/disk", "deploy/image", "deploy/install"},
	"agent/ramdisk":           {"task", "internal/memory", "deploy/disk", "deploy/image", "deploy/install", "deploy/configdrive", "iscsi/target"},
	"deploy/install":          {"deploy/disk"},
	"iscsi":                   {"task", "boot", "deploy", "driver", "agent", "boot/imagecache", "deploy/disk", "deploy/image", "deploy/install", "iscsi/initiator"},
	"agent/ramdisk/initramfs": {},
	"agent/ramdisk/linux":     {"task", "agent/ramdisk", "deploy/disk"},
	"agent/ramdisk/builder":   {"task", "agent/ramdisk/initramfs", "agent/ramdisk/linux"},
	"deploy/disk":             {},
	"deploy/image":            {"deploy/disk"},
	"deploy/configdrive":      {"deploy/disk"},
	"agent/agenttest":         {"task", "agent", "agent/ramdisk"},
	"iscsi/internal":          {},
	"iscsi/initiator":         {"task", "iscsi/internal/pdu", "iscsi/internal/chap", "iscsi/internal/scsi"},
	"iscsi/target":            {"task", "iscsi/internal/pdu", "iscsi/internal/chap", "iscsi/internal/scsi"},
	"iscsi/iscsitest":         {"iscsi/target"},
}

type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Module     *struct{ Path string }
}

// list returns the packages that the arguments name, as go list has them.
func list(t *testing.T, args ...string) []listed {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list", "-json=ImportPath,Standard,Imports,Module"}, args...)...).Output()
	require.NoError(t, err)
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		all = append(all, p)
	}
}

func TestContractsImportLittle(t *testing.T) {
	for _, c := range contracts {
		for _, p := range list(t, "-deps", "./"+c) {
			if p.Standard || p.Module.Path == module || slices.Contains(contractModules, p.Module.Path) {
				continue
			}
			t.Errorf("package %s depends on %s: contracts import the standard library, %q and no more", c, p.ImportPath, contractModules)
		}
	}
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range list(t, "./...") {
		from := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		if from == "" || strings.HasPrefix(from, "examples/") || strings.Contains(from, "/cmd/") || strings.HasPrefix(from, "internal/lab") {
			continue // programs stand above everything, and what runs the tests of all
		}
		rule, ok := ruleFor(from)
		if !ok && !isKit(from) {
			t.Errorf("package %s has no import rule: add one to this test", from)
			continue
		}
		for _, i := range p.Imports {
			to, ours := strings.CutPrefix(i, module+"/")
			if !ours {
				continue
			}
			if isKit(from) && (isKit(to) || slices.Contains(contracts, to)) {
				continue
			}
			if isKit(to) || !slices.Contains(rule, to) {
				t.Errorf("package %s imports %s, which is not below it: it may import %q", from, to, rule)
			}
		}
	}
}

func ruleFor(pkg string) ([]string, bool) {
	for {
		if rule, ok := allowed[pkg]; ok {
			return rule, true
		}
		i := strings.LastIndexByte(pkg, '/')
		if i < 0 {
			return nil, false
		}
		pkg = pkg[:i]
	}
}

// isKit reports whether pkg is a test kit: xtest, for package x.
func isKit(pkg string) bool { return strings.HasSuffix(pkg, "test") }

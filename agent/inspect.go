package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// Inspect finds out what hardware a node has with the ramdisk that a [Deploy]
// boots: its agent reports to the [Handler], which needs FinishInspection. One
// value serves every node.
type Inspect struct {
	deploy *Deploy
}

var (
	_ driver.InspectInterface = (*Inspect)(nil)
	_ driver.SiblingChecker   = (*Inspect)(nil)
)

// NewInspect returns an inspect interface that works with the ramdisks of d.
func NewInspect(d *Deploy) *Inspect { return &Inspect{d} }

// CheckSiblings implements [driver.SiblingChecker].
func (i *Inspect) CheckSiblings(c *driver.Driver) error { return i.deploy.CheckSiblings(c) }

// Properties implements [driver.InspectInterface].
func (*Inspect) Properties() task.Properties { return task.Properties{} }

// Validate implements [driver.InspectInterface].
func (*Inspect) Validate(ctx context.Context, t *task.Task) error {
	return boot.ValidateInspection(ctx, driver.Of(t).Boot, t)
}

// InspectHardware implements [driver.InspectInterface]: it power cycles the node
// into the ramdisk and answers task.InspectWait.
func (i *Inspect) InspectHardware(ctx context.Context, t *task.Task) (task.State, error) {
	const op = "agent.InspectHardware"
	if err := t.RequireExclusive(op); err != nil {
		return "", err
	}
	params := i.deploy.params()
	params["ipa-inspection-callback-url"] = strings.TrimRight(i.deploy.cfg.APIURL, "/") + inspectionPath
	params["ipa-inspection-collectors"] = "default"
	if err := driver.Of(t).Boot.PrepareRamdisk(ctx, t, params); err != nil {
		return "", err
	}
	if err := i.deploy.bootRamdisk(ctx, t, rebooting{op: op}); err != nil {
		return "", err
	}
	return task.InspectWait, nil
}

// AbortInspection implements [driver.InspectInterface].
func (*Inspect) AbortInspection(ctx context.Context, t *task.Task) error {
	if err := t.RequireExclusive("agent.AbortInspection"); err != nil {
		return err
	}
	return endInspection(ctx, t)
}

// endInspection leaves the machine off, and nothing for its ramdisk.
func endInspection(ctx context.Context, t *task.Task) error {
	err := task.Join(driver.SetPower(ctx, t, driver.PowerOff), driver.Of(t).Boot.CleanUpRamdisk(ctx, t))
	endSession(t.Node)
	return err
}

// inspectionPath is where ramdisks report what they found (Ironic's API).
const inspectionPath = "/v1/continue_inspection"

// What a report may hold: bytes, and network interfaces or disks.
const (
	maxReport = 4 << 20
	maxParts  = 1024
)

// finishTime is how long recording a report may take, and switching the machine off.
const finishTime = 5 * time.Minute

// A report is what ironic-python-agent finds, with its names.
type report struct {
	Inventory struct {
		Interfaces []struct {
			MAC     string `json:"mac_address"`
			Carrier bool   `json:"has_carrier"`
		} `json:"interfaces"`
		Disks []task.Disk `json:"disks"`
		CPU   struct {
			Count        int64  `json:"count"`
			Architecture string `json:"architecture"`
		} `json:"cpu"`
		Memory struct {
			MB int64 `json:"physical_mb"`
		} `json:"memory"`
		Boot struct {
			Mode string `json:"current_boot_mode"`
		} `json:"boot"`
	} `json:"inventory"`
	BootInterface string `json:"boot_interface"` // a MAC address, as pxelinux writes it
	Error         string `json:"error"`
}

// readReport reads one report of bounded size.
func readReport(body io.Reader) (*report, error) {
	var r report
	err := json.NewDecoder(body).Decode(&r)
	if long, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the report is longer than %d bytes", long.Limit)}
	}
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, "the report is no JSON object with an inventory"}
	}
	if len(r.Inventory.Interfaces) > maxAddresses || len(r.Inventory.Disks) > maxParts {
		return nil, &refusal{http.StatusBadRequest, "the report has too many interfaces or disks"}
	}
	return &r, nil
}

// inspection takes a report for the node that has one of its addresses and waits
// for one. There is no token yet: nothing is told but that node's UUID.
func (h *Handler) inspection(w http.ResponseWriter, r *http.Request) error {
	report, err := readReport(http.MaxBytesReader(w, r.Body, maxReport))
	if err != nil {
		return err
	}
	rec, err := h.find(r.Context(), strings.Join(report.addresses(), ","), "")
	if err != nil {
		return err
	}
	n := rec.Node
	if n.ProvisionState != task.InspectWait {
		h.observe(n.UUID, StageInspection, fmt.Sprintf("refused: no inspection is under way in state %q", n.ProvisionState), true)
		return unknownNode
	}
	h.observe(n.UUID, StageInspection, "", false)
	// The machine that asks loses its power in the course of it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), finishTime)
	defer cancel()
	err = h.cfg.FinishInspection(ctx, n.UUID, func(t *task.Task) error {
		return task.Join(report.record(t), endInspection(ctx, t))
	})
	if err != nil {
		return err
	}
	return answer200(w, object{"uuid": n.UUID})
}

func (r *report) addresses() []string {
	var macs []string
	for _, i := range r.Inventory.Interfaces {
		if mac, err := task.ParseMAC(i.MAC); err == nil && !slices.Contains(macs, mac) {
			macs = append(macs, mac)
		}
	}
	return macs
}

// record writes what was found to the node, where Ironic has it, and makes ports
// of interfaces with a cable that are new.
func (r *report) record(t *task.Task) error {
	const op = "agent.inspection"
	n := t.Node
	if r.Error != "" {
		return nodeError(op, n, fmt.Errorf("the ramdisk reports an error: %s", excerpt(r.Error)))
	}
	if n.Properties == nil {
		n.Properties = task.Info{}
	}
	found := map[string]int64{"cpus": r.Inventory.CPU.Count, "memory_mb": r.Inventory.Memory.MB}
	info, err := n.BootInfo()
	if err == nil {
		root, rootErr := info.RootDevice.Find(r.Inventory.Disks)
		if rootErr != nil && len(info.RootDevice) > 0 {
			err = rootErr // what a deploy would fail with
		}
		found["local_gb"] = root.Size>>30 - 1 // as Ironic counts, to be safe
	}
	if err != nil {
		return nodeError(op, n, err)
	}
	for key, value := range found {
		if value > 0 {
			n.Properties[key] = value
		}
	}
	if arch := r.Inventory.CPU.Architecture; arch != "" && len(arch) < 32 && arch == printable(arch) {
		n.Properties["cpu_arch"] = arch
	}
	r.recordMode(n)
	for _, i := range r.Inventory.Interfaces {
		mac, err := task.ParseMAC(i.MAC)
		if err != nil || !i.Carrier || slices.ContainsFunc(t.Ports, func(p *task.Port) bool { return p.Address == mac }) {
			continue
		}
		t.Ports = append(t.Ports, &task.Port{UUID: task.NewUUID(), NodeUUID: n.UUID, Address: mac})
	}
	return nil
}

// recordMode keeps the boot mode that the ramdisk came up in, unless one is said.
func (r *report) recordMode(n *task.Node) {
	mode := r.Inventory.Boot.Mode
	if mode != string(task.BIOS) && mode != string(task.UEFI) {
		return
	}
	caps, err := task.ParseCapabilities(n.Properties["capabilities"])
	if err != nil || caps["boot_mode"] != "" {
		return
	}
	text := "boot_mode:" + mode
	if len(caps) == 0 {
		n.Properties["capabilities"] = text
	} else if had := n.Properties.Text("capabilities"); had != "" && !strings.HasPrefix(had, "{") {
		n.Properties["capabilities"] = had + "," + text
	}
}

package ramdisk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/ferrule/ferrule/task"
)

// An Inventory is what a machine has, with the JSON names of
// ironic-python-agent's.
type Inventory struct {
	Disks      []task.Disk `json:"disks"`
	Interfaces []Interface `json:"interfaces"`
	*Machine               // nil where nothing more is known
}

// A Machine is what a machine has beside disks and interfaces. What is not known is
// left empty.
type Machine struct {
	CPU struct {
		Count        int    `json:"count"` // threads
		Architecture string `json:"architecture"`
		Model        string `json:"model_name"`
	} `json:"cpu"`
	Memory struct {
		PhysicalMB int64 `json:"physical_mb"` // MiB, as built in
		Total      int64 `json:"total"`       // bytes that the kernel has
	} `json:"memory"`
	SystemVendor struct {
		Manufacturer string `json:"manufacturer"`
		ProductName  string `json:"product_name"`
		SerialNumber string `json:"serial_number"`
	} `json:"system_vendor"`
	Boot struct {
		CurrentBootMode string `json:"current_boot_mode"` // bios or uefi
		PXEInterface    string `json:"pxe_interface"`     // MAC address, of BOOTIF
	} `json:"boot"`
}

// A Describer is a [Host] that knows its machine beyond disks and interfaces.
type Describer interface {
	Describe(ctx context.Context) (Machine, error)
}

func (a *agent) inventory(ctx context.Context) (i Inventory, err error) {
	if i.Interfaces, err = a.host.Interfaces(ctx); err != nil {
		return i, err
	}
	if i.Disks, err = a.host.Disks(ctx); err != nil {
		return i, err
	}
	i.Interfaces, i.Disks = append([]Interface{}, i.Interfaces...), append([]task.Disk{}, i.Disks...) // lists in JSON, also where there are none
	d, ok := a.host.(Describer)
	if !ok {
		return i, nil
	}
	m, err := d.Describe(ctx)
	if mac, err := task.ParseMAC(a.settings.bootInterface); err == nil {
		m.Boot.PXEInterface = mac
	}
	i.Machine = &m
	return i, err
}

// report posts the inventory to who inspects the machine, if somebody does. What
// fails is for that one to miss: the agent goes on when it was tried for as long as
// a lookup is.
func (a *agent) report(ctx context.Context) {
	if a.settings.inspectionURL == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, a.settings.lookupTimeout)
	defer cancel()
	for pause := a.settings.lookupInterval; ; pause = min(2*pause, 30*time.Second) {
		err := a.postInventory(ctx)
		if err == nil {
			a.log.Info("inventory sent")
			return
		}
		a.log.Warn("inventory", "err", err)
		if final, ok := errors.AsType[*notAccepted](err); ok && final.status/100 == 4 {
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// notAccepted is an answer other than success. The URL may have a secret in it.
type notAccepted struct{ status int }

func (e *notAccepted) Error() string {
	return fmt.Sprintf("the inspector answered %d %s", e.status, http.StatusText(e.status))
}

func (a *agent) postInventory(ctx context.Context) error {
	i, err := a.inventory(ctx)
	if err != nil {
		return err
	}
	if len(i.Interfaces) == 0 {
		return errors.New("the machine has no network interface yet")
	}
	body, err := json.Marshal(map[string]any{"inventory": i, "boot_interface": a.settings.bootInterface})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, a.settings.requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.settings.inspectionURL, bytes.NewReader(body))
	if err != nil {
		return errors.New("ipa-inspection-callback-url is no URL")
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := a.client.Do(req)
	if err != nil {
		if withURL, ok := errors.AsType[*url.Error](err); ok {
			err = withURL.Err
		}
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	if res.StatusCode/100 != 2 {
		return &notAccepted{res.StatusCode}
	}
	return nil
}

package ilo

import (
	"context"
	"strconv"
	"strings"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/inspector"
	"github.com/ferrule/ferrule/driver/redfish"
	"github.com/ferrule/ferrule/task"
)

// Inspect returns the inspection driver.
func (b *BMCs) Inspect() *Inspect { return &Inspect{role{b}, b.roles().Inspect()} }

// An Inspect asks the iLO what hardware there is. Use [BMCs.Inspect].
type Inspect struct {
	role
	redfish *redfish.Inspect
}

var _ driver.InspectInterface = (*Inspect)(nil)

// InspectHardware writes memory and processors to the node's properties, vendor and
// model where the node has none, and adds a port for each network interface that it
// does not have. It is done when it returns. Machines tell some of it only once they
// have been on.
func (i *Inspect) InspectHardware(ctx context.Context, t *task.Task) (task.State, error) {
	const op = "ilo.InspectHardware"
	if err := t.RequireExclusive(op); err != nil {
		return "", err
	}
	c, err := i.connect(ctx, op, t)
	if err != nil {
		return "", err
	}
	if c == nil {
		return i.redfish.InspectHardware(ctx, t)
	}
	found, macs, err := c.hardware(ctx)
	if err != nil {
		return "", wrap(op, t, err)
	}
	return task.Manageable, inspector.RecordBMC(t, found, macs)
}

// hardware returns what the iLO knows, and the addresses of network interfaces, or
// words in their place.
func (c *client) hardware(ctx context.Context) (found *inspector.Found, macs []string, err error) {
	found = new(inspector.Found)
	inventory := &found.Inventory
	inventory.SystemVendor.Manufacturer = "HPE"
	a, err := c.do(ctx, command{group: "SERVER_INFO", name: "GET_PRODUCT_NAME"})
	if err != nil {
		return nil, nil, err
	}
	inventory.SystemVendor.ProductName = a.value("PRODUCT_NAME")
	health, err := c.health(ctx)
	if err != nil {
		return nil, nil, err
	}
	if cpus := health.find("PROCESSORS"); cpus != nil {
		for _, n := range cpus.children {
			// As "8/8 cores; 16 threads": iLO counts as Ironic does, by threads
			_, text, _ := strings.Cut(n.value("EXECUTION_TECHNOLOGY"), ";")
			threads, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(text), " threads"))
			inventory.CPU.Count += max(threads, 1)
		}
	}
	for _, n := range health.all("TOTAL_MEMORY_SIZE") {
		amount, unit, _ := strings.Cut(n.attrs["VALUE"], " ")
		size, _ := strconv.Atoi(amount)
		if strings.EqualFold(unit, "GB") {
			size *= 1024
		}
		inventory.Memory.PhysicalMB += int64(size)
	}
	for _, group := range []string{"NIC_INFORMATION", "NIC_INFOMATION"} { // as iLO 3 and 4 write it
		for _, nic := range health.find(group).all("NIC") {
			if !strings.Contains(strings.ToLower(nic.value("NETWORK_PORT")+nic.value("LOCATION")), "ilo") {
				macs = append(macs, nic.value("MAC_ADDRESS"))
			}
		}
	}
	return found, macs, nil
}

// all returns the elements of that name below n, at any depth.
func (n *node) all(name string) []*node {
	if n == nil {
		return nil
	}
	var found []*node
	for _, c := range n.children {
		if c.name == name {
			found = append(found, c)
		}
		found = append(found, c.all(name)...)
	}
	return found
}

// AbortInspection does nothing: nothing goes on.
func (i *Inspect) AbortInspection(ctx context.Context, t *task.Task) error {
	return i.redfish.AbortInspection(ctx, t)
}

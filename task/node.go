package task

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A Node is one machine as a host knows it, with the fields and JSON names of
// Ironic's API. A JSON field that is not listed here survives a round trip.
// The zero Node is a node in state [Enroll] without a name.
type Node struct {
	UUID string `json:"uuid"`
	Name string `json:"name"`

	Driver              string `json:"driver"`
	BIOSInterface       string `json:"bios_interface"`
	BootInterface       string `json:"boot_interface"`
	ConsoleInterface    string `json:"console_interface"`
	DeployInterface     string `json:"deploy_interface"`
	InspectInterface    string `json:"inspect_interface"`
	ManagementInterface string `json:"management_interface"`
	PowerInterface      string `json:"power_interface"`
	RAIDInterface       string `json:"raid_interface"`
	RescueInterface     string `json:"rescue_interface"`
	VendorInterface     string `json:"vendor_interface"`

	DriverInfo         Info   `json:"driver_info"`
	InstanceInfo       Info   `json:"instance_info"`
	Properties         Info   `json:"properties"`
	DriverInternalInfo Info   `json:"driver_internal_info"`
	Extra              Info   `json:"extra"`
	InstanceUUID       string `json:"instance_uuid"`

	ProvisionState       State     `json:"provision_state"`
	TargetProvisionState State     `json:"target_provision_state"`
	ProvisionUpdatedAt   time.Time `json:"provision_updated_at"`
	PowerState           string    `json:"power_state"`
	TargetPowerState     string    `json:"target_power_state"`
	LastError            string    `json:"last_error"`
	Fault                string    `json:"fault"`

	Maintenance       bool   `json:"maintenance"`
	MaintenanceReason string `json:"maintenance_reason"`
	Protected         bool   `json:"protected"`
	ProtectedReason   string `json:"protected_reason"`
	AutomatedClean    *bool  `json:"automated_clean"`

	CleanStep        Info `json:"clean_step"`
	DeployStep       Info `json:"deploy_step"`
	RAIDConfig       Info `json:"raid_config"`
	TargetRAIDConfig Info `json:"target_raid_config"`

	// Reservation is the host that holds the node's exclusive lock. A [Store]
	// keeps it; setting it here has no effect.
	Reservation    string    `json:"reservation"`
	ConsoleEnabled bool      `json:"console_enabled"`
	CreatedAt      time.Time `json:"created_at"`
	UpdatedAt      time.Time `json:"updated_at"`

	unknown map[string]json.RawMessage // fields of the JSON it was read from that are not above
}

// String returns the name, or the UUID of a node without one.
func (n *Node) String() string {
	if n == nil {
		return ""
	}
	if n.Name != "" {
		return n.Name
	}
	return n.UUID
}

// LogValue shows who the node is and where it stands, and nothing of its maps.
func (n *Node) LogValue() slog.Value {
	if n == nil {
		return slog.Value{}
	}
	return slog.GroupValue(slog.String("uuid", n.UUID), slog.String("name", n.Name),
		slog.String("driver", n.Driver), slog.String("provision_state", string(n.ProvisionState)))
}

// Clone returns a deep copy.
func (n *Node) Clone() *Node {
	c := *n
	for _, m := range []*Info{
		&c.DriverInfo, &c.InstanceInfo, &c.Properties, &c.DriverInternalInfo, &c.Extra,
		&c.CleanStep, &c.DeployStep, &c.RAIDConfig, &c.TargetRAIDConfig,
	} {
		*m = m.Clone()
	}
	if n.AutomatedClean != nil {
		v := *n.AutomatedClean
		c.AutomatedClean = &v
	}
	c.unknown = maps.Clone(n.unknown)
	return &c
}

// SetInternal records a driver's own value in driver_internal_info; nil
// removes it.
func (n *Node) SetInternal(key string, value any) {
	if value == nil {
		delete(n.DriverInternalInfo, key)
		return
	}
	if n.DriverInternalInfo == nil {
		n.DriverInternalInfo = Info{}
	}
	n.DriverInternalInfo[key] = value
}

// nodeFields are the JSON names of Node's fields, in order.
var nodeFields = func() []string {
	t := reflect.TypeFor[Node]()
	names := make([]string, t.NumField())
	for i := range names {
		names[i] = t.Field(i).Tag.Get("json")
	}
	return names
}()

// MarshalJSON writes every field of Ironic's API that this module knows, an
// empty text or time as null as Ironic does, and the unknown ones it was read
// with. Numbers keep their digits, times may change their notation.
func (n Node) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	v := reflect.ValueOf(n)
	for i, name := range nodeFields {
		if name == "" {
			continue
		}
		f := v.Field(i)
		var value any = f.Interface()
		switch {
		case name == "provision_state" && f.IsZero():
			value = Enroll // null would be read as available
		case f.Kind() == reflect.Map && f.IsNil():
			value = struct{}{}
		case f.Kind() != reflect.Bool && f.Kind() != reflect.Map && f.IsZero():
			value = nil
		}
		if err := writeField(&b, name, value); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(n.unknown)) {
		if err := writeField(&b, name, n.unknown[name]); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func writeField(b *bytes.Buffer, name string, value any) error {
	if b.Len() == 0 {
		b.WriteByte('{')
	} else {
		b.WriteByte(',')
	}
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("node field %s: %w", name, err)
	}
	key, err := json.Marshal(name) // an unknown field's name may hold anything
	if err != nil {
		return err
	}
	b.Write(key)
	b.WriteByte(':')
	b.Write(data)
	return nil
}

// UnmarshalJSON reads a node as Ironic's API writes it. A provision_state of
// null is read as [Available], as Ironic does for nodes of old versions; an
// absent one is [Enroll]. Nothing of n's earlier value is kept.
func (n *Node) UnmarshalJSON(data []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	var out Node
	v := reflect.ValueOf(&out).Elem()
	var errs []error
	for i, name := range nodeFields {
		raw, ok := all[name]
		delete(all, name)
		if name == "" || !ok {
			continue
		}
		if err := json.Unmarshal(raw, v.Field(i).Addr().Interface()); err != nil {
			errs = append(errs, &Error{Node: out.String(), Field: name, Err: fmt.Errorf("%w: want %s", ErrInvalidParameter, kindName(v.Field(i).Type()))})
		}
		if name == "provision_state" && bytes.Equal(raw, []byte("null")) {
			out.ProvisionState = Available
		}
	}
	if out.ProvisionState == "" {
		out.ProvisionState = Enroll
	}
	if len(all) > 0 {
		out.unknown = all
	}
	if err := Join(errs...); err != nil {
		return err
	}
	*n = out
	return nil
}

// A Port is one network interface of a node, with Ironic's JSON names.
type Port struct {
	UUID                string `json:"uuid"`
	NodeUUID            string `json:"node_uuid,omitempty"`
	Address             string `json:"address"` // MAC address, lower case with colons
	PXEEnabled          *bool  `json:"pxe_enabled,omitempty"`
	PhysicalNetwork     string `json:"physical_network,omitempty"`
	LocalLinkConnection Info   `json:"local_link_connection,omitempty"`
	Extra               Info   `json:"extra,omitempty"`
}

// BootsFromNetwork reports whether the node may boot through p: true unless
// pxe_enabled is false.
func (p *Port) BootsFromNetwork() bool { return p.PXEEnabled == nil || *p.PXEEnabled }

// ClientID returns the InfiniBand client identifier in extra, "" for Ethernet.
func (p *Port) ClientID() string { return p.Extra.Text("client-id") }

// Clone returns a deep copy.
func (p *Port) Clone() *Port {
	c := *p
	if p.PXEEnabled != nil {
		v := *p.PXEEnabled
		c.PXEEnabled = &v
	}
	c.LocalLinkConnection = p.LocalLinkConnection.Clone()
	c.Extra = p.Extra.Clone()
	return &c
}

// ParseMAC returns a MAC address (6 bytes) or an InfiniBand one (20 bytes) in
// the form that [Port.Address] has, from any form that [net.ParseMAC] reads.
func ParseMAC(s string) (string, error) {
	m, err := net.ParseMAC(strings.TrimSpace(s))
	if err != nil || (len(m) != 6 && len(m) != 20) {
		return "", fmt.Errorf("%w: %q is no MAC address", ErrInvalidParameter, s)
	}
	return m.String(), nil
}

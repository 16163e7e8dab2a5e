package ipxe

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// settings is the tree of settings blocks, flat and depth first: the root, named
// "", then every block with its children, named "parent.child", behind it.
type settings struct {
	blocks []*block
	netX   string // the block that netX means
}

type block struct {
	name   string
	values map[string]value
}

// A value is bytes and the type that they were set with.
type value struct {
	kind string
	raw  []byte
}

// A settingName is "[block/]name[:type]".
type settingName struct {
	block, name, kind string
}

func newSettings(cfg Config) (*settings, error) {
	s := &settings{blocks: []*block{{values: map[string]value{}}}}
	builtin := s.vivify("builtin")
	builtin.values["platform"] = value{"string", []byte(cfg.Platform)}
	builtin.values["buildarch"] = value{"string", []byte(cfg.BuildArch)}
	if cfg.Platform != PCBIOS && cfg.Platform != EFI {
		return nil, fmt.Errorf("platform %q is neither %q nor %q", cfg.Platform, PCBIOS, EFI)
	}
	if cfg.UUID != "" {
		raw, err := parseValue("uuid", cfg.UUID)
		if err != nil {
			return nil, fmt.Errorf("UUID %q: %w", cfg.UUID, err)
		}
		s.vivify("smbios").values["uuid"] = value{"uuid", raw}
	}
	for i, mac := range cfg.NICs {
		nic := s.vivify(fmt.Sprintf("net%d", i))
		nic.values["mac"] = value{"hex", mac}
		nic.values["ifname"] = value{"string", []byte(nic.name)}
		if i == cfg.BootNIC {
			s.netX = nic.name
		}
	}
	if s.netX == "" && len(cfg.NICs) > 0 {
		return nil, fmt.Errorf("boot NIC %d is not one of %d NICs", cfg.BootNIC, len(cfg.NICs))
	}
	for _, key := range slices.Sorted(maps.Keys(cfg.Settings)) {
		n, err := parseName(key)
		if err == nil {
			err = s.store(n, cfg.Settings[key])
		}
		if err != nil {
			return nil, fmt.Errorf("setting %q: %w", key, err)
		}
	}
	return s, nil
}

// parseName takes a setting's name apart; a type that iPXE does not know is an
// error. A predefined setting has its type.
func parseName(text string) (settingName, error) {
	var n settingName
	if len(text) > maxName {
		return n, ENOMEM.failf("the name of a setting has %d bytes", len(text))
	}
	if before, after, ok := strings.Cut(text, "/"); ok {
		n.block, text = before, after
	}
	name, kind, typed := strings.Cut(text, ":")
	if typed && !slices.Contains(kinds(), kind) {
		return n, ENOTSUP.failf("%q: invalid setting", text)
	}
	if n.name = name; !typed {
		kind = predefined(name)
	}
	n.kind = kind
	return n, nil
}

// predefined returns the type of a setting that has one by its name.
func predefined(name string) string {
	switch name {
	case "mac", "hwaddr":
		return "hex"
	case "ip", "netmask", "gateway", "dns", "next-server", "dhcp-server", "syslog", "ntp":
		return "ipv4"
	case "uuid":
		return "uuid"
	case "priority", "keep-san", "skip-san-boot":
		return "int8"
	case "mtu":
		return "int16"
	case "errno":
		return "uint32"
	}
	return ""
}

func (s *settings) find(name string) *block {
	if rest, ok := strings.CutPrefix(name, "netX"); ok && s.netX != "" && (rest == "" || rest[0] == '.') {
		name = s.netX + rest
	}
	for _, b := range s.blocks {
		if b.name == name {
			return b
		}
	}
	return nil
}

// vivify finds a block or makes it, with its parents, behind its siblings.
func (s *settings) vivify(name string) *block {
	if b := s.find(name); b != nil {
		return b
	}
	at := len(s.blocks)
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		parent := s.vivify(name[:i])
		at = slices.Index(s.blocks, parent) + 1
		for at < len(s.blocks) && strings.HasPrefix(s.blocks[at].name, parent.name+".") {
			at++
		}
		name = parent.name + name[i:]
	}
	b := &block{name: name, values: map[string]value{}}
	s.blocks = slices.Insert(s.blocks, at, b)
	return b
}

// fetch looks in the named block and its children: in all for the root. The
// value has the type that n asks for, else its own.
func (s *settings) fetch(n settingName) (value, bool) {
	top := s.find(n.block)
	if top == nil {
		return value{}, false
	}
	for _, b := range s.blocks {
		if b != top && top.name != "" && !strings.HasPrefix(b.name, top.name+".") {
			continue
		}
		if v, ok := b.values[n.name]; ok {
			if n.kind != "" {
				v.kind = n.kind
			}
			return v, true
		}
	}
	return value{}, false
}

// store sets a setting from text; empty text deletes it.
func (s *settings) store(n settingName, text string) error {
	if n.kind == "" {
		n.kind = "string"
	}
	if len(s.blocks) > maxBlocks && s.find(n.block) == nil {
		return ENOMEM.failf("could not store %q: too many settings blocks", n.name)
	}
	b := s.vivify(n.block)
	if text == "" {
		delete(b.values, n.name)
		return nil
	}
	raw, err := parseValue(n.kind, text)
	if err != nil {
		return fmt.Errorf("could not store %q: %w", n.name, err)
	}
	b.put(n, raw)
	return nil
}

// put stores bytes; iPXE holds no empty value.
func (b *block) put(n settingName, raw []byte) {
	if len(raw) == 0 {
		delete(b.values, n.name)
		return
	}
	b.values[n.name] = value{n.kind, raw}
}

// inc adds to a number. What is unset counts as an int32 of zero; a setting of
// a type that is no number, such as what "set" without a type makes, cannot be
// incremented.
func (s *settings) inc(n settingName, by uint32) error {
	top := s.find(n.block)
	if top == nil {
		return ENODEV.failf("%q: invalid setting", n.block+"/"+n.name)
	}
	var number uint32
	if v, ok := s.fetch(n); ok {
		n.kind = v.kind
		if size, _ := intKind(n.kind); size > 0 {
			number, _ = numerate(n.kind, v.raw)
		}
	}
	if n.kind == "" {
		n.kind = "int32"
	}
	size, _ := intKind(n.kind)
	if size == 0 {
		return ENOTSUP.failf("could not store %q: it is a %s, not a number; set it with :int32", n.name, n.kind)
	}
	top.put(n, denumerate(size, number+by))
	return nil
}

// noteError records a failure for ${errno}.
func (s *settings) noteError(err error) {
	var errno Errno
	if errors.As(err, &errno) {
		s.vivify("builtin").values["errno"] = value{"uint32", []byte{byte(errno), 0, 0, 0}}
	}
}

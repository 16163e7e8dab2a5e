package dhcp

import (
	"fmt"
	"strings"

	"github.com/ferrule/ferrule/task"
	"github.com/insomniacslk/dhcp/iana"
)

// An Arch is a machine's processor architecture, by Ironic's name for it
// (properties.cpu_arch).
type Arch string

// The architectures of network boot clients.
const (
	X8664   Arch = "x86_64"
	I386    Arch = "i386"
	ARM64   Arch = "aarch64"
	ARM32   Arch = "arm"
	RISCV64 Arch = "riscv64"
)

var archNames = map[string]Arch{
	"x86_64": X8664, "amd64": X8664, "x64": X8664,
	"i386": I386, "i486": I386, "i586": I386, "i686": I386, "x86": I386,
	"aarch64": ARM64, "arm64": ARM64,
	"arm": ARM32, "armhf": ARM32, "armv7l": ARM32, "armv8l": ARM32,
	"riscv64": RISCV64,
}

// ParseArch returns the architecture that s means, in any case and by any of
// its usual names. The error lists the choices.
func ParseArch(s string) (Arch, error) {
	if a, ok := archNames[strings.ToLower(strings.TrimSpace(s))]; ok {
		return a, nil
	}
	return "", fmt.Errorf("%w: architecture %q is none of %q", task.ErrInvalidParameter, s, []Arch{X8664, I386, ARM64, ARM32, RISCV64})
}

// A Transport is how firmware fetches its loader.
type Transport string

// The transports: PXE, which is TFTP, and UEFI HTTP boot.
const (
	TFTP Transport = "tftp"
	HTTP Transport = "http"
)

// A Client is a kind of network boot client: what decides which loader it can
// run. It is what firmware says of itself in option 93 of DHCPv4 and option 61
// of DHCPv6. A BIOS does not tell a 32-bit machine from a 64-bit one: its Arch
// is [X8664].
type Client struct {
	Arch      Arch
	Firmware  task.BootMode
	Transport Transport
}

// clients are the kinds by their number in IANA's registry of processor
// architecture types. 9 is EFI byte code there, but x64 machines send it.
var clients = map[iana.Arch]Client{
	iana.INTEL_X86PC:      {X8664, task.BIOS, TFTP},
	iana.EFI_IA32:         {I386, task.UEFI, TFTP},
	iana.EFI_X86_64:       {X8664, task.UEFI, TFTP},
	iana.EFI_BC:           {X8664, task.UEFI, TFTP},
	iana.EFI_ARM32:        {ARM32, task.UEFI, TFTP},
	iana.EFI_ARM64:        {ARM64, task.UEFI, TFTP},
	iana.EFI_X86_HTTP:     {I386, task.UEFI, HTTP},
	iana.EFI_X86_64_HTTP:  {X8664, task.UEFI, HTTP},
	iana.EFI_ARM32_HTTP:   {ARM32, task.UEFI, HTTP},
	iana.EFI_ARM64_HTTP:   {ARM64, task.UEFI, HTTP},
	iana.EFI_RISCV64:      {RISCV64, task.UEFI, TFTP},
	iana.EFI_RISCV64_HTTP: {RISCV64, task.UEFI, HTTP},
}

// ClientOf returns the kind of client with that processor architecture type,
// and false for one that this package has no name for.
func ClientOf(number uint16) (Client, bool) {
	c, ok := clients[iana.Arch(number)]
	return c, ok
}

// String returns c as in "uefi x86_64 by tftp".
func (c Client) String() string {
	return string(c.Firmware) + " " + string(c.Arch) + " by " + string(c.Transport)
}

// known reports whether some machine calls itself c.
func (c Client) known() bool {
	for _, k := range clients {
		if k == c {
			return true
		}
	}
	return false
}

// A caller is what a request says about the client that sent it.
type caller struct {
	Client
	number uint16 // of the architecture, as sent
	arch   bool   // number was sent
	known  bool   // Client is set
	iPXE   bool
	class  Transport // by the vendor class: PXEClient or HTTPClient; "" for neither
}

// boots reports whether the client is firmware or a loader, not an operating
// system that asks for an address.
func (c *caller) boots() bool { return c.arch || c.iPXE || c.class != "" }

func (c *caller) setArch(number uint16) {
	c.number, c.arch = number, true
	c.Client, c.known = ClientOf(number)
	if c.known && c.class != "" {
		c.Transport = c.class // where the two differ, the class is what the client waits for
	}
}

// String says what is asking.
func (c *caller) String() string {
	switch {
	case !c.boots():
		return "a system"
	case c.known && c.iPXE:
		return "iPXE (" + string(c.Firmware) + " " + string(c.Arch) + ")"
	case c.iPXE:
		return "iPXE"
	case c.known:
		return c.Client.String()
	case c.arch:
		return fmt.Sprintf("architecture %d", c.number)
	}
	return "firmware of no architecture"
}

// classOf reads a vendor class: "PXEClient:Arch:00007:UNDI:003016".
func classOf(s string) Transport {
	switch {
	case strings.HasPrefix(s, pxeClient):
		return TFTP
	case strings.HasPrefix(s, httpClient):
		return HTTP
	}
	return ""
}

const (
	pxeClient  = "PXEClient"
	httpClient = "HTTPClient"
)

// archOfClass reads the number in a vendor class, for firmware that does not
// send it as an option.
func archOfClass(s string) (uint16, bool) {
	_, s, ok := strings.Cut(s, ":Arch:")
	if !ok || len(s) < 5 {
		return 0, false
	}
	n := 0
	for _, c := range []byte(s[:5]) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return uint16(n), n <= 0xffff
}

// Package ipxe runs iPXE scripts as iPXE does, for machines that exist in one
// process only: a script that real firmware would not boot from does not boot a
// simulated machine either.
//
// [Run] takes the script that the firmware was told to load and returns what
// the machine does next:
//
//	out, err := ipxe.Run(ctx, ipxe.Config{Fetch: client.Fetch, NICs: macs}, url, script)
//	if err == nil && out.Action == ipxe.Boot {
//		ramdisk, err := ipxe.InitrdFor(out)
//		...
//	}
//
// # Fidelity
//
// Behaviour follows the iPXE source (core/exec.c, core/settings.c, core/uri.c,
// core/image.c, image/script.c and the commands). Words are split at white space
// and there is no quoting; "||", "&&" and ";" work only as words of their own; a
// word that begins with # starts a comment; settings are expanded inside each
// word after the split, innermost first; options come before arguments; a line
// that fails ends its script unless "||" catches it. An unset setting expands to
// nothing, and a script that ends or exits leaves the rest to its caller.
//
// The commands are boot, chain, clear, dhcp, echo, exit, goto, ifclose, ifconf,
// ifopen, iflinkwait, imgargs, imgexec, imgfetch, imgfree, imgload, imgselect,
// imgstat, inc, initrd, iseq, isset, kernel, module, poweroff, prompt, reboot,
// sanboot, sanhook, sanunhook, set and sleep. Any other is not found, as in a
// build of iPXE without it. Network commands succeed on any NIC there is, and
// nobody is at the keyboard.
//
// # Errors and concurrency
//
// An error is a [ScriptError] with URL and line, down to an [Errno]; one that
// Is [ErrLimit] is a script without end. URLs in errors and output lack their
// query and user. Run starts no goroutine and is safe for concurrent use.
//
// The tests of this package show the scripts of a whole network boot.
package ipxe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// A Platform is the kind of firmware that iPXE was built for: ${platform}.
type Platform string

// The platforms.
const (
	PCBIOS Platform = "pcbios"
	EFI    Platform = "efi"
)

// An Action is what the machine does when iPXE is done.
type Action int

// The actions.
const (
	Exit     Action = iota // the script ended or left: the firmware tries its next boot device
	Boot                   // run Outcome.Kernel
	SANBoot                // boot from the disk Outcome.Drive
	Reboot                 // reset
	PowerOff               // switch off
)

// String returns the action's name.
func (a Action) String() string {
	switch a {
	case Exit:
		return "exit"
	case Boot:
		return "boot"
	case SANBoot:
		return "sanboot"
	case Reboot:
		return "reboot"
	case PowerOff:
		return "poweroff"
	}
	return fmt.Sprintf("Action(%d)", int(a))
}

// Config is the machine that a script runs on. The zero Config is a BIOS machine
// without NICs that can fetch nothing.
type Config struct {
	// Fetch downloads an absolute http, https or tftp URL. An error that Is
	// fs.ErrNotExist, fs.ErrPermission or a time-out is reported to the script
	// as iPXE reports it, any other as an I/O error. Nil fetches nothing.
	Fetch func(ctx context.Context, url string) ([]byte, error)

	// NICs are the addresses of net0, net1 and so on.
	NICs []net.HardwareAddr

	// BootNIC is the index of the NIC that is ${netX}; zero is net0.
	BootNIC int

	// Settings are further settings by "name" or "block/name", with ":type" for
	// a type that the name does not imply: "net0/ip", "hostname",
	// "net0.dhcp/next-server", "asset:hex".
	Settings map[string]string

	UUID      string   // SMBIOS system UUID; empty: none
	Platform  Platform // empty: PCBIOS
	BuildArch string   // ${buildarch}; empty: x86_64

	// Executable reports whether data, which is not a script, is a kernel or
	// loader that this machine can start. Nil takes everything but nothing at
	// all and what begins with "#" or "<", as other loaders' configurations and
	// error pages do.
	Executable func(data []byte) bool

	// SANBoot tries the disk of a sanboot command; an error fails the command.
	// Nil never fails. Run returns right after a success.
	SANBoot func(ctx context.Context, drive uint32, rootPaths []string) error

	// Print gets each line of output without its newline. Nil discards it.
	Print func(line string)

	// Sleep waits, and returns early with an error when ctx is done. Nil is a
	// real timer. A prompt without time-out sleeps for the longest duration.
	Sleep func(ctx context.Context, d time.Duration) error

	// MaxCommands bounds the commands that run; zero is 10000. One more is
	// ErrLimit.
	MaxCommands int
}

// An Outcome is what the firmware does next.
type Outcome struct {
	Action   Action
	Platform Platform

	// For Boot.
	Kernel      []byte
	KernelName  string
	KernelURL   string
	CommandLine string   // what followed the kernel's URI, words joined by one space
	Initrds     []Initrd // every other image that was loaded, in order

	// For SANBoot.
	Drive     uint32   // BIOS drive number, 0x80 by default
	RootPaths []string // SAN URIs of the drive; empty for a local disk

	// For Exit.
	Status uint32 // of the exit command
}

// An Initrd is an image that is in memory when a kernel starts.
type Initrd struct {
	Name string // last element of the URL's path, or --name
	URL  string
	Args string // what followed the URI
	Data []byte
}

// ErrLimit is a script that ran too many commands, nested too deeply or grew a
// text beyond bounds. It ends the script and no "||" catches it.
var ErrLimit = errors.New("script does not end")

// A ScriptError is the line that a script failed at. Err is the reason: an
// [Errno], another ScriptError for a chained script, [ErrLimit] or the error of
// a canceled context.
type ScriptError struct {
	URL     string // without user and query
	Line    int    // 1-based
	Command string // name only
	Err     error
}

// Error returns "url:line: command: reason".
func (e *ScriptError) Error() string {
	return fmt.Sprintf("%s:%d: %s: %v", e.URL, e.Line, e.Command, e.Err)
}

// Unwrap returns Err.
func (e *ScriptError) Unwrap() error { return e.Err }

const (
	defaultCommands = 10000
	maxDepth        = 32       // nested scripts
	maxImages       = 64       // images in memory
	maxText         = 16 << 10 // bytes of one command after expansion
	maxExpansions   = 1000     // of one word
	maxName         = 255      // bytes of a setting's name
	maxBlocks       = 256      // settings blocks
)

// interp is one run of the firmware.
type interp struct {
	cfg      Config
	settings *settings
	out      Outcome
	line     string // output since the last newline

	images   []*image // registered
	unnamed  int      // images named imgN so far
	selected *image
	current  *image  // the script that runs
	lines    *script // its lines
	sanHooks map[uint32][]string

	stop     stop
	last     string // name of the command that ran last
	commands int
	depth    int
}

// Run runs the script that was fetched from scriptURL. An error means that the
// firmware gives up on network boot, save that one from ctx means that the
// machine was stopped.
func Run(ctx context.Context, cfg Config, scriptURL string, script []byte) (Outcome, error) {
	if cfg.Platform == "" {
		cfg.Platform = PCBIOS
	}
	if cfg.BuildArch == "" {
		cfg.BuildArch = "x86_64"
	}
	if cfg.MaxCommands == 0 {
		cfg.MaxCommands = defaultCommands
	}
	s, err := newSettings(cfg)
	if err != nil {
		return Outcome{}, err
	}
	m := &interp{cfg: cfg, settings: s, sanHooks: map[uint32][]string{}}
	m.out.Platform = cfg.Platform
	img := m.newImage(parseURI(scriptURL), script)
	if img.kind != scriptImage {
		return Outcome{}, fmt.Errorf("%s: %w: it does not begin with #!ipxe", parseURI(scriptURL).redacted(), ENOEXEC)
	}
	m.register(img)
	err = m.execute(ctx, img)
	m.flush()
	var status exitStatus
	switch {
	case errors.Is(err, errHalt):
		return m.out, nil
	case errors.As(err, &status) && !isScriptError(err):
		return Outcome{Platform: cfg.Platform, Status: uint32(status)}, nil
	case err != nil:
		return Outcome{}, err
	}
	return Outcome{Platform: cfg.Platform}, nil
}

func isScriptError(err error) bool {
	var e *ScriptError
	return errors.As(err, &e)
}

// print takes output piecewise and hands on whole lines, cut where they grow
// beyond what one command can say.
func (m *interp) print(text string) {
	for {
		before, after, newline := strings.Cut(text, "\n")
		if m.line += before; !newline {
			break
		}
		m.endLine()
		text = after
	}
	if len(m.line) > maxText {
		m.endLine()
	}
}

// flush ends a line that was begun.
func (m *interp) flush() {
	if m.line != "" {
		m.endLine()
	}
}

func (m *interp) endLine() {
	if m.cfg.Print != nil {
		m.cfg.Print(m.line)
	}
	m.line = ""
}

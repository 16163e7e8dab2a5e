package ipxe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// lookup returns the command of that name. It is a function, not a table,
// because commands run scripts, which look up commands.
func lookup(name string) (command, bool) {
	timeout := option{"timeout", 't', true}
	single := []option{{"name", 'n', true}, timeout, {"quiet", 'q', false}, {"autofree", 'a', false}}
	drive, noDescribe := option{"drive", 'd', true}, option{"no-describe", 'n', false}
	switch name {
	case "echo":
		return command{[]option{{"n", 'n', false}}, 0, unlimited, (*interp).echo}, true
	case "exit":
		return command{nil, 0, 1, (*interp).exit}, true
	case "goto":
		return command{nil, 1, 1, (*interp).gotoLabel}, true
	case "isset":
		return command{nil, 1, 1, (*interp).isset}, true
	case "iseq":
		return command{nil, 2, 2, (*interp).iseq}, true
	case "set":
		return command{nil, 1, unlimited, (*interp).set}, true
	case "clear":
		return command{nil, 1, 1, (*interp).set}, true
	case "inc":
		return command{nil, 1, 2, (*interp).inc}, true
	case "sleep":
		return command{nil, 1, 1, (*interp).sleep}, true
	case "prompt":
		return command{[]option{{"key", 'k', true}, timeout}, 0, unlimited, (*interp).prompt}, true
	case "reboot":
		return command{[]option{{"warm", 'w', false}, {"setup", 's', false}}, 0, 0, (*interp).reboot}, true
	case "poweroff":
		return command{nil, 0, 0, (*interp).powerOff}, true
	case "dhcp", "ifconf":
		return command{[]option{{"configurator", 'c', true}, timeout}, 0, unlimited, (*interp).configure}, true
	case "iflinkwait":
		return command{[]option{timeout}, 0, unlimited, (*interp).configure}, true
	case "ifopen", "ifclose":
		return command{nil, 0, unlimited, (*interp).openClose}, true
	case "imgfetch", "module", "initrd":
		return command{single, 1, unlimited, (*interp).imgfetch}, true
	case "imgselect", "imgload", "kernel":
		return command{single, 1, unlimited, (*interp).imgselect}, true
	case "imgexec", "chain", "boot":
		return command{append(single, option{"replace", 'r', false}), 0, unlimited, (*interp).imgexec}, true
	case "imgargs":
		return command{single, 1, unlimited, (*interp).imgargs}, true
	case "imgfree":
		return command{nil, 0, unlimited, (*interp).imgfree}, true
	case "imgstat":
		return command{nil, 0, unlimited, (*interp).imgstat}, true
	case "sanboot":
		return command{[]option{drive, noDescribe, {"keep", 'k', false}, {"filename", 'f', true}, {"extra", 'e', true},
			{"label", 'l', true}, {"uuid", 'u', true}}, 0, unlimited, (*interp).sanboot}, true
	case "sanhook":
		return command{[]option{drive, noDescribe}, 1, unlimited, (*interp).sanhook}, true
	case "sanunhook":
		return command{[]option{drive}, 0, 0, (*interp).sanunhook}, true
	}
	return command{}, false
}

func (m *interp) echo(_ context.Context, a args) error {
	m.print(strings.Join(a.rest, " "))
	if !a.has("n") {
		m.print("\n")
	}
	return nil
}

func (m *interp) exit(_ context.Context, a args) error {
	var status uint32
	if len(a.rest) > 0 {
		var err error
		if status, err = parseInteger(a.rest[0]); err != nil {
			return err
		}
	}
	m.stop = stopScript
	if status != 0 {
		return exitStatus(status)
	}
	return nil
}

func (m *interp) gotoLabel(_ context.Context, a args) error {
	at, ok := m.lines.labels[a.rest[0]]
	if !ok {
		return ENOENT.failf("no such label :%s", a.rest[0])
	}
	m.lines.next = at
	m.stop = stopLine
	return nil
}

func (m *interp) isset(_ context.Context, a args) error {
	if a.rest[0] == "" {
		return ENOENT.failf("not set")
	}
	return nil
}

func (m *interp) iseq(_ context.Context, a args) error {
	if a.rest[0] != a.rest[1] {
		return ERANGE.failf("not equal")
	}
	return nil
}

// set is clear too, which is set without a value.
func (m *interp) set(_ context.Context, a args) error {
	n, err := parseName(a.rest[0])
	if err != nil {
		return err
	}
	return m.settings.store(n, strings.Join(a.rest[1:], " "))
}

func (m *interp) inc(_ context.Context, a args) error {
	n, err := parseName(a.rest[0])
	if err != nil {
		return err
	}
	by := uint32(1)
	if len(a.rest) > 1 {
		if by, err = parseInteger(a.rest[1]); err != nil {
			return err
		}
	}
	return m.settings.inc(n, by)
}

func (m *interp) sleep(ctx context.Context, a args) error {
	seconds, err := parseInteger(a.rest[0])
	if err != nil {
		return err
	}
	return m.wait(ctx, time.Duration(seconds)*time.Second)
}

// prompt waits for a key that nobody presses: for ever without a time-out.
func (m *interp) prompt(ctx context.Context, a args) error {
	ms, err := a.number("timeout", 0)
	if err != nil {
		return err
	}
	d := time.Duration(ms) * time.Millisecond
	if ms == 0 {
		d = math.MaxInt64
	}
	m.print(strings.Join(a.rest, " ") + "\n")
	if err := m.wait(ctx, d); err != nil {
		return err
	}
	return ETIMEDOUT
}

func (m *interp) wait(ctx context.Context, d time.Duration) error {
	m.flush()
	sleep := m.cfg.Sleep
	if sleep == nil {
		sleep = timer
	}
	if err := sleep(ctx, d); err != nil {
		return fatal{err}
	}
	return nil
}

func timer(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *interp) reboot(context.Context, args) error {
	m.out.Action = Reboot
	return errHalt
}

func (m *interp) powerOff(context.Context, args) error {
	m.out.Action = PowerOff
	return errHalt
}

// configure succeeds with the first interface there is, of those named or all.
func (m *interp) configure(_ context.Context, a args) error {
	if _, err := a.number("timeout", 0); err != nil {
		return err
	}
	names := a.rest
	if len(names) == 0 && len(m.cfg.NICs) > 0 {
		names = []string{"net0"}
	}
	err := error(ENODEV)
	for _, name := range names {
		if err = m.interfaceOpen(name); err == nil {
			return nil
		}
	}
	return err
}

// openClose does all interfaces that are named; the last one counts.
func (m *interp) openClose(_ context.Context, a args) error {
	if len(a.rest) == 0 && len(m.cfg.NICs) == 0 {
		return ENODEV
	}
	var err error
	for _, name := range a.rest {
		err = m.interfaceOpen(name)
	}
	return err
}

// interfaceOpen makes an interface the one that was opened last, netX.
func (m *interp) interfaceOpen(name string) error {
	for i := range m.cfg.NICs {
		if nic := fmt.Sprintf("net%d", i); name == nic || name == "netX" && nic == m.settings.netX {
			m.settings.netX = nic
			return nil
		}
	}
	return ENODEV.failf("%q: no such network device", name)
}

const defaultDrive = 0x80

// sanboot boots a SAN drive or, without a root path, a local one.
func (m *interp) sanboot(ctx context.Context, a args) error {
	drive, err := a.number("drive", defaultDrive)
	if err != nil {
		return err
	}
	roots := a.rest
	if len(roots) == 0 {
		roots = m.sanHooks[drive]
	}
	m.print(fmt.Sprintf("Booting from SAN device %#02x\n", drive))
	if m.cfg.SANBoot != nil {
		if err := m.cfg.SANBoot(ctx, drive, roots); err != nil {
			if ctx.Err() != nil {
				return fatal{ctx.Err()}
			}
			var errno Errno
			if !errors.As(err, &errno) {
				err = fmt.Errorf("%w: %w", ENOENT, err)
			}
			m.print(fmt.Sprintf("Boot from SAN device %#02x failed: %v\n", drive, err))
			return err
		}
	}
	m.out.Action, m.out.Drive, m.out.RootPaths = SANBoot, drive, roots
	return errHalt
}

func (m *interp) sanhook(_ context.Context, a args) error {
	drive, err := a.number("drive", defaultDrive)
	if err != nil {
		return err
	}
	m.sanHooks[drive] = a.rest
	m.print(fmt.Sprintf("Registered SAN device %#02x\n", drive))
	return nil
}

func (m *interp) sanunhook(_ context.Context, a args) error {
	drive, err := a.number("drive", defaultDrive)
	delete(m.sanHooks, drive)
	return err
}

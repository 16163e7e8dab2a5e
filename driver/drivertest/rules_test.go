package drivertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A login is what the drivers under test read.
type login struct {
	Address  string      `driver_info:"bmc_address,required" help:"address of the BMC"`
	User     string      `driver_info:"bmc_username,required" help:"user name of the BMC"`
	Password task.Secret `driver_info:"bmc_password,required" help:"password of the BMC"`
	Protocol string      `driver_info:"bmc_protocol" default:"lan" choices:"lan,lanplus" help:"protocol of the BMC"`
}

func validate(_ context.Context, t *task.Task) error {
	return t.Node.Decode("power.Validate", new(login))
}

func newTask(t testing.TB, name string) *task.Task {
	n := tasktest.Node(name)
	n.DriverInfo = task.Info{"bmc_address": name + ".example", "bmc_username": "root", "bmc_password": "calvin-" + name, "unrelated": "x"}
	return tasktest.Task(t, n)
}

// failing returns the names of the rules that fail.
func failing(t *testing.T, rules []rule) []string {
	var names []string
	for _, r := range rules {
		var why skip
		if err := r.run(t); err != nil && !errors.As(err, &why) {
			t.Logf("%s: %v", r.name, err)
			names = append(names, r.name)
		}
	}
	return names
}

// powerHarness is a harness of a fake, changed by change for each rule.
func powerHarness(change func(p *Power)) PowerHarness {
	var p *Power
	jammed := map[string]bool{}
	return PowerHarness{
		New: func(testing.TB) driver.PowerInterface {
			clear(jammed)
			p = &Power{Props: task.PropertiesOf[login](), ValidateFunc: validate}
			p.SetPowerStateFunc = func(ctx context.Context, t *task.Task, s driver.PowerState) error {
				if jammed[t.Node.UUID] {
					<-ctx.Done() // a driver that polls
					return ctx.Err()
				}
				return usualPower(ctx, p, t, s)
			}
			change(p)
			return p
		},
		Task:  newTask,
		State: func(n *task.Node) driver.PowerState { return p.State(n.UUID) },
		Jam: func(n *task.Node) {
			jammed[n.UUID] = true
		},
	}
}

// usualPower is what p does without a function of its own.
func usualPower(ctx context.Context, p *Power, t *task.Task, s driver.PowerState) error {
	usual := &Power{}
	if err := usual.SetPowerState(ctx, t, s); err != nil {
		return err
	}
	p.Put(t.Node.UUID, usual.State(t.Node.UUID))
	return nil
}

func TestPowerRules(t *testing.T) {
	RunPower(t, powerHarness(func(*Power) {}))

	blind := powerHarness(func(*Power) {})
	blind.State, blind.Jam = nil, nil
	require.Empty(t, failing(t, blind.rules()))
}

func TestPowerRulesFind(t *testing.T) {
	type set = func(ctx context.Context, t *task.Task, s driver.PowerState) error
	wrapSet := func(p *Power, f func(next set) set) { p.SetPowerStateFunc = f(p.SetPowerStateFunc) }
	tests := []struct {
		rule   string
		broken func(p *Power)
	}{
		{"valid", func(p *Power) {
			p.ValidateFunc = func(ctx context.Context, t *task.Task) error {
				if err := validate(ctx, t); err != nil {
					return err
				}
				return errors.New("the moon is not full")
			}
		}},
		{"described", func(p *Power) { delete(p.Props, "driver_info.bmc_address") }},
		{"described", func(p *Power) { p.Props["driver_info.bmc_username"] = task.Property{Required: true} }},
		{"described", func(p *Power) { p.Props["bmc_port"] = task.Property{Description: "port of the BMC"} }},
		{"described", func(p *Power) {
			p.PowerStateFunc = func(ctx context.Context, t *task.Task) (driver.PowerState, error) {
				if t.Node.DriverInfo.Text("unrelated") == "" {
					return "", errors.New("nothing to relate to")
				}
				return p.State(t.Node.UUID), ctx.Err()
			}
		}},
		{"required", func(p *Power) {
			p.ValidateFunc = func(ctx context.Context, t *task.Task) error {
				for _, first := range task.Problems(validate(ctx, t)) {
					return first
				}
				return nil
			}
		}},
		{"wrong-values", func(p *Power) {
			p.ValidateFunc = func(ctx context.Context, t *task.Task) error {
				if v := t.Node.DriverInfo["bmc_protocol"]; v != nil {
					_ = v.(string)
				}
				return validate(ctx, t)
			}
		}},
		{"unchanged", func(p *Power) {
			p.ValidateFunc = func(ctx context.Context, t *task.Task) error {
				t.Node.SetInternal("validated", true)
				return validate(ctx, t)
			}
		}},
		{"secrets", func(p *Power) {
			p.ValidateFunc = func(ctx context.Context, t *task.Task) error {
				if err := validate(ctx, t); err != nil {
					return task.Join(err, fmt.Errorf("bad login %v", t.Node.DriverInfo))
				}
				return nil
			}
		}},
		{"secrets", func(p *Power) {
			wrapSet(p, func(next set) set {
				return func(ctx context.Context, t *task.Task, s driver.PowerState) error {
					if err := next(ctx, t, s); err != nil {
						return fmt.Errorf("bmctool -P %s: %w", t.Node.DriverInfo.Text("bmc_password"), err)
					}
					return nil
				}
			})
		}},
		{"power-state", func(p *Power) {
			p.PowerStateFunc = func(ctx context.Context, t *task.Task) (driver.PowerState, error) {
				return driver.PowerOff, ctx.Err()
			}
		}},
		{"set", func(p *Power) {
			wrapSet(p, func(next set) set {
				return func(ctx context.Context, t *task.Task, s driver.PowerState) error {
					if s == driver.PowerOff && ctx.Err() == nil {
						return nil
					}
					return next(ctx, t, s)
				}
			})
		}},
		{"verified", func(p *Power) {
			wrapSet(p, func(next set) set {
				return func(ctx context.Context, t *task.Task, s driver.PowerState) error {
					if err := next(ctx, t, s); !errors.Is(err, context.DeadlineExceeded) {
						return err
					}
					return nil
				}
			})
		}},
		{"same-state", func(p *Power) {
			wrapSet(p, func(next set) set {
				return func(ctx context.Context, t *task.Task, s driver.PowerState) error {
					if s == driver.PowerOn && p.State(t.Node.UUID) == s {
						return errors.New("the machine is on already")
					}
					return next(ctx, t, s)
				}
			})
		}},
		{"reboot", func(p *Power) {
			wrapSet(p, func(next set) set {
				return func(ctx context.Context, t *task.Task, s driver.PowerState) error {
					if s == driver.Reboot {
						s = driver.PowerOff
					}
					return next(ctx, t, s)
				}
			})
		}},
		{"reboot", func(p *Power) {
			wrapSet(p, func(next set) set {
				return func(ctx context.Context, t *task.Task, s driver.PowerState) error {
					if s == driver.Reboot && p.State(t.Node.UUID) == driver.PowerOff {
						return nil
					}
					return next(ctx, t, s)
				}
			})
		}},
		{"unknown-state", func(p *Power) {
			wrapSet(p, func(next set) set {
				return func(ctx context.Context, t *task.Task, s driver.PowerState) error {
					if err := next(ctx, t, s); !errors.Is(err, task.ErrInvalidParameter) {
						return err
					}
					return nil
				}
			})
		}},
		{"canceled", func(p *Power) {
			wrapSet(p, func(next set) set {
				return func(ctx context.Context, t *task.Task, s driver.PowerState) error {
					if ctx.Err() == context.Canceled {
						ctx = context.WithoutCancel(ctx)
					}
					return next(ctx, t, s)
				}
			})
		}},
		{"many-nodes", func(p *Power) {
			var once sync.Once
			var first *task.Task
			wrapSet(p, func(next set) set {
				return func(ctx context.Context, t *task.Task, s driver.PowerState) error {
					once.Do(func() { first = t })
					if ctx.Err() == nil && t.Node.Name[:2] == "no" {
						p.Put(first.Node.UUID, s)
						return nil
					}
					return next(ctx, t, s)
				}
			})
		}},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // a jammed machine is waited for
				require.Equal(t, []string{tt.rule}, failing(t, powerHarness(tt.broken).rules()))
			})
		})
	}
}

// staged is a power interface with a list of its states.
type staged struct {
	*Power
	states []driver.PowerState
}

func (s *staged) SupportedPowerStates(*task.Task) []driver.PowerState { return s.states }

func TestPowerRulesFindUnlistedStates(t *testing.T) {
	h := powerHarness(func(*Power) {})
	plain := h.New
	list := []driver.PowerState{driver.PowerOn, driver.PowerOff, driver.Reboot}
	h.New = func(t testing.TB) driver.PowerInterface { return &staged{plain(t).(*Power), list} }
	synctest.Test(t, func(t *testing.T) {
		require.Empty(t, failing(t, h.rules()))
		list = list[:2]
		require.Equal(t, []string{"listed-states"}, failing(t, h.rules()))
	})
}

func managementHarness(change func(m *Management)) ManagementHarness {
	var m *Management
	return ManagementHarness{
		New: func(testing.TB) driver.ManagementInterface {
			m = &Management{Props: task.PropertiesOf[login](), ValidateFunc: validate}
			change(m)
			return m
		},
		Task:    newTask,
		Setting: func(n *task.Node) driver.BootSetting { return m.Setting(n.UUID) },
	}
}

func TestManagementRules(t *testing.T) {
	RunManagement(t, managementHarness(func(*Management) {}))

	blind := managementHarness(func(*Management) {})
	blind.Setting = nil
	require.Empty(t, failing(t, blind.rules()))
}

func TestManagementRulesFind(t *testing.T) {
	// with makes m do f before it does the usual.
	with := func(m *Management, f func(ctx context.Context, t *task.Task, s *driver.BootSetting) (done bool)) {
		m.SetBootDeviceFunc = func(ctx context.Context, t *task.Task, s driver.BootSetting) error {
			usual := &Management{Devices: m.Devices}
			if err := usual.SetBootDevice(ctx, t, s); err != nil {
				if f(ctx, t, &s) {
					return nil
				}
				return err
			}
			if !f(ctx, t, &s) {
				m.settings.put(t.Node.UUID, s)
			}
			return nil
		}
	}
	tests := []struct {
		rule   string
		broken func(m *Management)
	}{
		{"supported", func(m *Management) {
			m.Devices = []boot.Device{boot.PXE, boot.Disk, boot.SafeMode}
			m.SetBootDeviceFunc = func(ctx context.Context, t *task.Task, s driver.BootSetting) error {
				usual := &Management{Devices: m.Devices[:2]}
				if err := usual.SetBootDevice(ctx, t, s); err != nil {
					return err
				}
				m.settings.put(t.Node.UUID, s)
				return nil
			}
		}},
		{"device", func(m *Management) {
			with(m, func(_ context.Context, t *task.Task, s *driver.BootSetting) bool {
				if t.Node.Name == "n1" && s.Device == boot.CDROM {
					s.Device = boot.PXE
				}
				return false
			})
		}},
		{"persistent", func(m *Management) {
			with(m, func(_ context.Context, _ *task.Task, s *driver.BootSetting) bool {
				s.Persistent = false
				return false
			})
		}},
		{"unsupported", func(m *Management) {
			with(m, func(ctx context.Context, _ *task.Task, s *driver.BootSetting) bool {
				return ctx.Err() == nil && s.Device == "abacus"
			})
		}},
		{"boot-device", func(m *Management) {
			m.BootDeviceFunc = func(ctx context.Context, _ *task.Task) (driver.BootSetting, error) {
				return driver.BootSetting{Device: boot.Disk}, ctx.Err()
			}
		}},
		{"canceled", func(m *Management) {
			m.BootDeviceFunc = func(_ context.Context, t *task.Task) (driver.BootSetting, error) {
				return m.Setting(t.Node.UUID), nil
			}
		}},
		{"many-nodes", func(m *Management) {
			with(m, func(_ context.Context, t *task.Task, s *driver.BootSetting) bool {
				if t.Node.Name == "node-3" {
					m.settings.put(tasktest.Node("node-4").UUID, *s)
					return true
				}
				return false
			})
		}},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			require.Equal(t, []string{tt.rule}, failing(t, managementHarness(tt.broken).rules()))
		})
	}
}

func consoleHarness(change func(c *Console)) ConsoleHarness {
	var c *Console
	return ConsoleHarness{
		New: func(testing.TB) driver.ConsoleInterface {
			c = &Console{Props: task.PropertiesOf[login](), ValidateFunc: validate}
			change(c)
			return c
		},
		Task:    newTask,
		Running: func(n *task.Node) bool { return c.Started(n.UUID) },
	}
}

func TestConsoleRules(t *testing.T) {
	RunConsole(t, consoleHarness(func(*Console) {}))
}

func TestConsoleRulesFind(t *testing.T) {
	tests := []struct {
		rule   string
		broken func(c *Console)
	}{
		{"start", func(c *Console) {
			c.ConsoleFunc = func(_ context.Context, t *task.Task) (driver.Console, error) {
				return driver.Console{URL: t.Node.UUID}, nil
			}
		}},
		{"start-again", func(c *Console) {
			c.StartConsoleFunc = func(ctx context.Context, t *task.Task) error {
				if ctx.Err() == nil && c.Started(t.Node.UUID) {
					return errors.New("started already")
				}
				c.started.put(t.Node.UUID, true)
				return ctx.Err()
			}
		}},
		{"stop", func(c *Console) {
			c.StopConsoleFunc = func(ctx context.Context, _ *task.Task) error { return ctx.Err() }
		}},
		{"stop-none", func(c *Console) {
			c.StopConsoleFunc = func(ctx context.Context, t *task.Task) error {
				if !c.Started(t.Node.UUID) {
					return errors.New("no console runs")
				}
				c.started.drop(t.Node.UUID)
				return ctx.Err()
			}
		}},
		{"canceled", func(c *Console) {
			c.StartConsoleFunc = func(_ context.Context, t *task.Task) error {
				c.started.put(t.Node.UUID, true)
				return nil
			}
		}},
		{"many-nodes", func(c *Console) {
			c.ConsoleFunc = func(context.Context, *task.Task) (driver.Console, error) {
				return driver.Console{Type: "url", URL: "https://console.example/"}, nil
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			require.Equal(t, []string{tt.rule}, failing(t, consoleHarness(tt.broken).rules()))
		})
	}
}

func vendorHarness(change func(v *Vendor)) VendorHarness {
	return VendorHarness{
		New: func(testing.TB) driver.VendorInterface {
			v := &Vendor{Props: task.PropertiesOf[login](), ValidateFunc: validate, MethodMap: map[string]driver.VendorMethod{
				"blink": {Description: "blinks the locator light", Call: echo},
				"logs":  {Description: "returns the BMC's log", Verbs: []string{"GET"}, Shared: true, Call: echo},
			}}
			change(v)
			return v
		},
		Task:  newTask,
		Calls: []driver.VendorCall{{Method: "blink", Verb: "POST"}, {Method: "logs", Verb: "GET"}},
	}
}

func TestVendorRules(t *testing.T) {
	RunVendor(t, vendorHarness(func(*Vendor) {}))
}

func TestVendorRulesFind(t *testing.T) {
	change := func(name string, f func(m *driver.VendorMethod)) func(v *Vendor) {
		return func(v *Vendor) {
			m := v.MethodMap[name]
			f(&m)
			v.MethodMap[name] = m
		}
	}
	tests := []struct {
		name, rule string
		broken     func(v *Vendor)
	}{
		{"no description", "methods", change("blink", func(m *driver.VendorMethod) { m.Description = "" })},
		{"verb", "methods", change("blink", func(m *driver.VendorMethod) { m.Verbs = []string{"POST", "get"} })},
		{"name", "methods", func(v *Vendor) { v.MethodMap["a/b"] = v.MethodMap["blink"] }},
		{"refuses", "calls", change("blink", func(m *driver.VendorMethod) {
			m.Call = func(ctx context.Context, _ *task.Task, _ driver.VendorCall) (any, error) {
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				return nil, errors.New("the light is broken")
			}
		})},
		{"writes", "shared", change("logs", func(m *driver.VendorMethod) {
			m.Call = func(ctx context.Context, t *task.Task, _ driver.VendorCall) (any, error) {
				t.Node.SetInternal("logs", "read")
				return nil, ctx.Err()
			}
		})},
		{"goes on", "canceled", change("blink", func(m *driver.VendorMethod) {
			m.Call = func(context.Context, *task.Task, driver.VendorCall) (any, error) { return nil, nil }
		})},
		{"remembers", "many-nodes", func(v *Vendor) {
			var mu sync.Mutex
			seen := map[string]bool{}
			change("blink", func(m *driver.VendorMethod) {
				m.Call = func(ctx context.Context, t *task.Task, _ driver.VendorCall) (any, error) {
					mu.Lock()
					defer mu.Unlock()
					if seen[t.Node.UUID] = true; len(seen) > 4 {
						return nil, errors.New("too many nodes")
					}
					return nil, ctx.Err()
				}
			})(v)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, []string{tt.rule}, failing(t, vendorHarness(tt.broken).rules()))
		})
	}
}

func harness(change func(d *driver.Driver)) Harness {
	var p *Power
	return Harness{
		New: func(testing.TB) driver.Driver {
			d := Driver(nil)
			p = &Power{Props: task.PropertiesOf[login](), ValidateFunc: validate}
			d.Power = p
			d.Management = &Management{Props: task.PropertiesOf[login](), ValidateFunc: validate}
			d.Deploy = &RamdiskDeploy{StepLists: map[deploy.Kind][]deploy.Step{deploy.CleanSteps: {
				{Interface: "deploy", Name: "erase_devices", Priority: 10}, {Interface: "deploy", Name: "erase_devices_metadata"},
			}}}
			change(&d)
			return d
		},
		Task:       newTask,
		PowerState: func(n *task.Node) driver.PowerState { return p.State(n.UUID) },
	}
}

func TestRules(t *testing.T) {
	Run(t, harness(func(*driver.Driver) {}))
}

// needy is a deploy interface that needs a sibling.
type needy struct{ *RamdiskDeploy }

func (needy) CheckSiblings(*driver.Driver) error { return errors.New("it needs virtual media") }

func TestRulesFind(t *testing.T) {
	validated := func(f func(t *task.Task) error) func(d *driver.Driver) {
		return func(d *driver.Driver) {
			d.Deploy = &Deploy{ValidateFunc: func(_ context.Context, t *task.Task) error { return f(t) }}
		}
	}
	steps := func(all ...deploy.Step) func(d *driver.Driver) {
		return func(d *driver.Driver) {
			d.Deploy.(*RamdiskDeploy).StepLists = map[deploy.Kind][]deploy.Step{deploy.DeploySteps: all}
		}
	}
	tests := []struct {
		name, rule string
		broken     func(d *driver.Driver)
	}{
		{"needs a sibling", "compose", func(d *driver.Driver) { d.Deploy = needy{d.Deploy.(*RamdiskDeploy)} }},
		{"discontent", "valid", validated(func(*task.Task) error { return errors.New("no") })},
		{"undocumented", "described", validated(func(t *task.Task) error {
			if t.Node.DriverInfo.Text("unrelated") == "" {
				return &task.Error{Node: t.Node.String(), Field: "driver_info.unrelated", Err: task.ErrMissingParameter}
			}
			return nil
		})},
		{"without description", "described", func(d *driver.Driver) {
			d.Boot = &Boot{Props: task.Properties{"driver_info.bmc_address": {}}}
		}},
		{"panics", "wrong-values", validated(func(t *task.Task) error {
			if v, ok := t.Node.DriverInfo["bmc_address"]; ok && v != nil {
				_ = v.(string)
			}
			return nil
		})},
		{"writes", "unchanged", validated(func(t *task.Task) error {
			t.Node.LastError = ""
			t.Node.Extra = task.Info{"seen": true}
			return nil
		})},
		{"tells", "secrets", validated(func(t *task.Task) error {
			if t.Node.DriverInfo["bmc_username"] == nil {
				return fmt.Errorf("no user for password %v", t.Node.DriverInfo["bmc_password"])
			}
			return nil
		})},
		{"keeps quiet", "all-problems", func(d *driver.Driver) {
			d.Deploy = &Deploy{Props: task.Properties{"driver_info.bmc_address": {Description: "address of the BMC", Required: true}}}
		}},
		{"foreign step", "steps", steps(deploy.Step{Interface: "bios", Name: "apply"})},
		{"step twice", "steps", steps(deploy.Step{Interface: "deploy", Name: "write"}, deploy.Step{Interface: "deploy", Name: "write"})},
		{"mixes nodes up", "many-nodes", func(d *driver.Driver) {
			p := d.Power.(*Power)
			p.SetPowerStateFunc = func(_ context.Context, _ *task.Task, s driver.PowerState) error {
				p.Put(tasktest.Node("node-0").UUID, s)
				return nil
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, []string{tt.rule}, failing(t, harness(tt.broken).rules()))
		})
	}
}

// moded is a management interface that changes the boot mode of nobody.
type moded struct {
	*Management
	mode task.BootMode
}

func (m *moded) SetBootMode(_ context.Context, _ *task.Task, mode task.BootMode) error {
	if mode == task.BIOS {
		return task.ErrUnsupported
	}
	return nil
}

func (m *moded) BootMode(context.Context, *task.Task) (task.BootMode, error) { return m.mode, nil }

func TestManagementRulesFindBootMode(t *testing.T) {
	h := managementHarness(func(*Management) {})
	plain, mode := h.New, task.UEFI
	h.New = func(t testing.TB) driver.ManagementInterface { return &moded{plain(t).(*Management), mode} }
	require.Empty(t, failing(t, h.rules()))
	mode = task.BIOS
	require.Equal(t, []string{"boot-mode"}, failing(t, h.rules()))
}

func TestCanceledEndsWithAHangingDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		err := canceled("Hang", func(context.Context) error {
			<-end
			return nil
		})
		close(end)
		require.EqualError(t, err, "Hang still runs 10s after its context was canceled")
	})
}

package catalog

import (
	"reflect"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/fake"
	"github.com/ferrule/ferrule/task"
)

// Register adds to r every composite whose parts c has, and every single part by the
// name of its interface. The fakes are always there. The error joins what could not
// be added, each with the reason.
func Register(r *driver.Registry, c Config) error {
	p := partsOf(&c)
	errs := p.register(r)
	for _, row := range Composites() {
		d, ok := p.compose(row)
		if !ok {
			continue
		}
		errs = append(errs, r.Add(d))
	}
	return task.Join(errs...)
}

// parts are what c has, by the names of interfaces.
type parts struct {
	cfg    *Config
	boot   map[string]boot.BootInterface
	deploy map[string]deploy.DeployInterface
	reach  map[string]BMC
}

func partsOf(c *Config) *parts {
	p := &parts{
		cfg:    c,
		boot:   map[string]boot.BootInterface{"fake": fake.Boot()},
		deploy: map[string]deploy.DeployInterface{"fake": fake.Deploy(c.Fake)},
		reach: map[string]BMC{"fake": {Power: fake.Power(c.Fake), Management: fake.Management(), Vendor: fake.Vendor(), Console: fake.Console(),
			Inspect: fake.Inspect(c.Fake), RAID: fake.RAID(c.Fake)}},
	}
	for _, b := range boots {
		put(p.boot, b.name, b.of(c))
	}
	for _, d := range deploys {
		put(p.deploy, d.name, d.of(c))
	}
	for _, r := range reaches {
		bmc := r.of(c)
		if none(bmc.Power) {
			continue
		}
		p.reach[r.name] = bmc
		put(p.boot, r.media, bmc.Boot)
	}
	return p
}

// none reports whether there is no implementation: nil, or a nil pointer, as a
// constructor that failed leaves it.
func none(impl any) bool {
	v := reflect.ValueOf(impl)
	return impl == nil || v.Kind() == reflect.Pointer && v.IsNil()
}

func put[T any](m map[string]T, name string, impl T) {
	if !none(impl) && name != "" {
		m[name] = impl
	}
}

// compose makes the composite of a row, unless a part is missing.
func (p *parts) compose(row Composite) (driver.Driver, bool) {
	bmc, ok := p.reach[row.Reach]
	dep, hasDeploy := p.deploy[row.Deploy]
	d := driver.Driver{Title: row.Name, Power: bmc.Power, Deploy: dep}
	if row.Boot != "" {
		var hasBoot bool
		d.Boot, hasBoot = p.boot[row.Boot]
		ok = ok && hasBoot
	}
	if !ok || !hasDeploy {
		return driver.Driver{}, false
	}
	fill(&d.Management, bmc.Management)
	fill(&d.Vendor, bmc.Vendor)
	fill(&d.RAID, bmc.RAID)
	fill(&d.Console, bmc.Console)
	fill(&d.Inspect, bmc.Inspect)
	if d.Inspect == nil && fits(&d, p.cfg.Inspect) {
		fill(&d.Inspect, p.cfg.Inspect)
	}
	if d.Boot != nil && row.Reach != "fake" {
		fill(&d.Rescue, p.cfg.Rescue)
	}
	if row.Reach == "fake" {
		d.Rescue = fake.Rescue(p.cfg.Fake)
	}
	return d, true
}

// fill puts an implementation into a role unless there is none.
func fill[T any](role *T, impl T) {
	if !none(impl) {
		*role = impl
	}
}

// fits reports whether the shared inspection works beside the parts of d: one that
// boots a ramdisk does not where nothing boots.
func fits(d *driver.Driver, i driver.InspectInterface) bool {
	if none(i) {
		return false
	}
	checker, ok := task.As[driver.SiblingChecker](i)
	return !ok || checker.CheckSiblings(d) == nil
}

// register adds the single parts.
func (p *parts) register(r *driver.Registry) []error {
	var errs []error
	for name, b := range p.boot {
		errs = append(errs, r.Boot.Add(name, b))
	}
	for name, d := range p.deploy {
		errs = append(errs, r.Deploy.Add(name, d))
	}
	for name, bmc := range p.reach {
		errs = append(errs, r.Power.Add(name, bmc.Power),
			add(&r.Management, name, bmc.Management), add(&r.Vendor, name, bmc.Vendor), add(&r.Console, name, bmc.Console),
			add(&r.Inspect, name, bmc.Inspect), add(&r.RAID, name, bmc.RAID))
	}
	return append(errs, add(&r.Inspect, "inspector", p.cfg.Inspect), add(&r.Rescue, "agent", p.cfg.Rescue), r.Rescue.Add("fake", fake.Rescue(p.cfg.Fake)))
}

func add[T any](set *driver.Set[T], name string, impl T) error {
	if none(impl) {
		return nil
	}
	return set.Add(name, impl)
}

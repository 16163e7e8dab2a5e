package roletest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// upgrades are what an implementation of each role may have beside it.
var upgrades = map[reflect.Type][]reflect.Type{
	typeOf[boot.BootInterface]():         {typeOf[boot.RescueValidator](), typeOf[boot.InspectionValidator](), typeOf[boot.Capable]()},
	typeOf[deploy.DeployInterface]():     {typeOf[deploy.Heartbeater](), typeOf[deploy.Cleaner]()},
	typeOf[driver.PowerInterface]():      {typeOf[driver.PowerStater]()},
	typeOf[driver.ManagementInterface](): {typeOf[driver.BootModeSetter](), typeOf[driver.NMISender](), typeOf[driver.SensorReader]()},
	typeOf[driver.ConsoleInterface]():    nil,
	typeOf[driver.InspectInterface]():    nil,
	typeOf[driver.RAIDInterface]():       nil,
	typeOf[driver.RescueInterface]():     {typeOf[driver.RescueFinisher]()},
	typeOf[driver.VendorInterface]():     nil,
}

// anyRole are upgrades that every role may have.
var anyRole = []reflect.Type{typeOf[deploy.Stepper](), typeOf[task.Stager](), typeOf[driver.SiblingChecker]()}

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// upgradesFound sees whether task.As finds all that an implementation seems to have.
func upgradesFound(_ context.Context, s *Subject) error {
	var errs []error
	impl := reflect.ValueOf(s.Role)
	for role, own := range upgrades {
		if !impl.Type().Implements(role) {
			continue
		}
		for _, u := range slices.Concat(own, anyRole) {
			errs = append(errs, drifted(impl, u))
		}
		unwrap := impl.MethodByName("Unwrap")
		if want := reflect.FuncOf(nil, []reflect.Type{role}, false); unwrap.IsValid() && unwrap.Type() != want {
			errs = append(errs, fmt.Errorf("method Unwrap is %s, and a decorator's is %s", unwrap.Type(), want))
		}
	}
	return errors.Join(errs...)
}

// drifted says which method of impl bears the name of one of upgrade's, while
// impl is no upgrade.
func drifted(impl reflect.Value, upgrade reflect.Type) error {
	if impl.Type().Implements(upgrade) {
		return nil
	}
	for want := range upgrade.Methods() {
		got := impl.MethodByName(want.Name)
		switch {
		case !got.IsValid():
		case got.Type() != want.Type:
			return fmt.Errorf("method %s is %s, and that of %s is %s", want.Name, got.Type(), upgrade, want.Type)
		default:
			return fmt.Errorf("method %s is there, and another method of %s is not", want.Name, upgrade)
		}
	}
	return nil
}

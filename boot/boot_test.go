package boot_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A decorator that knows nothing of upgrades hides none of them.
type logged struct{ boot.BootInterface }

func (l logged) Unwrap() boot.BootInterface { return l.BootInterface }

// A media is a boot interface with every upgrade.
type media struct{ drivertest.Boot }

var (
	errRescue     = errors.New("no rescue ramdisk")
	errInspection = errors.New("no inspection ramdisk")
	errPlain      = errors.New("no ramdisk")
)

func (*media) ValidateRescue(context.Context, *task.Task) error     { return errRescue }
func (*media) ValidateInspection(context.Context, *task.Task) error { return errInspection }
func (*media) Capabilities() []boot.Capability {
	return []boot.Capability{boot.SecretParams, boot.RamdiskBoot}
}

// A deploy driver asks what a boot interface can do before it hands a secret to it.
func Example() {
	t := &task.Task{Node: &task.Node{Name: "n1"}}
	var b boot.BootInterface = logged{&media{}}
	params := boot.Params{"ipa-api-url": "http://192.0.2.1:6385"}
	if boot.Can(b, boot.SecretParams) {
		params["ipa-agent-token"] = "s3cret"
	}
	fmt.Println(len(params), b.PrepareRamdisk(context.Background(), t, params))
	fmt.Println(boot.ValidateInspection(context.Background(), &drivertest.Boot{}, t))
	// Output:
	// 2 <nil>
	// boot.ValidateInspection: node n1: boot_interface: not supported (choose a boot interface that can boot a ramdisk for inspection)
}

func TestUpgrades(t *testing.T) {
	plain := &drivertest.Boot{ValidateFunc: func(context.Context, *task.Task) error { return errPlain }}
	whole := &media{}
	tk := tasktest.Task(t, tasktest.Node("n1"))
	for name, b := range map[string]boot.BootInterface{"plain": plain, "decorated": logged{logged{plain}}} {
		t.Run(name+" without upgrades", func(t *testing.T) {
			require.ErrorIs(t, boot.ValidateRescue(t.Context(), b, tk), errPlain)
			err := boot.ValidateInspection(t.Context(), b, tk)
			require.ErrorIs(t, err, task.ErrUnsupported)
			require.ErrorContains(t, err, "node n1: boot_interface")
			require.True(t, boot.Can(b, boot.RamdiskBoot))
			require.False(t, boot.Can(b, boot.SecretParams))
		})
	}
	for name, b := range map[string]boot.BootInterface{"plain": whole, "decorated": logged{logged{whole}}} {
		t.Run(name+" with upgrades", func(t *testing.T) {
			require.ErrorIs(t, boot.ValidateRescue(t.Context(), b, tk), errRescue)
			require.ErrorIs(t, boot.ValidateInspection(t.Context(), b, tk), errInspection)
			require.True(t, boot.Can(b, boot.RamdiskBoot))
			require.True(t, boot.Can(b, boot.SecretParams))
			require.False(t, boot.Can(b, boot.InstanceNetboot))
		})
	}
}

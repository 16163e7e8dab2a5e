package vmedia

import (
	"context"
	"errors"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// secureKey in driver_internal_info says that secure boot was switched on for the
// instance.
const secureKey = "vmedia_secure_boot"

// A secureBooter is a management interface that can switch secure boot.
type secureBooter interface {
	SetSecureBoot(ctx context.Context, t *task.Task, on bool) error
}

// setMode brings the machine's firmware into the boot mode that the node says, if
// it says one: a composed ISO starts in either. A BMC that knows of no modes is
// left alone.
func setMode(ctx context.Context, t *task.Task, info task.BootInfo) error {
	m, ok := task.As[driver.BootModeSetter](driver.Of(t).Management)
	if !ok || !saysMode(t.Node, info) {
		return nil
	}
	if now, err := m.BootMode(ctx, t); err == nil && now == info.Mode {
		return nil
	} else if err != nil && !errors.Is(err, task.ErrUnsupported) {
		return err
	}
	err := m.SetBootMode(ctx, t, info.Mode)
	if errors.Is(err, task.ErrUnsupported) {
		t.Log().Warn("boot mode left as it is: the BMC cannot change it", "wanted", info.Mode)
		return nil
	}
	return err
}

// saysMode reports whether somebody said which boot mode the node has.
func saysMode(n *task.Node, info task.BootInfo) bool {
	if info.SecureBoot || n.InstanceInfo.Text("deploy_boot_mode") != "" {
		return true
	}
	for _, info := range []task.Info{n.InstanceInfo, n.Properties} {
		if c, err := task.ParseCapabilities(info["capabilities"]); err == nil && c["boot_mode"] != "" {
			return true
		}
	}
	return false
}

// setSecureBoot switches secure boot on for an instance that asks for it.
func setSecureBoot(ctx context.Context, op string, t *task.Task, info task.BootInfo) error {
	if !info.SecureBoot {
		return nil
	}
	s, ok := task.As[secureBooter](driver.Of(t).Management)
	if !ok {
		return &task.Error{Op: op, Node: t.Node.String(), Field: "instance_info.capabilities", Err: task.ErrUnsupported,
			Remedy: "use a management interface that can switch secure boot, or switch it on by hand and drop secure_boot"}
	}
	if err := s.SetSecureBoot(ctx, t, true); err != nil {
		return err
	}
	t.Node.SetInternal(secureKey, true)
	return nil
}

// unsetSecureBoot switches off what was switched on for an instance that is no
// more: a ramdisk need not be signed.
func unsetSecureBoot(ctx context.Context, t *task.Task) error {
	if t.Node.DriverInternalInfo[secureKey] == nil || !t.Exclusive() {
		return nil
	}
	if s, ok := task.As[secureBooter](driver.Of(t).Management); ok {
		if err := s.SetSecureBoot(ctx, t, false); err != nil && !errors.Is(err, task.ErrUnsupported) {
			return err
		}
	}
	t.Node.SetInternal(secureKey, nil)
	return nil
}

package redfish

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/task"
)

// A KeyReset is what to do with the keys of secure boot (DSP0268, SecureBoot).
type KeyReset string

// The key resets.
const (
	DefaultKeys KeyReset = "ResetAllKeysToDefault"
	NoKeys      KeyReset = "DeleteAllKeys"
)

// gen9Keys are the properties of HPE's Gen9 that have the keys reset, without an
// action.
var gen9Keys = map[KeyReset]string{DefaultKeys: "ResetToDefaultKeys", NoKeys: "ResetAllKeys"}

// ResetKeys resets the keys of secure boot, from the next boot on. The error Is
// task.ErrUnsupported where the system has no such action.
func (c *Client) ResetKeys(ctx context.Context, kind KeyReset) error {
	s, err := c.System(ctx)
	if err != nil {
		return err
	}
	var resource struct {
		Actions struct {
			Reset struct {
				Target string `json:"target"`
			} `json:"#SecureBoot.ResetKeys"`
		}
		ResetAllKeys *bool
	}
	if err := c.actionsOf(ctx, s.secureBoot(), &resource); err != nil {
		return err
	}
	if resource.ResetAllKeys != nil {
		return c.Patch(ctx, s.secureBoot().ID, map[string]bool{gen9Keys[kind]: true}, "")
	}
	return c.act(ctx, resource.Actions.Reset.Target, map[string]string{"ResetKeysType": string(kind)})
}

// ResetBIOS sets the settings of the firmware to their defaults, from the next boot
// on. The error Is task.ErrUnsupported where the system has no such action.
func (c *Client) ResetBIOS(ctx context.Context) error {
	s, err := c.System(ctx)
	if err != nil {
		return err
	}
	var resource struct {
		Actions struct {
			Reset struct {
				Target string `json:"target"`
			} `json:"#Bios.ResetBios"`
		}
	}
	if err := c.actionsOf(ctx, s.Bios, &resource); err != nil {
		return err
	}
	return c.act(ctx, resource.Actions.Reset.Target, map[string]string{})
}

func (c *Client) actionsOf(ctx context.Context, l link, v any) error {
	if l.ID == "" {
		return fmt.Errorf("%w: the system has no such resource", task.ErrUnsupported)
	}
	_, err := c.Get(ctx, l.ID, v)
	return err
}

func (c *Client) act(ctx context.Context, target string, body any) error {
	if target == "" {
		return fmt.Errorf("%w: the system has no such action", task.ErrUnsupported)
	}
	return c.Post(ctx, target, body)
}

package ipmi

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

const (
	app       = 0x06 // network function
	coldReset = 0x02
	warmReset = 0x03
)

type vendor struct{ role }

var _ driver.VendorInterface = (*vendor)(nil)

func (v *vendor) Validate(_ context.Context, t *task.Task) error {
	_, err := v.bmc("ValidateVendor", t)
	return err
}

func (v *vendor) Methods() map[string]driver.VendorMethod {
	return map[string]driver.VendorMethod{
		"send_raw":  {Description: "sends raw_bytes, as \"0x06 0x01\", to the BMC and answers the bytes that come back", Verbs: []string{"POST"}, Call: v.sendRaw},
		"bmc_reset": {Description: "resets the BMC: warm (default true) or cold", Verbs: []string{"POST"}, Call: v.reset},
	}
}

func (v *vendor) sendRaw(ctx context.Context, t *task.Task, c driver.VendorCall) (any, error) {
	const method = "send_raw"
	if err := t.RequireExclusive(v.name + "." + method); err != nil {
		return nil, err
	}
	b, err := v.bmc(method, t)
	if err != nil {
		return nil, err
	}
	req, err := parseRaw(c.Args["raw_bytes"])
	if err != nil {
		return nil, v.fail(method, t, "raw_bytes", err, "give network function, command and data as bytes, like \"0x06 0x01\"")
	}
	data, err := v.command(ctx, b, req)
	if err != nil {
		return nil, v.fail(method, t, "", err, "look at the bytes and at the BMC")
	}
	return hex.EncodeToString(data), nil
}

// maxRaw is the longest request that fits an IPMI message over LAN.
const maxRaw = 250

// parseRaw reads what an operator gives as raw bytes.
func parseRaw(v any) (Request, error) {
	text, ok := v.(string)
	if !ok || strings.TrimSpace(text) == "" {
		return Request{}, task.ErrMissingParameter
	}
	var bytes []byte
	for _, word := range strings.Fields(text) {
		n, err := strconv.ParseUint(word, 0, 8)
		if err != nil {
			return Request{}, fmt.Errorf("%w: %.16q is no byte", task.ErrInvalidParameter, word)
		}
		bytes = append(bytes, byte(n))
	}
	if len(bytes) < 2 || len(bytes) > maxRaw || bytes[0] > 0x3f || bytes[0]%2 != 0 {
		return Request{}, fmt.Errorf("%w: %d bytes, the first being the network function of a request", task.ErrInvalidParameter, len(bytes))
	}
	return Request{NetFn: bytes[0], Command: bytes[1], Data: bytes[2:]}, nil
}

func (v *vendor) reset(ctx context.Context, t *task.Task, c driver.VendorCall) (any, error) {
	const method = "bmc_reset"
	if err := t.RequireExclusive(v.name + "." + method); err != nil {
		return nil, err
	}
	b, err := v.bmc(method, t)
	if err != nil {
		return nil, err
	}
	warm := true
	if given, ok := c.Args["warm"]; ok { // Ironic took the text "False" for true
		if warm, err = strconv.ParseBool(strings.ToLower(fmt.Sprint(given))); err != nil {
			return nil, v.fail(method, t, "warm", fmt.Errorf("%w: want true or false", task.ErrInvalidParameter), "set it to true or false")
		}
	}
	req := Request{NetFn: app, Command: coldReset}
	if warm {
		req.Command = warmReset
	}
	if _, err := v.command(ctx, b, req); err != nil {
		return nil, v.fail(method, t, "", err, "look at the BMC")
	}
	return nil, nil
}

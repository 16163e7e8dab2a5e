package ipminative

import (
	"context"
	"errors"
	"fmt"

	"github.com/bougou/go-ipmi/pkg/types"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/ipmi"
	"github.com/ferrule/ferrule/task"
)

type client struct {
	cfg  Config
	pool pool
}

var _ ipmi.Client = (*client)(nil)

// Check refuses what the library cannot do.
func (c *client) Check(b *ipmi.BMC) error {
	switch {
	case b.Bridge != nil:
		return cannot("ipmi_bridging", "bridging")
	case b.KG != "":
		return cannot("ipmi_hex_kg_key", "a BMC key")
	}
	return nil
}

func cannot(field, what string) error {
	return &task.Error{Field: "driver_info." + field, Err: fmt.Errorf("%w: %w: %s", task.ErrInvalidParameter, task.ErrUnsupported, what), Remedy: "use the ipmitool driver for this node"}
}

// Command implements ipmi.Client.
func (c *client) Command(ctx context.Context, b *ipmi.BMC, r ipmi.Request) ([]byte, error) {
	return with(ctx, c, b, repeatable(r), func(s *session) ([]byte, error) {
		answer, err := s.client.RawCommand(ctx, types.NetFn(r.NetFn), r.Command, r.Data, "command")
		if refused, ok := types.IsResponseError(err); ok {
			return nil, &ipmi.CompletionError{Request: r, Code: byte(refused.CompletionCode())}
		}
		if err != nil {
			return nil, err
		}
		return answer.Response, nil
	})
}

// repeatable reports whether doing r twice is doing it once, so that it may be sent
// again when nobody knows whether it arrived.
func repeatable(r ipmi.Request) bool {
	switch [2]byte{r.NetFn, r.Command} {
	case [2]byte{0x00, 0x01}, [2]byte{0x00, 0x08}, [2]byte{0x00, 0x09}, [2]byte{0x06, 0x01}: // chassis status, boot options set and got, device ID
		return true
	case [2]byte{0x00, 0x02}: // chassis control: off and on, but neither a reset nor an interrupt
		return len(r.Data) == 1 && r.Data[0] <= 0x01
	}
	return false
}

// with calls f with a session at b, kept or new. A kept one may have ended at the
// BMC meanwhile: then f is called again with a new one, if that does no harm.
func with[T any](ctx context.Context, c *client, b *ipmi.BMC, again bool, f func(*session) (T, error)) (T, error) {
	var zero T
	if ctx.Err() != nil {
		return zero, context.Cause(ctx)
	}
	s := c.pool.take(keyOf(b))
	kept := s != nil
	for {
		if s == nil {
			var err error
			if s, err = c.login(ctx, b); err != nil {
				return zero, err
			}
		}
		v, err := f(s)
		if _, refused := errors.AsType[*ipmi.CompletionError](err); err == nil || refused {
			c.pool.put(s)
			return v, err
		}
		c.pool.drop(s)
		if ctx.Err() != nil {
			return zero, context.Cause(ctx)
		}
		if !kept || !again {
			return zero, c.told(b, err)
		}
		s, kept = nil, false
	}
}

// Sensors implements ipmi.Client.
func (c *client) Sensors(ctx context.Context, b *ipmi.BMC) ([]driver.Sensor, error) {
	return with(ctx, c, b, true, func(s *session) ([]driver.Sensor, error) {
		found, err := s.client.GetSensors(ctx)
		if err != nil {
			return nil, err
		}
		var sensors []driver.Sensor
		for _, f := range found {
			if f.NotPresent || f.ScanningDisabled || !f.ReadingAvailable || !f.HasAnalogReading {
				continue
			}
			unit, kind := unitOf(f.SensorUnit)
			sensors = append(sensors, driver.Sensor{Name: f.Name, Kind: kind, Value: f.Value, Unit: unit, State: string(f.Threshold.ThresholdStatus)})
		}
		return sensors, nil
	})
}

// unitOf returns the name of a unit and the kind of what is measured in it.
func unitOf(u types.SensorUnit) (name, kind string) {
	switch u.BaseUnit {
	case types.SensorUnitType_DegreesC:
		return "Celsius", "temperature"
	case types.SensorUnitType_DegreesF:
		return "Fahrenheit", "temperature"
	case types.SensorUnitType_RPM:
		return "RPM", "fan"
	case types.SensorUnitType_Volts:
		return "Volts", "voltage"
	case types.SensorUnitType_Watts:
		return "Watts", "power"
	case types.SensorUnitType_Amps:
		return "Amps", "current"
	}
	return u.String(), "other"
}

package ipmitool

import (
	"encoding/csv"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/ferrule/ferrule/driver"
)

// busyTexts are what ipmitool says of a BMC that may take the command soon.
var busyTexts = []string{
	"insufficient resources for session", "Node busy", "Timeout", "Out of space", "BMC initialization in progress",
}

func (c *client) busy(text string) bool {
	for _, list := range [][]string{busyTexts, c.cfg.RetryOn} {
		for _, t := range list {
			if t != "" && strings.Contains(text, t) {
				return true
			}
		}
	}
	return false
}

// refusesSuite reports whether the BMC does not take the cipher suite.
func refusesSuite(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, "no matching cipher suite") || strings.Contains(text, "no cipher suite match") ||
		strings.Contains(text, "unsupported cipher suite")
}

var rawRefused = regexp.MustCompile(`Unable to send RAW command \([^)]*rsp=0x([0-9a-fA-F]{1,2})\)`)

// completion finds the BMC's code in what ipmitool says of a raw command.
func completion(text string) (byte, bool) {
	m := rawRefused.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	code, err := strconv.ParseUint(m[1], 16, 8)
	return byte(code), err == nil && code != 0
}

// parseBytes reads the answer to a raw command: two digits a byte.
func parseBytes(out string) ([]byte, error) {
	data := []byte{}
	for _, word := range strings.Fields(out) {
		n, err := strconv.ParseUint(word, 16, 8)
		if err != nil || len(word) != 2 {
			return nil, fmt.Errorf("ipmitool: an answer that is no bytes: %.60q", out)
		}
		data = append(data, byte(n))
	}
	return data, nil
}

// parseSensors reads the comma separated form of sdr elist: name, number, state,
// entity, reading. Lines without a reading are left out.
func parseSensors(out string) []driver.Sensor {
	var sensors []driver.Sensor
	for line := range strings.Lines(out) {
		fields, err := csv.NewReader(strings.NewReader(line)).Read()
		if err != nil || len(fields) < 4 {
			continue
		}
		s := driver.Sensor{Name: strings.TrimSpace(fields[0]), State: strings.TrimSpace(fields[3])}
		value, err := strconv.ParseFloat(strings.TrimSpace(fields[1]), 64)
		if err != nil || s.State == "ns" {
			continue
		}
		s.Value = value
		s.Unit, s.Kind = unitOf(strings.TrimSpace(fields[2]))
		sensors = append(sensors, s)
	}
	return sensors
}

// unitOf returns the unit and the kind of what ipmitool measures in unit.
func unitOf(unit string) (name, kind string) {
	switch unit {
	case "degrees C":
		return "Celsius", "temperature"
	case "degrees F":
		return "Fahrenheit", "temperature"
	case "RPM":
		return unit, "fan"
	case "Volts":
		return unit, "voltage"
	case "Watts":
		return unit, "power"
	case "Amps":
		return unit, "current"
	}
	return unit, "other"
}

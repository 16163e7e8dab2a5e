package snmp

import (
	"slices"
	"strconv"
	"strings"
)

// enterprises is where the models' own objects are.
const enterprises = ".1.3.6.1.4.1."

// A model is how one kind of unit is asked and switched: by a state object, whose
// values of on and off are listed, and an object for each order with the value that
// is written to it.
type model struct {
	system string // prefix of the unit's sysObjectID, after enterprises; "" for none
	state  object
	on     []int // the values of state that mean that the outlet has power
	off    []int
	toOn   order
	toOff  order
}

// An object is one of an outlet: base.outlet, and what follows that.
type object struct{ base, suffix string }

func (o object) oid(outlet int) string {
	return enterprises + o.base + "." + strconv.Itoa(outlet) + o.suffix
}

type order struct {
	object
	value int
}

// simple is a model with one object, which reads as what is written to it.
func simple(system, base, suffix string, on, off int) model {
	o := object{base, suffix}
	return model{system: system, state: o, on: []int{on}, off: []int{off}, toOn: order{o, on}, toOff: order{o, off}}
}

// models are the units by the names of driver_info.snmp_driver. The facts are the
// makers' MIBs'.
var models = map[string]model{
	"apc_masterswitch":     simple("318.1.1.4", "318.1.1.4.4.2.1.3", "", 1, 2),
	"apc_masterswitchplus": simple("318.1.1.6", "318.1.1.6.5.1.1.5", "", 1, 3),
	"apc_rackpdu":          simple("318.1.1.12", "318.1.1.12.3.3.1.1.4", "", 1, 2),
	"apc":                  simple("", "318.1.1.4.4.2.1.3", "", 1, 2), // an old name of apc_masterswitch
	"aten":                 simple("21317", "21317.1.3.2.2.2.2", ".0", 2, 1),
	"cyberpower":           simple("3808", "3808.1.1.3.3.3.1.1.4", "", 1, 2),
	"teltronix":            simple("23620", "23620.1.2.2.1.4", "", 2, 1),
	"baytech_mrp27":        simple("", "4779.1.3.5.3.1.3.1", "", 1, 0),
	"eatonpower": { // status, with pending changes; orders are written as a delay of 0 s
		system: "534", state: object{base: "534.6.6.7.6.6.1.2"}, on: []int{1, 2}, off: []int{0, 3},
		toOff: order{object{base: "534.6.6.7.6.6.1.3"}, 0}, toOn: order{object{base: "534.6.6.7.6.6.1.4"}, 0},
	},
}

// modelOf returns the name of the model with the longest prefix of a sysObjectID.
func modelOf(sysObjectID string) (string, bool) {
	id, ok := strings.CutPrefix("."+strings.TrimPrefix(sysObjectID, "."), enterprises)
	best := ""
	for name, m := range models {
		if ok && m.system != "" && strings.HasPrefix(id+".", m.system+".") && (best == "" || len(m.system) > len(models[best].system)) {
			best = name
		}
	}
	return best, best != ""
}

// power tells what a value of the state object means; ok is false for none of both.
func (m model) power(value int) (on, ok bool) {
	on = slices.Contains(m.on, value)
	return on, on || slices.Contains(m.off, value)
}

package snmp

var ModelOf = modelOf

// ObjectsOf returns the objects of an outlet and the values that are written.
func ObjectsOf(name string, outlet int) (state, on, off string, onValue, offValue int) {
	m := models[name]
	return m.state.oid(outlet), m.toOn.oid(outlet), m.toOff.oid(outlet), m.toOn.value, m.toOff.value
}

// Models returns the names of the models.
func Models() []string {
	var names []string
	for n := range models {
		names = append(names, n)
	}
	return names
}

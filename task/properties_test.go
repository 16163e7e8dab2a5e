package task_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/task"
)

func ExampleNode_Decode() {
	type parameters struct {
		Kernel   string      `driver_info:"deploy_kernel,required" help:"URL of the deploy kernel"`
		Password task.Secret `driver_info:"bmc_password" help:"password of the BMC"`
		Format   string      `instance_info:"image_disk_format" default:"raw" choices:"raw,qcow2" help:"format of the image"`
	}
	n := &task.Node{
		Name:         "n1",
		DriverInfo:   task.Info{"bmc_password": "s3cret"},
		InstanceInfo: task.Info{"image_disk_format": "vmdk"},
	}
	var p parameters
	fmt.Println(n.Decode("acme.Validate", &p))
	fmt.Println(p.Password)
	// Output:
	// acme.Validate: node n1: driver_info.deploy_kernel: missing (set it to the URL of the deploy kernel)
	// acme.Validate: node n1: instance_info.image_disk_format: invalid: "vmdk" (set it to one of raw, qcow2)
	// ******
}

func ExamplePropertiesOf() {
	type parameters struct {
		Kernel   string      `driver_info:"deploy_kernel,required" help:"URL of the deploy kernel"`
		Password task.Secret `driver_info:"bmc_password" help:"password of the BMC"`
	}
	props := task.PropertiesOf[parameters]()
	for _, f := range props.Fields() {
		fmt.Println(f, props[f].Required, props[f].Secret, props[f].Description)
	}
	// Output:
	// driver_info.bmc_password false true password of the BMC
	// driver_info.deploy_kernel true false URL of the deploy kernel
}

type everything struct {
	Common
	Text   string      `driver_info:"text" help:"text"`
	Secret task.Secret `driver_info:"secret" help:"the password"`
	Flag   bool        `instance_info:"flag" help:"flag" default:"true"`
	Int    int         `properties:"int" help:"int" default:"5"`
	Long   int64       `extra:"long" help:"long"`
	Float  float64     `driver_internal_info:"float" help:"float"`
	List   []string    `driver_info:"list" help:"list"`
	Map    task.Info   `driver_info:"map" help:"map"`
	Any    any         `driver_info:"any" help:"any"`
	Kind   kind        `driver_info:"kind" help:"kind" choices:"a,b" default:"a"`
	Other  string      // not a parameter
}

// Common is embedded and exported, as reflection demands.
type Common struct {
	Address netip.Addr `driver_info:"address" help:"address of the BMC"`
}

type kind string

func TestDecodeEveryKind(t *testing.T) {
	full := everything{
		Common: Common{netip.MustParseAddr("192.0.2.1")},
		Text:   "x", Secret: " p ", Flag: false, Int: 7, Long: 1 << 60, Float: 1.5,
		List: []string{"a", "b"}, Map: task.Info{"k": json.Number("1.0")}, Any: "any", Kind: "b",
	}
	for name, n := range map[string]*task.Node{
		"typed": {
			DriverInfo: task.Info{
				"address": "192.0.2.1", "text": "x", "secret": " p ", "list": []any{"a", "b"},
				"map": map[string]any{"k": json.Number("1.0")}, "any": "any", "kind": "b",
			},
			InstanceInfo: task.Info{"flag": false}, Properties: task.Info{"int": 7},
			Extra: task.Info{"long": int64(1 << 60)}, DriverInternalInfo: task.Info{"float": 1.5},
		},
		"texts and other Go types": {
			DriverInfo: task.Info{
				"address": "192.0.2.1", "text": " x\n", "secret": " p ", "list": []string{"a", "b"},
				"map": task.Info{"k": json.Number("1.0")}, "any": "any", "kind": kind("b"),
			},
			InstanceInfo: task.Info{"flag": " No "}, Properties: task.Info{"int": "7"},
			Extra: task.Info{"long": "1152921504606846976"}, DriverInternalInfo: task.Info{"float": "1.5"},
		},
		"JSON numbers": {
			DriverInfo: task.Info{
				"address": "192.0.2.1", "text": "x", "secret": " p ", "list": []any{"a", "b"},
				"map": task.Info{"k": json.Number("1.0")}, "any": "any", "kind": "b",
			},
			InstanceInfo: task.Info{"flag": json.Number("0")}, Properties: task.Info{"int": json.Number("7.0")},
			Extra: task.Info{"long": json.Number("1152921504606846976")}, DriverInternalInfo: task.Info{"float": json.Number("15e-1")},
		},
	} {
		var got everything
		require.NoError(t, n.Decode("op", &got), name)
		require.Equal(t, full, got, name)
	}
}

func TestDecodeScalars(t *testing.T) {
	type parameters struct {
		Text string  `extra:"text" help:"text"`
		Flag bool    `extra:"flag" help:"flag"`
		Int  int     `extra:"int" help:"int"`
		Num  float64 `extra:"num" help:"num"`
	}
	for _, c := range []struct {
		field string
		raw   any
		want  any // nil for an error
	}{
		{"text", 5, "5"}, {"text", true, "true"}, {"text", uint16(7), "7"}, {"text", 1.5, "1.5"}, {"text", "  ", ""},
		{"text", []any{}, nil}, {"text", map[string]any{"a": 1}, nil},
		{"flag", "ON", true}, {"flag", 1, true}, {"flag", "n", false}, {"flag", "maybe", nil}, {"flag", 2, nil}, {"flag", []any{true}, nil},
		{"int", 10.0, 10}, {"int", "1e3", 1000}, {"int", int32(-4), -4}, {"int", "", 0},
		{"int", 1.5, nil}, {"int", "0x10", nil}, {"int", "1e30", nil}, {"int", "Inf", nil}, {"int", "99999999999999999999", nil}, {"int", true, nil},
		{"num", float32(0.5), 0.5}, {"num", 3, 3.0}, {"num", "NaN", nil}, {"num", "inf", nil}, {"num", math.Inf(1), nil}, {"num", "1.2.3", nil},
	} {
		var p parameters
		err := (&task.Node{Extra: task.Info{c.field: c.raw}}).Decode("op", &p)
		if c.want == nil {
			require.ErrorIs(t, err, task.ErrInvalidParameter, "%s %v", c.field, c.raw)
			require.Zero(t, p, "%s %v", c.field, c.raw)
			continue
		}
		require.NoError(t, err, "%s %v", c.field, c.raw)
		require.Equal(t, c.want, map[string]any{"text": p.Text, "flag": p.Flag, "int": p.Int, "num": p.Num}[c.field])
	}
}

func TestDecodeDefaults(t *testing.T) {
	for _, blank := range []any{nil, "", " \t"} {
		n := &task.Node{InstanceInfo: task.Info{"flag": blank}, Properties: task.Info{"int": blank}, DriverInfo: task.Info{"kind": blank, "any": blank, "address": blank}}
		var got everything
		require.NoError(t, n.Decode("op", &got))
		require.Equal(t, everything{Flag: true, Int: 5, Kind: "a"}, got)
	}
}

func TestDecodeCopies(t *testing.T) {
	n := &task.Node{DriverInfo: task.Info{"map": map[string]any{"k": "v"}, "any": []any{"x"}}}
	var got everything
	require.NoError(t, n.Decode("op", &got))
	got.Map["k"], got.Any.([]any)[0] = "changed", "changed"
	require.Equal(t, "v", n.DriverInfo["map"].(map[string]any)["k"])
	require.Equal(t, []any{"x"}, n.DriverInfo["any"])
}

func TestDecodeReportsEveryProblem(t *testing.T) {
	n := &task.Node{Name: "n1", DriverInfo: task.Info{
		"address": "300.1.1.1", "text": task.Info{"a": "v3ry"}, "secret": []any{"s3cret"}, "list": []any{"a", 1},
		"map": "no object", "kind": "c", "any": 1,
	}, InstanceInfo: task.Info{"flag": "s0metimes"}, Properties: task.Info{"int": "many"}}
	var got everything
	err := n.Decode("acme.Validate", &got)
	texts := map[string]string{}
	for _, p := range task.Problems(err) {
		var e *task.Error
		require.ErrorAs(t, p, &e)
		require.ErrorIs(t, e, task.ErrInvalidParameter)
		require.Equal(t, "acme.Validate", e.Op)
		require.Equal(t, "n1", e.Node)
		require.NotEmpty(t, e.Remedy)
		texts[e.Field] = e.Err.Error()
	}
	require.Contains(t, texts["driver_info.address"], "300.1.1.1")
	delete(texts, "driver_info.address")
	require.Equal(t, map[string]string{
		"driver_info.text":   "invalid: want a string, not an object",
		"driver_info.secret": "invalid: want a string",
		"driver_info.list":   "invalid: want a list of strings, not this list",
		"driver_info.map":    "invalid: want an object, not this text",
		"driver_info.kind":   `invalid: "c"`,
		"instance_info.flag": "invalid: want true or false, not this text",
		"properties.int":     "invalid: want a whole number, not this text",
	}, texts)
	require.NotContains(t, err.Error(), "s3cret")
	require.NotContains(t, err.Error(), "v3ry")
	require.Equal(t, 1, got.Any, "what is right is filled all the same")

	var flag struct {
		Num  float64    `extra:"num" help:"the number"`
		Addr netip.Addr `extra:"addr" help:"the address"`
	}
	err = (&task.Node{Extra: task.Info{"num": true, "addr": 5}}).Decode("op", &flag)
	require.ErrorContains(t, err, "want a number, not true or false (set it to the number)")
	require.ErrorContains(t, err, "want a string, not this number (set it to the address)")
}

func TestWrongTagsPanic(t *testing.T) {
	type noHelp struct {
		A string `driver_info:"a"`
	}
	type noName struct {
		A string `driver_info:",required" help:"a"`
	}
	type badFlag struct {
		A string `driver_info:"a,optional" help:"a"`
	}
	type unexported struct {
		a string `driver_info:"a" help:"a"`
	}
	type badType struct {
		A map[string]string `driver_info:"a" help:"a"`
	}
	type duration struct {
		A time.Duration `driver_info:"a" help:"a"`
	}
	type badDefault struct {
		A int `driver_info:"a" help:"a" default:"many"`
	}
	type badChoice struct {
		A string `driver_info:"a" help:"a" default:"c" choices:"a,b"`
	}
	n := new(task.Node)
	require.Panics(t, func() { task.PropertiesOf[noHelp]() })
	require.Panics(t, func() { task.PropertiesOf[noName]() })
	require.Panics(t, func() { task.PropertiesOf[badFlag]() })
	require.PanicsWithValue(t, "task: task_test.unexported.a: a tagged field is exported and of a type that Decode lists, not string",
		func() { task.PropertiesOf[unexported]() })
	require.Panics(t, func() { task.PropertiesOf[badType]() })
	require.Panics(t, func() { task.PropertiesOf[duration]() })
	require.Panics(t, func() { task.PropertiesOf[badDefault]() })
	require.Panics(t, func() { task.PropertiesOf[badChoice]() })
	require.Panics(t, func() { _ = n.Decode("op", new(noHelp)) })
	require.NotPanics(t, func() { task.PropertiesOf[everything]() })
	_ = unexported{a: ""}
}

func TestPropertiesOf(t *testing.T) {
	p := task.PropertiesOf[everything]()
	require.Len(t, p, 11)
	require.Equal(t, task.Property{Description: "kind", Default: "a", Choices: []string{"a", "b"}}, p["driver_info.kind"])
	require.Equal(t, task.Property{Description: "the password", Secret: true}, p["driver_info.secret"])
	require.Contains(t, p, "driver_info.address")
}

func TestMergeProperties(t *testing.T) {
	a := task.Properties{"driver_info.x": {Description: "first"}, "driver_info.y": {Description: "y"}}
	b := task.Properties{"driver_info.x": {Description: "second", Required: true, Secret: true}, "driver_info.z": {}}
	m := task.MergeProperties(a, b, nil)
	require.Equal(t, []string{"driver_info.x", "driver_info.y", "driver_info.z"}, m.Fields())
	require.Equal(t, task.Property{Description: "first", Required: true, Secret: true}, m["driver_info.x"])
	require.False(t, a["driver_info.x"].Required, "the sets stay as they are")
}

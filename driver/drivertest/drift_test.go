package drivertest_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSignatureDrift has drivers whose methods have the signature of another
// day. Such a driver is caught before its suite can run: the call of the suite
// does not compile, and the compiler names interface and method.
func TestSignatureDrift(t *testing.T) {
	const kit = "func Test(t *testing.T) { %[1]stest.Run%[3]s(t, %[1]stest.%[3]sHarness{New: func(*testing.T) %[1]s.%[2]s { return Driver{} }}) }\n"
	c := newCompiler(t)
	for _, role := range []struct{ pkg, contract, suite string }{
		{"boot", "BootInterface", ""},
		{"deploy", "DeployInterface", ""},
		{"driver", "PowerInterface", "Power"},
		{"driver", "ManagementInterface", "Management"},
		{"driver", "ConsoleInterface", "Console"},
		{"driver", "InspectInterface", "Inspect"},
		{"driver", "RAIDInterface", "RAID"},
		{"driver", "RescueInterface", "Rescue"},
		{"driver", "VendorInterface", "Vendor"},
	} {
		test := fmt.Sprintf(kit, role.pkg, role.contract, role.suite)
		methods := c.methods(t, role.pkg, role.contract)
		require.NoError(t, c.check(t, test, methods), role.contract)
		for i, m := range methods {
			methods[i].params, methods[i].results = m.drifted()
			require.ErrorContains(t, c.check(t, test, methods),
				fmt.Sprintf("Driver does not implement %s.%s (wrong type for method %s)", role.pkg, role.contract, m.name))
			methods[i].name = "Old" + m.name
			require.ErrorContains(t, c.check(t, test, methods),
				fmt.Sprintf("Driver does not implement %s.%s (missing method %s)", role.pkg, role.contract, m.name))
			methods[i] = m
		}
	}
}

// A signature is that of one of a contract's methods, as text.
type signature struct {
	name            string
	params, results []string
}

// drifted is what m was before it had a context, or when it answered names alone.
func (m signature) drifted() (params, results []string) {
	if len(m.params) > 0 && m.params[0] == "context.Context" {
		return m.params[1:], m.results
	}
	return m.params, []string{"[]string"}
}

// A compiler type-checks a driver's test.
type compiler struct {
	fset  *token.FileSet
	types types.Importer
}

const ferrule = "github.com/ferrule/ferrule/"

// imported are the packages that a driver and its test know.
var imported = []string{"context", "testing", ferrule + "task", ferrule + "boot", ferrule + "boot/boottest",
	ferrule + "deploy", ferrule + "deploy/deploytest", ferrule + "driver", ferrule + "driver/drivertest"}

func newCompiler(t *testing.T) *compiler {
	t.Helper()
	args := append([]string{"list", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}"}, imported...)
	out, err := exec.CommandContext(t.Context(), "go", args...).Output()
	require.NoError(t, err)
	exports := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "=")
		exports[path] = file
	}
	c := &compiler{fset: token.NewFileSet()}
	c.types = importer.ForCompiler(c.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	return c
}

func (c *compiler) methods(t *testing.T, pkg, contract string) []signature {
	t.Helper()
	p, err := c.types.Import(ferrule + pkg)
	require.NoError(t, err)
	text := func(tuple *types.Tuple) (list []string) {
		for v := range tuple.Variables() {
			list = append(list, types.TypeString(v.Type(), (*types.Package).Name))
		}
		return list
	}
	var all []signature
	for m := range p.Scope().Lookup(contract).Type().Underlying().(*types.Interface).Methods() {
		all = append(all, signature{m.Name(), text(m.Signature().Params()), text(m.Signature().Results())})
	}
	return all
}

// check returns what the compiler says of a driver with these methods and its test.
func (c *compiler) check(t *testing.T, test string, methods []signature) error {
	t.Helper()
	var source strings.Builder
	source.WriteString("package driver_test\n")
	for _, path := range imported {
		fmt.Fprintf(&source, "import %q\n", path)
	}
	source.WriteString("type Driver struct{}\n" + test)
	for _, m := range methods {
		fmt.Fprintf(&source, "func (Driver) %s(%s) (%s) { panic(0) }\n", m.name, strings.Join(m.params, ", "), strings.Join(m.results, ", "))
	}
	file, err := parser.ParseFile(c.fset, "driver_test.go", source.String(), 0)
	require.NoError(t, err, source.String())
	var errs []error
	conf := types.Config{Importer: c.types, Error: func(err error) {
		if e, ok := errors.AsType[types.Error](err); !ok || !strings.Contains(e.Msg, "imported and not used") {
			errs = append(errs, err)
		}
	}}
	_, _ = conf.Check("example.com/driver_test", c.fset, []*ast.File{file}, nil)
	return errors.Join(errs...)
}

package ferrule_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDocumented holds the promise that every package has a package comment and
// an example, and every exported name a comment that begins with it.
func TestDocumented(t *testing.T) {
	for _, dir := range packageFolders(t) {
		t.Run(dir, func(t *testing.T) {
			fset := token.NewFileSet()
			var files []*ast.File
			names, err := filepath.Glob(filepath.Join(dir, "*.go"))
			require.NoError(t, err)
			for _, name := range names {
				f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
				require.NoError(t, err)
				files = append(files, f)
			}
			p, err := doc.NewFromFiles(fset, files, module+"/"+dir)
			require.NoError(t, err)
			if p.Name == "main" {
				require.NotEmpty(t, p.Doc, "the program has no comment")
				return
			}
			require.True(t, strings.HasPrefix(p.Doc, "Package "+p.Name), "no package comment")
			if dir != "." {
				require.NotEmpty(t, examplesOf(p), "the package has no Example")
			}
			for _, name := range undocumented(p) {
				t.Errorf("%s: no comment that begins with its name", name)
			}
		})
	}
}

func packageFolders(t *testing.T) []string {
	t.Helper()
	folders := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != "."):
			return fs.SkipDir
		case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
			folders[filepath.Dir(path)] = true
		}
		return nil
	})
	require.NoError(t, err)
	require.NotEmpty(t, folders)
	var all []string
	for dir := range folders {
		all = append(all, dir)
	}
	return all
}

func examplesOf(p *doc.Package) []*doc.Example {
	all := p.Examples
	for _, f := range p.Funcs {
		all = append(all, f.Examples...)
	}
	for _, t := range p.Types {
		all = append(all, t.Examples...)
		for _, f := range append(t.Funcs, t.Methods...) {
			all = append(all, f.Examples...)
		}
	}
	return all
}

func undocumented(p *doc.Package) []string {
	var bad []string
	check := func(name, text string) {
		text = strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(text, "A "), "An "), "The ")
		if ast.IsExported(name) && !strings.HasPrefix(text, name) {
			bad = append(bad, name)
		}
	}
	values := func(vs []*doc.Value) {
		for _, v := range vs {
			for _, s := range v.Decl.Specs {
				spec := s.(*ast.ValueSpec)
				if v.Doc == "" && spec.Doc.Text() == "" && spec.Comment.Text() == "" {
					for _, n := range spec.Names {
						if n.IsExported() {
							bad = append(bad, n.Name)
						}
					}
				}
			}
		}
	}
	funcs := func(of string, fs []*doc.Func) {
		for _, f := range fs {
			if f.Doc == "" && of != "" && satisfiesInterface[f.Name] {
				continue
			}
			check(f.Name, f.Doc)
		}
	}
	values(p.Consts)
	values(p.Vars)
	funcs("", p.Funcs)
	for _, t := range p.Types {
		check(t.Name, t.Doc)
		values(t.Consts)
		values(t.Vars)
		funcs("", t.Funcs)
		funcs(t.Name, t.Methods)
	}
	return bad
}

// satisfiesInterface has methods whose contract is that of a well-known
// interface, so that a comment would only repeat it.
var satisfiesInterface = map[string]bool{"String": true, "Error": true, "Unwrap": true, "ServeHTTP": true}

// TestReadmeProgram keeps the README's program the one that is compiled and run.
func TestReadmeProgram(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	program, err := os.ReadFile("examples/minimal/main.go")
	require.NoError(t, err)
	_, body, _ := strings.Cut(string(program), "package main")
	require.Contains(t, string(readme), "package main"+body)
}

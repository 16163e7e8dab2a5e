package ferrule_test

import (
	"archive/zip"
	"bytes"
	"cmp"
	"flag"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

const guide = "examples/customdriver/README.md"

var update = flag.Bool("update", false, "keep what comes of the guide in examples/customdriver")

// TestGuide does what the guide for driver writers says, in an empty folder and
// as if this checkout were published: its commands run, its files are written,
// and what it promises to be printed is printed. What comes of it is the code in
// examples/customdriver.
func TestGuide(t *testing.T) {
	text, err := os.ReadFile(guide)
	require.NoError(t, err)
	_, text, _ = bytes.Cut(text, []byte("## From an empty folder to a passing suite\n"))
	w := &walk{T: t, dir: t.TempDir(), env: published(t)}
	blocks := regexp.MustCompile("(?ms)^```(sh|go|text)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, blocks)
	for i, b := range blocks {
		switch b[1] {
		case "sh":
			promised := ""
			if i+1 < len(blocks) && blocks[i+1][1] == "text" {
				promised = blocks[i+1][2]
			}
			w.run(b[2], promised)
		case "go":
			w.write(b[2])
		}
	}
	require.NotEmpty(t, w.written)
	for _, name := range slices.Compact(w.written) {
		got, err := os.ReadFile(filepath.Join(w.dir, name))
		require.NoError(t, err)
		path := filepath.Join(filepath.Dir(guide), name)
		if *update {
			require.NoError(t, os.WriteFile(path, got, 0o644))
		}
		kept, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Empty(t, gocmp.Diff(string(kept), string(got)), "%s: what is kept (-) and what comes of the guide (+)", name)
	}
}

// TestCustomDriversAreShort holds the promise that a driver's test is 30 lines or less.
func TestCustomDriversAreShort(t *testing.T) {
	tests, err := filepath.Glob(filepath.Join(filepath.Dir(guide), "*", "*_test.go"))
	require.NoError(t, err)
	require.NotEmpty(t, tests)
	for _, name := range tests {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		require.LessOrEqual(t, bytes.Count(text, []byte("\n")), 30, name)
	}
}

// published is the environment of a newcomer for whom this checkout is the
// newest version of the module. All else comes from the module cache.
func published(t *testing.T) []string {
	t.Helper()
	const version = "v0.0.1"
	proxy := filepath.Join(t.TempDir(), "proxy")
	at := filepath.Join(proxy, module, "@v")
	require.NoError(t, os.MkdirAll(at, 0o755))
	mod, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	for name, content := range map[string][]byte{"list": []byte(version + "\n"), version + ".info": []byte(`{"Version":"` + version + `"}`), version + ".mod": mod} {
		require.NoError(t, os.WriteFile(filepath.Join(at, name), content, 0o644))
	}
	zipped(t, filepath.Join(at, version+".zip"), module+"@"+version)
	// What go mod tidy looks at has to be in the module cache.
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-test", "./task/...", "./boot", "./boot/boottest", "./deploy", "./deploy/deploytest", "./driver", "./driver/drivertest").CombinedOutput()
	require.NoError(t, err, "%s", out)
	cache, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE").Output()
	require.NoError(t, err)
	return append(os.Environ(),
		"GOPROXY=file://"+proxy+",file://"+filepath.Join(strings.TrimSpace(string(cache)), "cache", "download"),
		"GOMODCACHE="+filepath.Join(t.TempDir(), "mod"), "GOFLAGS=-modcacherw", "GOSUMDB=off", "GOWORK=off", "GOPRIVATE=", "GONOPROXY=")
}

// zipped writes this module as a proxy serves it: without the modules below it.
func zipped(t *testing.T, name, prefix string) {
	t.Helper()
	f, err := os.Create(name)
	require.NoError(t, err)
	defer f.Close()
	z := zip.NewWriter(f)
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		if d.IsDir() {
			_, statErr := os.Stat(filepath.Join(path, "go.mod"))
			if statErr == nil || strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || filepath.Ext(path) != ".go" && filepath.Dir(path) != "." {
			return nil // no program of the guide embeds anything
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		w, err := z.Create(prefix + "/" + filepath.ToSlash(path))
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	})
	require.NoError(t, err)
	require.NoError(t, z.Close())
}

// A walk is a newcomer's way through the guide.
type walk struct {
	*testing.T
	dir     string // where the newcomer is
	env     []string
	written []string // files, below dir
}

// run runs commands as they are typed. The last one prints what is promised, and
// fails where that is a failure.
func (w *walk) run(commands, promised string) {
	w.Helper()
	lines := strings.Split(strings.TrimSpace(commands), "\n")
	for i, line := range lines {
		if dir, ok := strings.CutPrefix(line, "cd "); ok {
			w.dir = filepath.Join(w.dir, dir)
			continue
		}
		cmd := exec.CommandContext(w.Context(), "sh", "-c", line)
		cmd.Dir, cmd.Env = w.dir, w.env
		out, err := cmd.CombinedOutput()
		if i < len(lines)-1 || promised == "" {
			require.NoError(w, err, "%s\n%s", line, out)
			continue
		}
		require.Equal(w, strings.Contains(promised, "FAIL"), err != nil, "%s\n%s", line, out)
		rest := plain(string(out))
		for want := range strings.Lines(plain(promised)) {
			_, after, ok := strings.Cut(rest, want)
			require.True(w, ok, "%s prints no line %q after those before:\n%s", line, want, out)
			rest = after
		}
	}
}

// plain is what go test prints, without times and places.
func plain(s string) string {
	for _, hide := range []string{`\([0-9.]+s\)`, `\t[0-9.]+s\n`, `\(cached\)\n`, `rule\.go:\d+: `} {
		s = regexp.MustCompile(hide).ReplaceAllString(s, "\n")
	}
	return regexp.MustCompile(`[\t ]*\n+`).ReplaceAllString(s, "\n")
}

// write writes the file that code is, or changes the one that it is about. Its
// first line is a comment that says which.
func (w *walk) write(code string) {
	w.Helper()
	first, code, _ := strings.Cut(code, "\n")
	name, change := strings.CutPrefix(first, "// in ")
	name, _, _ = strings.Cut(strings.TrimPrefix(name, "// "), ",")
	require.Regexp(w, `^[\w/]+\.go$`, name)
	path := filepath.Join(w.dir, name)
	code = strings.TrimLeft(code, "\n")
	if change {
		old, err := os.ReadFile(path)
		require.NoError(w, err)
		code = merged(w.T, string(old), code)
	}
	require.NoError(w, os.WriteFile(path, []byte(code), 0o644))
	w.written = append(w.written, name)
}

// A declared is a declaration of a file with the comment before it.
type declared struct{ name, text string }

// merged puts the declarations of change into file, in place of those by the
// same name or behind all others, and its imports among those that are there.
func merged(t *testing.T, file, change string) string {
	t.Helper()
	clause := regexp.MustCompile(`(?m)^package \w+$`)
	end := clause.FindStringIndex(file)[1]
	imports, decls := declarations(t, file)
	moreImports, more := declarations(t, file[clause.FindStringIndex(file)[0]:end]+"\n\n"+change)
	for _, d := range more {
		if i := slices.IndexFunc(decls, func(old declared) bool { return old.name == d.name }); i >= 0 {
			decls[i] = d
			continue
		}
		decls = append(decls, d)
	}
	imports = append(imports, moreImports...)
	slices.SortFunc(imports, func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.Count(a, "."), strings.Count(b, ".")), cmp.Compare(a, b))
	})
	var b strings.Builder
	b.WriteString(file[:end] + "\n\nimport (\n")
	for i, path := range imports {
		if i > 0 && strings.Contains(path, ".") && !strings.Contains(imports[i-1], ".") {
			b.WriteString("\n")
		}
		b.WriteString("\t" + path + "\n")
	}
	b.WriteString(")\n")
	for _, d := range decls {
		b.WriteString("\n" + d.text + "\n")
	}
	source, err := format.Source([]byte(b.String()))
	require.NoError(t, err, b.String())
	return string(source)
}

func declarations(t *testing.T, file string) (imports []string, decls []declared) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "guide.go", file, parser.ParseComments)
	require.NoError(t, err, file)
	for _, i := range f.Imports {
		imports = append(imports, i.Path.Value)
	}
	text := func(doc *ast.CommentGroup, n ast.Node) string {
		start := n.Pos()
		if doc != nil {
			start = doc.Pos()
		}
		return file[fset.Position(start).Offset:fset.Position(n.End()).Offset]
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			decls = append(decls, declared{"func " + d.Name.Name, text(d.Doc, d)})
		case *ast.GenDecl:
			if d.Tok == token.IMPORT {
				continue
			}
			name := d.Tok.String()
			if s, ok := d.Specs[0].(*ast.TypeSpec); ok {
				name += " " + s.Name.Name
			}
			decls = append(decls, declared{name, text(d.Doc, d)})
		}
	}
	return imports, decls
}

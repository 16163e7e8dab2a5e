package artifact_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/task"
)

// children are what the test binary does as a process of its own, by the value
// of FERRULE_ARTIFACT_CHILD.
var children = map[string]func(args []string) error{}

func TestMain(m *testing.M) {
	if child := children[os.Getenv("FERRULE_ARTIFACT_CHILD")]; child != nil {
		if err := child(os.Args[1:]); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func TestBadArtifacts(t *testing.T) {
	t.Parallel()
	data := []byte("x")
	for name, c := range map[string]struct {
		a    artifact.Artifact
		says string
	}{
		"no name":              {artifact.Artifact{Data: data}, "no clean path"},
		"the root":             {artifact.Artifact{Name: ".", Data: data}, "no clean path"},
		"parent":               {artifact.Artifact{Name: "../x", Data: data}, "no clean path"},
		"parent inside":        {artifact.Artifact{Name: "a/../b", Data: data}, "no clean path"},
		"absolute":             {artifact.Artifact{Name: "/a", Data: data}, "no clean path"},
		"double slash":         {artifact.Artifact{Name: "a//b", Data: data}, "no clean path"},
		"trailing slash":       {artifact.Artifact{Name: "a/", Data: data}, "no clean path"},
		"backslash":            {artifact.Artifact{Name: `a\b`, Data: data}, "no clean path"},
		"newline":              {artifact.Artifact{Name: "a\nb", Data: data}, "no clean path"},
		"not UTF-8":            {artifact.Artifact{Name: "a\xff", Data: data}, "no clean path"},
		"no content":           {artifact.Artifact{Name: "a"}, "neither data nor file nor link"},
		"both":                 {artifact.Artifact{Name: "a", Data: data, File: "/f"}, "more than one"},
		"relative file":        {artifact.Artifact{Name: "a", File: "f"}, "not absolute"},
		"file above its dir":   {artifact.Artifact{Name: "a", Dir: "/d", File: "../f"}, "not below"},
		"absolute file in dir": {artifact.Artifact{Name: "a", Dir: "/d", File: "/f"}, "not below"},
	} {
		t.Run(name, func(t *testing.T) {
			var tree artifact.Tree
			err := tree.Publish(t.Context(), "n1", artifact.Artifact{Name: "good", Data: data}, c.a)
			require.ErrorIs(t, err, task.ErrInvalidParameter)
			require.ErrorContains(t, err, c.says)
			require.Empty(t, tree.Names("n1"), "nothing is published beside a bad one")
		})
	}
}

func TestBadPublications(t *testing.T) {
	t.Parallel()
	a := artifact.Artifact{Name: "a", Data: []byte{}}
	var tree artifact.Tree
	require.ErrorIs(t, tree.Publish(t.Context(), "", a), task.ErrInvalidParameter)
	require.ErrorContains(t, tree.Publish(t.Context(), "n1", a, a), "named twice")
	require.NoError(t, tree.Publish(t.Context(), "n1", a))

	b := artifact.Artifact{Name: "b", Data: []byte{}}
	for _, put := range []func(context.Context, string, ...artifact.Artifact) error{tree.Publish, tree.Replace} {
		err := put(t.Context(), "n2", b, a)
		require.ErrorIs(t, err, task.ErrExists)
		require.ErrorContains(t, err, "n1")
		require.Empty(t, tree.Names("n2"))
	}
}

func TestOwners(t *testing.T) {
	t.Parallel()
	of := func(names ...string) (all []artifact.Artifact) {
		for _, n := range names {
			all = append(all, artifact.Artifact{Name: n, Data: []byte(n)})
		}
		return all
	}
	var tree artifact.Tree
	_ = tree.Withdraw(t.Context(), "n1")
	require.Empty(t, tree.Names("n1"))
	require.NoError(t, tree.Publish(t.Context(), "n1", of("c", "a")...))
	require.NoError(t, tree.Publish(t.Context(), "n1", of("b", "a")...))
	require.NoError(t, tree.Publish(t.Context(), "n2", of("d")...))
	require.Equal(t, []string{"a", "b", "c"}, tree.Names("n1"))

	_ = tree.Withdraw(t.Context(), "n1", "c", "d", "unknown")
	require.Equal(t, []string{"a", "b"}, tree.Names("n1"))
	require.Equal(t, []string{"d"}, tree.Names("n2"))

	require.NoError(t, tree.Replace(t.Context(), "n1", of("b", "e")...))
	require.Equal(t, []string{"b", "e"}, tree.Names("n1"))
	require.NoError(t, tree.Publish(t.Context(), "n2", of("a")...), "a name given up is free")

	_ = tree.Withdraw(t.Context(), "n1")
	require.Empty(t, tree.Names("n1"))
	require.NoError(t, tree.Replace(t.Context(), "n2"))
	require.Empty(t, tree.Names("n2"))
}

func TestCheckFile(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(outside, nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kernel"), nil, 0o600))
	require.NoError(t, os.Symlink("kernel", filepath.Join(dir, "current")))
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "escape")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))

	check := func(dir, file string) error { return (&artifact.Artifact{Name: "x", Dir: dir, File: file}).CheckFile() }
	require.NoError(t, check(dir, "kernel"))
	require.NoError(t, check(dir, "current"))
	require.NoError(t, check("", outside))
	require.NoError(t, (&artifact.Artifact{Name: "x", Data: []byte{}}).CheckFile())
	require.ErrorIs(t, check(dir, "none"), os.ErrNotExist)
	require.ErrorIs(t, check(filepath.Join(dir, "none"), "x"), os.ErrNotExist)
	require.ErrorContains(t, check(dir, "escape"), "escapes")
	require.ErrorContains(t, check(dir, "pipe"), "no regular file")
	require.ErrorContains(t, check("", dir), "no regular file")
	require.False(t, errors.Is(check(dir, "escape"), os.ErrNotExist))
}

func TestUnguessable(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		name := artifact.Unguessable()
		require.GreaterOrEqual(t, len(name), 26)
		require.Empty(t, strings.Trim(name, "abcdefghijklmnopqrstuvwxyz234567"))
		require.False(t, seen[name])
		seen[name] = true
	}
}

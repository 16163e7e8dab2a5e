//go:build unix

package artifact_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/task"
)

func folder(t testing.TB) (*artifact.Folder, string) {
	t.Helper()
	dir := t.TempDir()
	f, err := artifact.NewFolder(dir)
	require.NoError(t, err)
	return f, dir
}

// served returns what a server confined to dir serves, by name.
func served(t testing.TB, dir string) map[string]string {
	t.Helper()
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	content := map[string]string{}
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if name == ".ferrule" {
			return fs.SkipDir
		}
		if err != nil || d.IsDir() {
			return err
		}
		if data, err := fs.ReadFile(root.FS(), name); err == nil {
			content[name] = string(data)
		}
		return nil
	})
	require.NoError(t, err)
	return content
}

// empty checks that nothing is left below dir.
func empty(t testing.TB, dir string) {
	t.Helper()
	var left []string
	require.NoError(t, filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if name, _ = filepath.Rel(dir, name); name != "." && name != ".ferrule" {
			left = append(left, name)
		}
		return err
	}))
	require.Empty(t, left)
}

func data(name, content string) artifact.Artifact {
	return artifact.Artifact{Name: name, Data: []byte(content)}
}

func link(name, to string) artifact.Artifact { return artifact.Artifact{Name: name, Link: to} }

func TestFolderLayout(t *testing.T) {
	t.Parallel()
	f, dir := folder(t)
	kernel, _ := file(t, 100)
	require.NoError(t, os.Chmod(kernel, 0o644))
	require.NoError(t, f.Replace(t.Context(), "u1",
		data("u1/config", "default deploy\n"),
		artifact.Artifact{Name: "u1/deploy_kernel", File: kernel},
		link("pxelinux.cfg/01-52-54-00-aa-bb-cc", "u1/config"),
		link("52:54:00:aa:bb:cc.conf", "u1/config")))
	require.NoError(t, f.Publish(t.Context(), "u1/image", data("images/u1/x", "image")))

	got := served(t, dir)
	require.Equal(t, "default deploy\n", got["pxelinux.cfg/01-52-54-00-aa-bb-cc"])
	require.Equal(t, "default deploy\n", got["52:54:00:aa:bb:cc.conf"])
	require.Len(t, got["u1/deploy_kernel"], 100)
	require.Len(t, got, 5)

	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	r, err := http.Get(server.URL + "/pxelinux.cfg/01-52-54-00-aa-bb-cc")
	require.NoError(t, err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.Equal(t, "default deploy\n", string(body))

	require.NoError(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		if d.Type() == fs.ModeSymlink {
			target, err := os.Readlink(name)
			require.NoError(t, err)
			require.False(t, filepath.IsAbs(target), target)
			return nil
		}
		info, err := d.Info()
		require.NoError(t, err)
		if want := fs.FileMode(0o444); name != dir && info.Mode()&want != want {
			t.Errorf("%s has mode %s", name, info.Mode())
		}
		return nil
	}))
	require.NoError(t, f.Withdraw(t.Context(), "u1/image"))
	require.Len(t, served(t, dir), 4)
	require.NoError(t, f.Withdraw(t.Context(), "u1"))
	empty(t, dir)
}

// TestPublishers holds tree and folder to the same promises.
func TestPublishers(t *testing.T) {
	t.Parallel()
	type publisher struct {
		artifact.Publisher
		names func(owner string) []string
	}
	for kind, open := range map[string]func(t *testing.T) publisher{
		"tree": func(*testing.T) publisher {
			tree := new(artifact.Tree)
			return publisher{tree, tree.Names}
		},
		"folder": func(t *testing.T) publisher {
			f, dir := folder(t)
			t.Cleanup(func() { empty(t, dir) })
			return publisher{f, func(owner string) []string {
				names, err := f.Names(owner)
				require.NoError(t, err)
				return names
			}}
		},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ctx, p := t.Context(), open(t)
			require.NoError(t, p.Withdraw(ctx, "n1"), "nothing was published")
			require.NoError(t, p.Publish(ctx, "n1", data("c", "c"), data("d/a", "a"), link("d/l", "c")))
			require.NoError(t, p.Publish(ctx, "n1", data("b", "b"), data("d/a", "new"), link("m", "b"), link("n", "c")))
			require.NoError(t, p.Publish(ctx, "n2", data("d/d", "d")))
			require.Equal(t, []string{"b", "c", "d/a", "d/l", "m", "n"}, p.names("n1"))

			require.NoError(t, p.Withdraw(ctx, "n1", "m", "d/d", "unknown"))
			require.Equal(t, []string{"b", "c", "d/a", "d/l", "n"}, p.names("n1"))
			require.Equal(t, []string{"d/d"}, p.names("n2"))

			require.NoError(t, p.Replace(ctx, "n1", data("b", "b"), link("d/a", "b")))
			require.Equal(t, []string{"b", "d/a"}, p.names("n1"))
			for _, put := range []func(context.Context, string, ...artifact.Artifact) error{p.Publish, p.Replace} {
				err := put(ctx, "n2", data("e", "e"), data("d/a", "mine"))
				require.ErrorIs(t, err, task.ErrExists)
				require.ErrorContains(t, err, "n1")
				require.Equal(t, []string{"d/d"}, p.names("n2"), "nothing is published beside a bad one")
			}
			require.NoError(t, p.Publish(ctx, "n2", data("c", "given up")))

			for what, bad := range map[string][]artifact.Artifact{
				"link to nothing":       {link("x", "none")},
				"link to another's":     {link("x", "d/d")},
				"link to a link":        {link("x", "d/a")},
				"link to what goes":     {data("d/a", "x"), link("y", "x"), data("z", "z"), link("x", "y")},
				"twice":                 {data("x", "1"), data("x", "2")},
				"a path that leaves":    {data("../x", "1")},
				"an empty name":         {data("", "1")},
				"nothing":               {{Name: "x"}},
				"more than one content": {{Name: "x", Data: []byte{}, Link: "b"}},
			} {
				err := p.Publish(ctx, "n1", bad...)
				require.ErrorIs(t, err, task.ErrInvalidParameter, what)
				require.Equal(t, []string{"b", "d/a"}, p.names("n1"), what)
			}
			for _, owner := range []string{"", "/x", "n/x/y"} {
				require.ErrorIs(t, p.Publish(ctx, owner, data("x", "")), task.ErrInvalidParameter, owner)
			}
			gone, cancel := context.WithCancel(ctx)
			cancel()
			require.ErrorIs(t, p.Replace(gone, "n1", data("x", "x")), context.Canceled)
			require.Equal(t, []string{"b", "d/a"}, p.names("n1"))

			require.NoError(t, p.Withdraw(ctx, "n1"))
			require.NoError(t, p.Replace(ctx, "n2"))
			require.Empty(t, p.names("n1"))
			require.Empty(t, p.names("n2"))
		})
	}
}

func TestFolderLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	f, dir := folder(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "pxelinux.cfg"), 0o755))
	for _, name := range []string{"pxelinux.cfg/default", "pxelinux.0"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("theirs"), 0o644))
		require.ErrorIs(t, f.Publish(t.Context(), "n1", data(name, "ours")), task.ErrExists, name)
	}
	require.NoError(t, os.Symlink("pxelinux.0", filepath.Join(dir, "l")))
	require.ErrorIs(t, f.Publish(t.Context(), "n1", data("l", "ours")), task.ErrExists)
	require.ErrorIs(t, f.Publish(t.Context(), "n1", data(".ferrule/n2/now", "ours")), task.ErrInvalidParameter)

	require.NoError(t, f.Publish(t.Context(), "n1", data("pxelinux.cfg/n1", "ours")))
	require.NoError(t, f.Withdraw(t.Context(), "n1"))
	require.Equal(t, map[string]string{"pxelinux.cfg/default": "theirs", "pxelinux.0": "theirs", "l": "theirs"}, served(t, dir))

	_, err := artifact.NewFolder("relative")
	require.ErrorIs(t, err, task.ErrInvalidParameter)
	_, err = artifact.NewFolder(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestFolderContent(t *testing.T) {
	t.Parallel()
	f, dir := folder(t)
	image, content := file(t, 1<<20)
	inode := func(name string) uint64 {
		info, err := os.Stat(name)
		require.NoError(t, err)
		return info.Sys().(*syscall.Stat_t).Ino
	}
	for i, c := range []struct {
		mode   fs.FileMode
		linked bool
	}{{0o644, true}, {0o600, false}} {
		require.NoError(t, os.Chmod(image, c.mode))
		name := fmt.Sprintf("k%d", i)
		require.NoError(t, f.Publish(t.Context(), "n1", artifact.Artifact{Name: name, Dir: filepath.Dir(image), File: filepath.Base(image)}))
		require.Equal(t, string(content), served(t, dir)[name])
		require.Equal(t, c.linked, inode(filepath.Join(dir, name)) == inode(image), "a file is linked if all may read it")
	}
	require.ErrorIs(t, f.Publish(t.Context(), "n1", artifact.Artifact{Name: "x", File: image + ".gone"}), fs.ErrNotExist)
	names, err := f.Names("n1")
	require.NoError(t, err)
	require.Equal(t, []string{"k0", "k1"}, names)

	require.NoError(t, os.Chmod(image, 0o644))
	for i := range 100 {
		owner := fmt.Sprintf("node%d", i)
		require.NoError(t, f.Replace(t.Context(), owner, artifact.Artifact{Name: owner + "/kernel", File: image}))
	}
	info, err := os.Stat(image)
	require.NoError(t, err)
	require.Equal(t, uint64(102), uint64(info.Sys().(*syscall.Stat_t).Nlink), "one kernel for all nodes")
}

func TestFolderCopies(t *testing.T) {
	t.Parallel()
	f, dir := folder(t)
	image, content := file(t, 1<<20)
	require.NoError(t, os.Chmod(image, 0o600))
	publish := func(owner string) uint64 {
		require.NoError(t, f.Replace(t.Context(), owner, artifact.Artifact{Name: owner + "/kernel", File: image}))
		require.Equal(t, string(content), served(t, dir)[owner+"/kernel"])
		info, err := os.Stat(filepath.Join(dir, owner, "kernel"))
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o644), info.Mode())
		return info.Sys().(*syscall.Stat_t).Ino
	}
	first := publish("n0")
	var owners sync.WaitGroup
	for i := range 20 {
		owners.Go(func() {
			if inode := publish(fmt.Sprint("n", i)); inode != first {
				t.Errorf("owner %d has a copy of its own", i)
			}
		})
	}
	owners.Wait()
	content[0]++
	require.NoError(t, os.WriteFile(image, content, 0o600))
	require.NoError(t, os.Chtimes(image, time.Time{}, time.Unix(1, 0)))
	require.NotEqual(t, first, publish("n0"), "the file has changed")
	for i := range 20 {
		require.NoError(t, f.Withdraw(t.Context(), fmt.Sprint("n", i)))
	}
	left, err := os.ReadDir(filepath.Join(dir, ".ferrule", ".copies"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestFolderConcurrency has goroutines, as processes would, work on one owner and
// in one folder.
func TestFolderConcurrency(t *testing.T) {
	t.Parallel()
	_, dir := folder(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			f, err := artifact.NewFolder(dir)
			if err != nil {
				t.Error(err)
				return
			}
			for j := range 20 {
				own, shared := fmt.Sprintf("n%d", i), fmt.Sprint(i, j)
				err := task.Join(
					f.Replace(t.Context(), own, data("cfg/"+own, own), link("l/"+own, "cfg/"+own)),
					f.Replace(t.Context(), "both", data("both/a", shared), data("both/b", shared)),
					f.Withdraw(t.Context(), own))
				if j%3 == 0 {
					err = task.Join(err, f.Withdraw(t.Context(), "both"))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := served(t, dir)
	require.Equal(t, got["both/a"], got["both/b"])
	f, err := artifact.NewFolder(dir)
	require.NoError(t, err)
	require.NoError(t, f.Withdraw(t.Context(), "both"))
	empty(t, dir)
}

// crashes are changes of an owner that has crashBefore, and what it has after.
var (
	crashBefore = map[string]string{"n1/config": "old", "pxelinux.cfg/01-aa": "old", "n1/kernel": "kernel"}
	crashes     = map[string]struct {
		change func(ctx context.Context, f *artifact.Folder) error
		after  map[string]string
	}{
		"replace": {func(ctx context.Context, f *artifact.Folder) error {
			return f.Replace(ctx, "n1", data("n1/config", "new"), link("pxelinux.cfg/01-bb", "n1/config"))
		}, map[string]string{"n1/config": "new", "pxelinux.cfg/01-bb": "new"}},
		"publish": {func(ctx context.Context, f *artifact.Folder) error {
			return f.Publish(ctx, "n1", data("n1/config", "new"), data("x/y", "new"))
		}, map[string]string{"n1/config": "new", "pxelinux.cfg/01-aa": "new", "n1/kernel": "kernel", "x/y": "new"}},
		"withdraw one": {func(ctx context.Context, f *artifact.Folder) error {
			return f.Withdraw(ctx, "n1", "n1/kernel")
		}, map[string]string{"n1/config": "old", "pxelinux.cfg/01-aa": "old"}},
		"withdraw all": {func(ctx context.Context, f *artifact.Folder) error { return f.Withdraw(ctx, "n1") }, map[string]string{}},
		"first": {func(ctx context.Context, f *artifact.Folder) error {
			return f.Replace(ctx, "n2", data("n2/config", "new"), link("pxelinux.cfg/01-cc", "n2/config"))
		}, map[string]string{"n1/config": "old", "pxelinux.cfg/01-aa": "old", "n1/kernel": "kernel", "n2/config": "new", "pxelinux.cfg/01-cc": "new"}},
		"take over": {func(ctx context.Context, f *artifact.Folder) error {
			return f.Publish(ctx, "n1", link(orphan, "n1/config"))
		}, map[string]string{"n1/config": "old", "pxelinux.cfg/01-aa": "old", "n1/kernel": "kernel", orphan: "old"}},
	}
)

// orphan is a name that an owner left whose shelf is gone.
const orphan = "pxelinux.cfg/01-dd"

// TestFolderCrash kills a process at each step of each change. What machines are
// served then is the old state or the new one, and the next call finds its way.
func TestFolderCrash(t *testing.T) {
	if dir := os.Getenv("ARTIFACT_CRASH_DIR"); dir != "" {
		crashHere(dir, os.Getenv("ARTIFACT_CRASH_CHANGE"), os.Getenv("ARTIFACT_CRASH_STEP"))
		return
	}
	t.Parallel()
	for what, c := range crashes {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			for step := 1; ; step++ {
				f, dir := folder(t)
				require.NoError(t, f.Replace(t.Context(), "n1", data("n1/config", "old"), link("pxelinux.cfg/01-aa", "n1/config"), data("n1/kernel", "kernel")))
				if what == "take over" {
					require.NoError(t, os.Symlink("../.ferrule/gone/now/x", filepath.Join(dir, orphan)))
				}
				killed := crashChild(t, dir, what, step)
				got := served(t, dir)
				isNew, isOld := fmt.Sprint(got) == fmt.Sprint(c.after), fmt.Sprint(got) == fmt.Sprint(crashBefore)
				if what == "withdraw all" { // nothing asks for it while it goes
					for name, content := range got {
						require.Equal(t, crashBefore[name], content)
					}
				} else {
					require.True(t, isNew || isOld, "killed before step %d: %v", step, got)
				}
				if !killed {
					require.True(t, isNew, "%v", got)
				}
				again := crashes[what].change(t.Context(), f)
				require.NoError(t, again)
				require.Equal(t, c.after, served(t, dir), "after step %d and the same call again", step)
				require.NoError(t, f.Withdraw(t.Context(), "n1"))
				require.NoError(t, f.Withdraw(t.Context(), "n2"))
				empty(t, dir)
				if !killed {
					require.Greater(t, step, 1)
					return
				}
			}
		})
	}
}

// TestFolderLeavesOthers has a file and another owner's link where a crash had
// taken a folder of n1 away: they are not its to remove.
func TestFolderLeavesOthers(t *testing.T) {
	t.Parallel()
	for _, site := range []bool{true, false} {
		f, dir := folder(t)
		require.NoError(t, f.Replace(t.Context(), "n1", data("a/b", "old")))
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "a")))
		if site {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "a"), []byte("new"), 0o644))
		} else {
			require.NoError(t, f.Replace(t.Context(), "n2", data("a", "new")))
		}
		require.NoError(t, f.Withdraw(t.Context(), "n1"))
		require.Equal(t, map[string]string{"a": "new"}, served(t, dir))
	}
}

func crashChild(t *testing.T, dir, change string, step int) (killed bool) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestFolderCrash$")
	cmd.Env = append(os.Environ(), "ARTIFACT_CRASH_DIR="+dir, "ARTIFACT_CRASH_CHANGE="+change, fmt.Sprintf("ARTIFACT_CRASH_STEP=%d", step))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	require.True(t, ok && status.Signal() == syscall.SIGKILL, "%v\n%s", err, out)
	return true
}

func crashHere(dir, change, step string) {
	f, err := artifact.NewFolder(dir)
	if err != nil {
		panic(err)
	}
	n := 0
	f.OnStep(func(string) {
		if n++; fmt.Sprint(n) == step {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	if err := crashes[change].change(context.Background(), f); err != nil {
		panic(err)
	}
}

// TestFolderUmask runs in a process of its own, for the umask is a process's.
func TestFolderUmask(t *testing.T) {
	if dir := os.Getenv("ARTIFACT_UMASK_DIR"); dir != "" {
		syscall.Umask(0o077)
		f, err := artifact.NewFolder(dir)
		require.NoError(t, err)
		require.NoError(t, f.Publish(t.Context(), "n1", data("a/b/c", "x")))
		return
	}
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFolderUmask$")
	cmd.Env = append(os.Environ(), "ARTIFACT_UMASK_DIR="+dir)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	real, err := filepath.EvalSymlinks(filepath.Join(dir, "a", "b", "c"))
	require.NoError(t, err)
	for name := real; name != dir; name = filepath.Dir(name) {
		info, err := os.Stat(name)
		require.NoError(t, err)
		want := fs.FileMode(0o444)
		if info.IsDir() {
			want = 0o555
		}
		require.Equal(t, want, info.Mode().Perm()&want, "%s has mode %s", name, info.Mode())
	}
	for _, name := range []string{"a", "a/b"} {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o755), info.Mode().Perm())
	}
}

func ExampleFolder() {
	dir, err := os.MkdirTemp("", "tftpboot-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	f, err := artifact.NewFolder(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	err = f.Replace(ctx, "08b37b07",
		artifact.Artifact{Name: "08b37b07/config", Data: []byte("default deploy\n")},
		artifact.Artifact{Name: "pxelinux.cfg/01-52-54-00-aa-bb-cc", Link: "08b37b07/config"})
	fmt.Println(err)
	config, err := os.Open(filepath.Join(dir, "pxelinux.cfg", "01-52-54-00-aa-bb-cc"))
	if err == nil {
		line, _ := bufio.NewReader(config).ReadString('\n')
		fmt.Println(strings.TrimSpace(line))
		config.Close()
	}
	fmt.Println(f.Withdraw(ctx, "08b37b07"))
	entries, _ := os.ReadDir(dir)
	fmt.Println(slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() != ".ferrule" }))
	// Output:
	// <nil>
	// default deploy
	// <nil>
	// false
}

// A holder counts how often it is closed.
type holder struct{ closed int }

func (h *holder) Close() error { h.closed++; return nil }

func TestHolders(t *testing.T) {
	t.Parallel()
	image, _ := file(t, 10)
	f, _ := folder(t)
	tree := new(artifact.Tree)
	for kind, p := range map[string]artifact.Publisher{"tree": tree, "folder": f} {
		kept := 0
		if kind == "folder" {
			kept = 1 // it has a link by then
		}
		ctx, a, b := t.Context(), new(holder), new(holder)
		require.NoError(t, p.Publish(ctx, "n1", artifact.Artifact{Name: "k", File: image, Holder: a}))
		require.Equal(t, kept, a.closed, kind)
		require.Error(t, p.Publish(ctx, "n2", artifact.Artifact{Name: "k", File: image, Holder: b}))
		require.Equal(t, 1, b.closed, kind)
		require.Error(t, p.Publish(ctx, "n1", artifact.Artifact{Name: "../k", File: image, Holder: b}))
		require.Equal(t, 2, b.closed, kind)
		require.NoError(t, p.Publish(ctx, "n1", artifact.Artifact{Name: "k", File: image, Holder: b}))
		require.Equal(t, 1, a.closed, "%s: replaced", kind)
		require.NoError(t, p.Withdraw(ctx, "n1"))
		require.Equal(t, 3, b.closed, kind)
	}
}

package artifact_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/task"
)

func TestDirs(t *testing.T) {
	t.Parallel()
	dir, other := t.TempDir(), t.TempDir()
	for _, name := range []string{filepath.Join(dir, "kernel"), filepath.Join(dir, "v 2"), filepath.Join(other, "secret")} {
		require.NoError(t, os.WriteFile(name, []byte("x"), 0o600))
	}
	require.NoError(t, os.Symlink(filepath.Join(other, "secret"), filepath.Join(dir, "escape")))
	dirs, err := artifact.Dirs{dir + "/", "/nonexistent"}.Clean()
	require.NoError(t, err)
	require.Equal(t, artifact.Dirs{dir, "/nonexistent"}, dirs)

	for text, file := range map[string]string{
		dir + "/kernel":                     "kernel",
		dir + "//x/../kernel":               "kernel",
		"file://" + dir + "/kernel":         "kernel",
		"file://localhost" + dir + "/v%202": "v 2",
		"FILE:" + dir + "/kernel":           "kernel",
	} {
		require.True(t, artifact.IsFile(text))
		a, err := dirs.Find(text)
		require.NoError(t, err, text)
		require.Equal(t, artifact.Artifact{Dir: dir, File: file}, a, text)
	}
	for text, says := range map[string]string{
		other + "/secret": "outside the directories",
		dir + "/../" + filepath.Base(other) + "/secret": "outside the directories",
		dir:                           "outside the directories",
		dir + "/none":                 "no such file",
		dir + "/escape":               "escapes",
		"file://elsewhere" + dir:      "no file URL of this host",
		"file://u:p@localhost" + dir:  "no file URL of this host",
		"file://" + dir + "/kernel?x": "no file URL of this host",
		"file:kernel":                 "no file URL of this host",
		"file://%zz":                  "no file URL of this host",
	} {
		_, err := dirs.Find(text)
		require.ErrorIs(t, err, task.ErrInvalidParameter, text)
		require.ErrorContains(t, err, says, text)
	}
	_, err = artifact.Dirs(nil).Find(dir + "/kernel")
	require.ErrorContains(t, err, "files of this host are not served")
	_, err = artifact.Dirs{"a", dir, ""}.Clean()
	require.Len(t, task.Problems(err), 2)
	for _, text := range []string{"http://x/file:", "kernel", "", "../x"} {
		require.False(t, artifact.IsFile(text), text)
	}
}

func TestParseURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http://192.0.2.1/a?sig=x":  "http://192.0.2.1/a?sig=x",
		"https://[2001:db8::1]:8/a": "https://[2001:db8::1]:8/a",
	} {
		u, err := artifact.ParseURL(text)
		require.NoError(t, err)
		require.Equal(t, want, u.String())
	}
	base, err := artifact.ParseBaseURL("http://h/boot//")
	require.NoError(t, err)
	require.Equal(t, "http://h/boot", base.String())
	for text, says := range map[string]string{
		"":                    "missing",
		"ftp://h/":            "no http or https URL",
		"http:///x":           "no http or https URL",
		"http://h:x/":         "no http or https URL",
		"http://u:hunter2@h/": "user or password",
		"http://h/#hunter2":   "fragment",
		"http://h\n/hunter2":  "no http or https URL",
	} {
		_, err := artifact.ParseURL(text)
		require.ErrorIs(t, err, task.ErrInvalidParameter, text)
		require.ErrorContains(t, err, says, text)
		require.NotContains(t, err.Error(), "hunter2")
	}
	for _, text := range []string{"http://h/?a", "http://h/x?"} {
		_, err = artifact.ParseBaseURL(text)
		require.ErrorContains(t, err, "no query")
	}
}

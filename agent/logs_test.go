package agent_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/task"
)

func TestLogsOfAFailure(t *testing.T) {
	t.Parallel()
	archive := "\x1f\x8bnot much of an archive"
	for name, tt := range map[string]struct {
		answer map[string]any
		want   string // "" for no file
	}{
		"kept":       {map[string]any{"command_status": "SUCCEEDED", "command_result": map[string]any{"system_logs": base64.StdEncoding.EncodeToString([]byte(archive))}}, archive},
		"busy":       {map[string]any{"command_status": "FAILED"}, ""},
		"no logs":    {map[string]any{"command_status": "SUCCEEDED"}, ""},
		"no base64":  {map[string]any{"command_status": "SUCCEEDED", "command_result": map[string]any{"system_logs": "!"}}, ""},
		"no archive": {map[string]any{"command_status": "SUCCEEDED", "command_result": map[string]any{"system_logs": "aGVsbG8="}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "logs")
			s := newSite(t, func(c *agent.Config) { c.LogDir = dir }).runs(task.DeployWait, writeStep)
			s.Node.InstanceUUID = "../../etc"
			s.ramdisk.reply = func(string, map[string]any) map[string]any { return tt.answer }
			s.ramdisk.finish(map[string]any{"command_status": "FAILED", "command_error": map[string]any{"message": "no space left"}})
			_, err := s.beat(t)
			require.ErrorContains(t, err, "no space left", "why it failed is not hidden by what its logs are")
			files, _ := os.ReadDir(dir)
			if tt.want == "" {
				require.Empty(t, files)
				return
			}
			require.Len(t, files, 1)
			require.Regexp(t, "^"+regexp.QuoteMeta(s.Node.UUID)+`_n1_etc_\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d\.tar\.gz$`, files[0].Name())
			got, err := os.ReadFile(filepath.Join(dir, files[0].Name()))
			require.NoError(t, err)
			require.Equal(t, tt.want, string(got))
			info, err := files[0].Info()
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		})
	}
	s := newSite(t).runs(task.DeployWait, writeStep)
	s.ramdisk.finish(map[string]any{"command_status": "FAILED"})
	_, err := s.beat(t)
	require.Error(t, err)
	require.Equal(t, 0, s.executed("collect_system_logs"), "nobody asked for logs")
}

package iscsi_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/iscsi"
	"github.com/ferrule/ferrule/iscsi/iscsitest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// TestIPv6 has a machine with an IPv6 address alone.
func TestIPv6(t *testing.T) {
	t.Parallel()
	server, err := iscsitest.Start(iscsitest.Options{Addr: "[::1]:0", Name: iscsi.TargetName(tasktest.Node("n1")), Size: 16 * mib})
	if err != nil {
		t.Skip("no IPv6 here: ", err)
	}
	t.Cleanup(server.Close)
	_, portal, err := net.SplitHostPort(server.Portal)
	require.NoError(t, err)
	port, err := strconv.Atoi(portal)
	require.NoError(t, err)
	dir := t.TempDir()
	path := filepath.Join(dir, "system.raw")
	image := bytes.Repeat([]byte("the system "), mib/8)
	require.NoError(t, os.WriteFile(path, image, 0o600))
	d, err := iscsi.New(iscsi.Config{
		Agent: agent.Config{APIURL: "http://[2001:db8::1]:6385", ImageDirs: artifact.Dirs{dir}, HTTPClient: &http.Client{Transport: &piped{server: server, size: 16 * mib}}},
		Port:  port,
	})
	require.NoError(t, err)
	require.NoError(t, writeImage(t.Context(), d, "n1", "http://[::1]:9999", task.Info{
		"image_source": path, "image_os_hash_algo": "sha256", "image_os_hash_value": fmt.Sprintf("%x", sha256.Sum256(image)),
	}))
	got := make([]byte, len(image))
	_, err = server.Disk.ReadAt(got, 0)
	require.NoError(t, err)
	require.True(t, bytes.Equal(image, got))
	require.Empty(t, server.Target.Sessions())
}

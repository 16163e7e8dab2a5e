package builder_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent/ramdisk/builder"
	"github.com/ferrule/ferrule/agent/ramdisk/initramfs"
	"github.com/ferrule/ferrule/task"
)

// kernel makes the modules folder of a kernel, and an agent.
func kernel(t testing.TB) builder.Config {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"agent":                              "AGENT",
		"modules/modules.builtin":            "kernel/net/packet/af_packet.ko\n",
		"modules/modules.dep":                "kernel/net/virtio_net.ko: kernel/net/net_failover.ko kernel/core/failover.ko\nkernel/net/net_failover.ko: kernel/core/failover.ko\nkernel/core/failover.ko:\nkernel/nvme-core.ko.xz:\n",
		"modules/kernel/net/virtio_net.ko":   "NET",
		"modules/kernel/net/net_failover.ko": "NET_FAILOVER",
		"modules/kernel/core/failover.ko":    "FAILOVER",
		"modules/kernel/nvme-core.ko.xz":     "NVME",
	} {
		at := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
		require.NoError(t, os.WriteFile(at, []byte(text), 0o644))
	}
	return builder.Config{Agent: filepath.Join(dir, "agent"), ModulesDir: filepath.Join(dir, "modules")}
}

func unpack(t *testing.T, packed []byte) string {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	require.NoError(t, err)
	data, err := io.ReadAll(z)
	require.NoError(t, err)
	return string(data)
}

func TestWrite(t *testing.T) {
	c := kernel(t)
	c.Modules = []string{"virtio-net", "af_packet", "nvme_core", "failover"}
	c.Files = []initramfs.File{{Name: "etc/motd", Mode: 0o644, Data: []byte("hello")}}
	var first, second bytes.Buffer
	require.NoError(t, builder.Write(&first, c))
	require.NoError(t, builder.Write(&second, c))
	require.True(t, bytes.Equal(first.Bytes(), second.Bytes()), "the same parts give the same bytes")
	text := unpack(t, first.Bytes())
	require.Contains(t, text, "/lib/modules/kernel/core/failover.ko\n/lib/modules/kernel/net/net_failover.ko\n/lib/modules/kernel/net/virtio_net.ko\n/lib/modules/kernel/nvme-core.ko.xz\n")
	require.NotContains(t, text, "sbin/rescue")
	for _, content := range []string{"AGENT", "NET_FAILOVER", "NVME", "hello"} {
		require.Contains(t, text, content)
	}
}

func TestRescue(t *testing.T) {
	c := kernel(t)
	c.Busybox = filepath.Join(t.TempDir(), "busybox")
	require.ErrorContains(t, builder.Write(io.Discard, c), "name a static busybox")
	require.NoError(t, os.WriteFile(c.Busybox, []byte("BUSYBOX"), 0o644))
	var out bytes.Buffer
	require.NoError(t, builder.Write(&out, c))
	text := unpack(t, out.Bytes())
	for _, content := range []string{"bin/busybox", "BUSYBOX", "sbin/rescue", "respawn:/sbin/getty"} {
		require.Contains(t, text, content)
	}
}

func TestRefusals(t *testing.T) {
	c := kernel(t)
	c.Agent += ".gone"
	c.Modules = []string{"virtio_net", "tulip", "e1000"}
	c.Files = []initramfs.File{{Name: "etc/modules"}}
	var out bytes.Buffer
	err := builder.Write(&out, c)
	require.Zero(t, out.Len())
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorIs(t, err, task.ErrExists)
	for _, word := range []string{"tulip", "e1000", "agent.gone"} {
		require.ErrorContains(t, err, word)
	}
	require.NoError(t, os.Remove(filepath.Join(c.ModulesDir, "modules.builtin")))
	require.ErrorIs(t, builder.Write(&out, builder.Config{Agent: filepath.Join(filepath.Dir(c.ModulesDir), "agent"), Modules: []string{"x"}, ModulesDir: c.ModulesDir}), os.ErrNotExist)
}

// TestUnpackedPackage has modules that depmod has not seen.
func TestUnpackedPackage(t *testing.T) {
	c := kernel(t)
	require.NoError(t, os.Remove(filepath.Join(c.ModulesDir, "modules.dep")))
	c.Modules = []string{"failover"}
	require.ErrorContains(t, builder.Write(io.Discard, c), "failover.ko", "it is no ELF file")
}

func ExampleWrite() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	agent := filepath.Join(dir, "ferrule-ramdisk")
	_ = os.WriteFile(agent, []byte("what go build made"), 0o755)
	var ramdisk strings.Builder
	err = builder.Write(&ramdisk, builder.Config{Agent: agent})
	fmt.Println(ramdisk.Len() > 0, err)
	// Output: true <nil>
}

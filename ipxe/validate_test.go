package ipxe_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/ipxe"
	"github.com/ferrule/ferrule/task"
)

// fields are what the problems in err are about.
func fields(t *testing.T, err error) []string {
	t.Helper()
	var all []string
	for _, p := range task.Problems(err) {
		var e *task.Error
		require.ErrorAs(t, p, &e)
		require.ErrorIs(t, p, task.ErrInvalidParameter)
		require.NotEmpty(t, e.Remedy, "%v", p)
		all = append(all, e.Field)
	}
	return all
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := func() ipxe.Config { return ipxe.Config{Tree: new(artifact.Tree), BaseURL: baseURL} }
	for name, c := range map[string]struct {
		change func(*ipxe.Config)
		says   string
	}{
		"no tree":           {func(c *ipxe.Config) { c.Tree = nil }, "Config.Tree: missing"},
		"no URL":            {func(c *ipxe.Config) { c.BaseURL = "" }, "Config.BaseURL: missing"},
		"tftp":              {func(c *ipxe.Config) { c.BaseURL = "tftp://192.0.2.1/" }, "Config.BaseURL"},
		"no host":           {func(c *ipxe.Config) { c.BaseURL = "http:///boot" }, "Config.BaseURL"},
		"a query":           {func(c *ipxe.Config) { c.BaseURL += "?a=b" }, "no query"},
		"a password":        {func(c *ipxe.Config) { c.BaseURL = "http://u:hunter2@192.0.2.1/" }, "user or password"},
		"relative image":    {func(c *ipxe.Config) { c.ImageDirs = []string{"images"} }, "absolute paths"},
		"kernel arguments":  {func(c *ipxe.Config) { c.KernelArgs = "a ${b}" }, "Config.KernelArgs"},
		"open quote":        {func(c *ipxe.Config) { c.KernelArgs = `a="b` }, "quote without end"},
		"negative attempts": {func(c *ipxe.Config) { c.Attempts = -1 }, "-1"},
		"a nanosecond":      {func(c *ipxe.Config) { c.FetchTimeout = 1 }, "1ns"},
	} {
		cfg := good()
		c.change(&cfg)
		_, err := ipxe.New(t.Context(), cfg)
		require.ErrorIs(t, err, task.ErrInvalidParameter, name)
		require.ErrorContains(t, err, c.says, name)
		require.NotContains(t, err.Error(), "hunter2")
	}
	_, err := ipxe.New(t.Context(), ipxe.Config{Attempts: -1, ImageDirs: []string{"x"}})
	require.Len(t, task.Problems(err), 4, "all at once")

	taken := good()
	require.NoError(t, taken.Tree.Publish(t.Context(), "somebody", artifact.Artifact{Name: "boot.ipxe", Data: []byte{}}))
	_, err = ipxe.New(t.Context(), taken)
	require.ErrorIs(t, err, task.ErrExists)
}

func TestBaseURL(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"http://192.0.2.1":          "http://192.0.2.1/boot.ipxe",
		"http://192.0.2.1/":         "http://192.0.2.1/boot.ipxe",
		"https://h.example:8/a/b":   "https://h.example:8/a/b/boot.ipxe",
		"HTTP://h.example/a/b/":     "http://h.example/a/b/boot.ipxe",
		"http://[2001:db8::1]:80/x": "http://[2001:db8::1]:80/x/boot.ipxe",
	} {
		b, err := ipxe.New(t.Context(), ipxe.Config{Tree: new(artifact.Tree), BaseURL: base})
		require.NoError(t, err, base)
		require.Equal(t, want, b.EntryURL())
	}
}

func TestValidateReportsAll(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tk := s.task(t, "n1")
	tk.Ports = []*task.Port{{Address: "nonsense"}, {Address: "52:54:00:00:00:01"}}
	tk.Node.UUID = "../etc"
	tk.Node.DriverInfo = task.Info{"deploy_ramdisk": "ftp://x", "kernel_append_params": "a ${b} initrd=x"}
	tk.Node.InstanceInfo = task.Info{"capabilities": "boot_option:netboot,secure_boot:true,boot_mode:coreboot", "kernel": "k"}
	require.ElementsMatch(t, []string{
		"uuid", "ports", "driver_info.deploy_kernel", "driver_info.deploy_ramdisk",
		"driver_info.kernel_append_params", "driver_info.kernel_append_params",
		"instance_info.capabilities.boot_mode", "instance_info.capabilities", "instance_info.capabilities", "instance_info.image_type",
	}, fields(t, s.boot.Validate(t.Context(), tk)))
	require.Len(t, fields(t, s.boot.ValidateInspection(t.Context(), tk)), 6, "an inspection has no instance")
	require.Error(t, s.boot.PrepareRamdisk(t.Context(), tk, boot.Params{"a": "\n"}))
	require.Equal(t, []string{"boot.ipxe"}, s.published())
}

func TestValidatePorts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tk := s.task(t, "n1")
	no := false
	for says, ports := range map[string][]*task.Port{
		"none": nil,
		`pxe_enabled is false for all (["52:54:00:00:00:01" "52:54:00:00:00:02"])`: {
			{Address: "52:54:00:00:00:01", PXEEnabled: &no}, {Address: "52:54:00:00:00:02", PXEEnabled: &no}},
		`"x y" is no MAC address`: {{Address: "x y"}, {Address: "52:54:00:00:00:02"}},
	} {
		tk.Ports = ports
		err := s.boot.Validate(t.Context(), tk)
		require.Equal(t, []string{"ports"}, fields(t, err))
		require.ErrorContains(t, err, says)
	}
}

func TestInstanceRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for name, c := range map[string]struct {
		info task.Info
		says string
	}{
		"secure boot": {task.Info{"capabilities": "secure_boot:true"}, "virtual media"},
		"netboot":     {task.Info{"capabilities": "boot_option:netboot"}, "boot_option to local"},
		"partition":   {task.Info{"kernel": "k", "ramdisk": "r"}, "whole-disk image"},
	} {
		tk := s.task(t, "n1")
		tk.Node.InstanceInfo = c.info
		err := s.boot.Validate(t.Context(), tk)
		require.ErrorIs(t, err, task.ErrUnsupported, name)
		require.Len(t, fields(t, err), 1)
		require.ErrorContains(t, err, c.says)
		require.NoError(t, s.boot.PrepareRamdisk(t.Context(), tk, nil), "%s: a clean has no use for the instance", name)
		if name == "netboot" {
			require.ErrorIs(t, s.boot.PrepareInstance(t.Context(), tk), task.ErrUnsupported)
			require.Equal(t, boot.PXE, s.bmcs.device(tk).Device, "nothing is half done")
			continue
		}
		require.NoError(t, s.boot.PrepareInstance(t.Context(), tk))
	}
}

func TestImageFiles(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("s"), 0o600))
	s := newSite(t)
	in := func(name string) string { return filepath.Join(s.dir, name) }
	require.NoError(t, os.MkdirAll(in("v1"), 0o700))
	require.NoError(t, os.WriteFile(in("v1/kernel v1"), []byte("k"), 0o600))
	require.NoError(t, os.Symlink("v1/kernel v1", in("current")))
	require.NoError(t, os.Symlink(secret, in("escape")))
	require.NoError(t, os.Symlink(filepath.Dir(secret), in("dir")))

	for _, good := range []string{in("kernel"), "file://" + in("kernel"), "file://localhost" + in("kernel"), "FILE:" + in("kernel"),
		in("v1/kernel v1"), "file://" + in("v1/kernel%20v1"), in("current"), in("v1/../kernel"), in("v1") + "//kernel v1"} {
		tk := s.task(t, "n1")
		tk.Node.DriverInfo["deploy_kernel"] = good
		require.NoError(t, s.boot.Validate(t.Context(), tk), good)
	}
	bad := []string{secret, "file://" + secret, in("none"), in("escape"), in("dir/secret"), s.dir, in("v1"), s.dir + "/../" + filepath.Base(filepath.Dir(secret)) + "/secret",
		s.dir + "-other/kernel", "file://elsewhere" + in("kernel"), "file:kernel", "file://" + in("kernel?x"), "file://%zz", "kernel", "../kernel",
		"/\x00", "http:///vmlinuz", "http://u:hunter2@h/vmlinuz", "http://h/vmlinuz#x", "http://h/?sig=hunter2&a=${x}", "http://h/?a b", "http://h:x/",
		"http://h/a\nkernel evil", "glance://x", "3f1c9e4e-0000-4000-8000-000000000000", "|| shell"}
	for _, value := range bad {
		tk := s.task(t, "n1")
		tk.Node.DriverInfo["deploy_kernel"] = value
		for _, err := range []error{s.boot.Validate(t.Context(), tk), s.boot.PrepareRamdisk(t.Context(), tk, nil)} {
			require.Error(t, err, "%q", value)
			require.Equal(t, []string{"driver_info.deploy_kernel"}, fields(t, err), "%q", value)
			require.NotContains(t, err.Error(), "hunter2")
		}
	}
	require.Equal(t, []string{"boot.ipxe"}, s.published())

	without := newSite(t, func(c *ipxe.Config) { c.ImageDirs = nil })
	err := without.boot.Validate(t.Context(), s.task(t, "n1"))
	require.ErrorContains(t, err, "files of this host are not served (set it to an http or https URL, or name its directory in ipxe.Config.ImageDirs)")
}

// TestImageTurnsAway swaps a published file for a link out of its directory.
func TestImageTurnsAway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tk := s.task(t, "n1")
	require.NoError(t, s.boot.PrepareRamdisk(t.Context(), tk, nil))
	kernel, secret := filepath.Join(s.dir, "kernel"), filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("s"), 0o600))
	require.NoError(t, os.Remove(kernel))
	require.NoError(t, os.Symlink(secret, kernel))
	_, err := s.get(baseURL + "/" + tk.Node.UUID + "/deploy_kernel")
	require.Error(t, err)
}

func TestProperties(t *testing.T) {
	t.Parallel()
	p := newSite(t).boot.Properties()
	require.Equal(t, []string{"driver_info.deploy_kernel", "driver_info.deploy_ramdisk", "driver_info.kernel_append_params", "instance_info.kernel_append_params"}, p.Fields())
	require.True(t, p["driver_info.deploy_kernel"].Required)
	require.False(t, p["driver_info.kernel_append_params"].Required)
}

func TestConfigReachesScripts(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *ipxe.Config) {
		c.Attempts, c.FetchTimeout, c.KernelArgs = 3, 1500*time.Millisecond, " "
	})
	tk := s.task(t, "n1")
	require.NoError(t, s.boot.PrepareRamdisk(t.Context(), tk, nil))
	script := s.script(t, "pxelinux.cfg/"+hyphens(tk))
	require.NotContains(t, script, "nofb")
	require.Contains(t, script, "iseq ${attempt} 3 ")
	require.Contains(t, script, "initrd --name deploy_ramdisk --timeout 1500 ")
	require.Contains(t, s.script(t, "boot.ipxe"), "chain --timeout 1500 ")
}

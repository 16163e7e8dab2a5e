package agent_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/deploy/configdrive"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

var update = flag.Bool("update", false, "write the golden files anew")

// serves lets a site serve the files of a new directory, from a tree.
func serves(t *testing.T) (dir string, tree *artifact.Tree, change func(*agent.Config)) {
	t.Helper()
	dir, tree = t.TempDir(), new(artifact.Tree)
	for name, content := range map[string]string{"disk.raw": "the image", "other.raw": "another image"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	return dir, tree, func(c *agent.Config) {
		c.Tree, c.TreeURL, c.ImageDirs = tree, "http://192.0.2.1:8080/tree/", artifact.Dirs{dir + "/"}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	dir, _, serve := serves(t)
	for name, tt := range map[string]struct {
		config func(*agent.Config)
		change task.Info // of instance_info; nil takes a key away
		want   []string  // one of each problem
	}{
		"fine":                     {},
		"file":                     {serve, task.Info{"image_source": dir + "/disk.raw"}, nil},
		"file URL":                 {serve, task.Info{"image_source": "file://" + dir + "/disk.raw"}, nil},
		"sha512":                   {nil, task.Info{"image_os_hash_algo": "SHA512", "image_os_hash_value": sha256Sum + strings.ToUpper(sha256Sum)}, nil},
		"sha384":                   {nil, task.Info{"image_os_hash_algo": "sha384", "image_os_hash_value": sha256Sum + sha256Sum[:32]}, nil},
		"checksum alone":           {nil, task.Info{"image_os_hash_algo": nil, "image_os_hash_value": nil, "image_checksum": sha256Sum}, nil},
		"checksum with algorithm":  {nil, task.Info{"image_os_hash_algo": nil, "image_os_hash_value": nil, "image_checksum": "sha256:" + sha256Sum}, nil},
		"MD5 where that is let in": {func(c *agent.Config) { c.AllowMD5 = true }, task.Info{"image_os_hash_algo": nil, "image_os_hash_value": nil, "image_checksum": sha256Sum[:32]}, nil},

		"nothing": {nil, task.Info{"image_source": nil, "image_os_hash_algo": nil, "image_os_hash_value": nil},
			[]string{"image_source: missing", "image_os_hash_value: missing"}},
		"everything wrong": {serve, task.Info{"image_source": "ftp://x", "image_type": "partition", "image_disk_format": "vmdk", "image_os_hash_value": "zz", "configdrive": "hunter2", "root_device": map[string]any{"colour": "red"}, "image_server_user": "u", "image_container_format": "ova"},
			[]string{"root_device.colour: invalid", "image_disk_format: invalid", "image_container_format: invalid", "root_gb: missing", "image_source: invalid", "image_os_hash_value: invalid", "configdrive: invalid: the config drive is malformed", "image_server_password: missing"}},
		"qcow2":                     {nil, task.Info{"image_disk_format": "qcow2", "image_container_format": "compressed"}, nil},
		"server with a password":    {nil, task.Info{"image_server_user": "u", "image_server_password": "hunter2"}, nil},
		"password for a file":       {serve, task.Info{"image_source": dir + "/disk.raw", "image_server_user": "u", "image_server_password": "hunter2"}, []string{"image_server_user: invalid"}},
		"config drive":              {nil, task.Info{"configdrive": "H4sIAAAAAAAA"}, nil},
		"config drive with breaks":  {nil, task.Info{"configdrive": "H4sI\nAAAA\nAAAA"}, nil},
		"config drive by URL":       {nil, task.Info{"configdrive": "https://x/drive?hunter2"}, nil},
		"config drive by bad URL":   {nil, task.Info{"configdrive": "https://u:hunter2@x/drive"}, []string{"configdrive: invalid: a URL"}},
		"config drive not gzipped":  {nil, task.Info{"configdrive": "aHVudGVyMg=="}, nil},
		"config drive of data":      {nil, task.Info{"configdrive": map[string]any{"meta_data": map[string]any{"uuid": "hunter2"}, "user_data": "hunter2"}}, nil},
		"config drive of more":      {nil, task.Info{"configdrive": map[string]any{"hunter2": 1}}, []string{"configdrive: invalid: the config drive is malformed"}},
		"config drive of a list":    {nil, task.Info{"configdrive": []any{"hunter2"}}, []string{"configdrive: invalid: the config drive is malformed"}},
		"partition image":           {nil, task.Info{"image_type": "partition", "root_gb": 10, "swap_mb": "512", "ephemeral_gb": 5, "capabilities": "disk_label:msdos"}, nil},
		"partitions, all wrong":     {nil, task.Info{"image_type": "partition", "root_gb": -1, "swap_mb": "much", "image_container_format": "compressed", "capabilities": "disk_label:vinyl", "preserve_ephemeral": "true"}, []string{"swap_mb: invalid", "root_gb: invalid", "image_container_format: not supported", "capabilities: invalid: disk_label", "preserve_ephemeral: invalid: no deploy before"}},
		"swap on a whole disk":      {nil, task.Info{"swap_mb": 512}, []string{"image_type: invalid"}},
		"size of a whole disk":      {nil, task.Info{"root_gb": 10}, nil},
		"kernel":                    {nil, task.Info{"kernel": "http://x/k", "ramdisk": "http://x/r"}, []string{"root_gb: missing"}},
		"credentials":               {nil, task.Info{"image_source": "http://u:hunter2@x/i"}, []string{"image_source: invalid: a URL with user or password"}},
		"file where none is served": {nil, task.Info{"image_source": dir + "/disk.raw"}, []string{"image_source: invalid: files of this host are not served"}},
		"file elsewhere":            {serve, task.Info{"image_source": "/etc/passwd"}, []string{"image_source: invalid: a file outside"}},
		"file elsewhere, by dots":   {serve, task.Info{"image_source": dir + "/../../../etc/passwd"}, []string{"image_source: invalid: a file outside"}},
		"no such file":              {serve, task.Info{"image_source": dir + "/none.raw"}, []string{"image_source: invalid"}},
		"directory":                 {serve, task.Info{"image_source": dir}, []string{"image_source: invalid"}},
		"algorithm alone":           {nil, task.Info{"image_os_hash_value": nil}, []string{"image_os_hash_value: missing"}},
		"value alone":               {nil, task.Info{"image_os_hash_algo": nil}, []string{"image_os_hash_algo: missing"}},
		"unknown algorithm":         {nil, task.Info{"image_os_hash_algo": "crc32"}, []string{"image_os_hash_algo: invalid: no checksum by"}},
		"MD5":                       {nil, task.Info{"image_os_hash_algo": "md5", "image_os_hash_value": sha256Sum[:32]}, []string{"image_os_hash_value: invalid: MD5"}},
		"MD5 checksum":              {nil, task.Info{"image_os_hash_algo": nil, "image_os_hash_value": nil, "image_checksum": sha256Sum[:32]}, []string{"image_checksum: invalid: MD5"}},
		"short":                     {nil, task.Info{"image_os_hash_value": sha256Sum[1:]}, []string{"image_os_hash_value: invalid: a sha256 checksum has 64 hexadecimal digits, not 63"}},
		"no digits":                 {nil, task.Info{"image_os_hash_value": "x" + sha256Sum[1:]}, []string{"image_os_hash_value: invalid: not hexadecimal"}},
		"checksum of no algorithm":  {nil, task.Info{"image_os_hash_algo": nil, "image_os_hash_value": nil, "image_checksum": "abc"}, []string{"image_checksum: invalid"}},
		"checksum file": {nil, task.Info{"image_os_hash_algo": nil, "image_os_hash_value": nil, "image_checksum": "http://x/SHA256SUMS"},
			[]string{"image_checksum: invalid"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var configs []func(*agent.Config)
			if tt.config != nil {
				configs = append(configs, tt.config)
			}
			s := newSite(t, configs...)
			for k, v := range tt.change {
				if v == nil {
					delete(s.Node.InstanceInfo, k)
					continue
				}
				s.Node.InstanceInfo[k] = v
			}
			before := s.Node.Clone()
			err := s.deploy.Validate(t.Context(), s.Task)
			problems := task.Problems(err)
			require.Len(t, problems, len(tt.want), "%v", err)
			for i, want := range tt.want {
				require.ErrorContains(t, problems[i], "node n1: instance_info."+want)
				var e *task.Error
				require.ErrorAs(t, problems[i], &e)
				require.NotEmpty(t, e.Remedy)
			}
			if err != nil {
				require.NotContains(t, err.Error(), "hunter2")
			}
			require.Empty(t, cmp.Diff(before, s.Node, cmp.Comparer(sameJSON)), "nothing is changed")
			require.Equal(t, []string{"boot.Validate"}, s.called())
		})
	}
}

// sameJSON compares nodes by all that a store keeps.
func sameJSON(a, b *task.Node) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

func TestValidateAsksTheBootInterface(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	delete(s.Node.InstanceInfo, "image_source")
	s.Node.InstanceInfo["image_type"] = "tape"
	_, bootInfo := s.Node.BootInfo()
	require.Error(t, bootInfo)
	kernel := &task.Error{Op: "boot.Validate", Node: "n1", Field: "driver_info.deploy_kernel", Err: task.ErrMissingParameter}
	s.boot.ValidateFunc = func(context.Context, *task.Task) error { return task.Join(kernel, bootInfo) }
	problems := task.Problems(s.deploy.Validate(t.Context(), s.Task))
	require.Len(t, problems, 3, "what both find is said once: %v", problems)
	require.Equal(t, kernel, problems[0])
	require.ErrorContains(t, problems[1], "image_type")
	require.ErrorContains(t, problems[2], "image_source")

	s.Driver = &driver.Driver{Deploy: s.deploy}
	require.ErrorIs(t, s.deploy.Validate(t.Context(), s.Task), task.ErrUnsupported, "there is no boot interface")
}

// fetch gets what a ramdisk finds at the node's image_url.
func fetch(t *testing.T, tree *artifact.Tree, s *site) (int, string) {
	t.Helper()
	path, ok := strings.CutPrefix(s.Node.InstanceInfo.Text("image_url"), "http://192.0.2.1:8080/tree/")
	require.True(t, ok, "%s", s.Node.InstanceInfo["image_url"])
	w := httptest.NewRecorder()
	tree.ServeHTTP(w, httptest.NewRequest("GET", "/"+path, nil))
	return w.Code, w.Body.String()
}

func TestPrepareServesFile(t *testing.T) {
	t.Parallel()
	dir, tree, serve := serves(t)
	s := newSite(t, serve)
	var seen []task.Evidence
	tree.Observer = func(e task.Evidence) { seen = append(seen, e) }
	n := s.Node
	n.InstanceInfo["image_source"] = dir + "/disk.raw"
	require.NoError(t, s.deploy.Prepare(t.Context(), s.Task))
	first := n.InstanceInfo.Text("image_url")
	require.Regexp(t, `^http://192\.0\.2\.1:8080/tree/agent_images/`+n.UUID+`/[a-z2-7]{26}$`, first)
	code, content := fetch(t, tree, s)
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "the image", content)
	require.Equal(t, n.UUID, seen[0].Node)
	require.Equal(t, agent.StageImage, seen[0].Stage)
	require.Equal(t, []string{agent.StageImage, agent.StageWritten}, s.deploy.Stages(s.Task)[2:])

	require.NoError(t, s.deploy.Prepare(t.Context(), s.Task))
	require.Equal(t, first, n.InstanceInfo["image_url"], "a ramdisk may be reading")

	// Whoever prepares names what is served, not whoever wrote the node.
	n.InstanceInfo["image_url"] = "http://192.0.2.1:8080/tree/agent_images/other-node/x"
	require.NoError(t, s.deploy.Prepare(t.Context(), s.Task))
	require.Contains(t, n.InstanceInfo["image_url"], "/"+n.UUID+"/")
	require.Len(t, tree.Names(n.UUID+"/image"), 1, "the name before is gone")

	n.InstanceInfo["image_source"] = "file://" + dir + "/other.raw"
	require.NoError(t, s.deploy.Prepare(t.Context(), s.Task))
	_, content = fetch(t, tree, s)
	require.Equal(t, "another image", content)

	other := newSite(t, serve)
	other.Node.UUID, other.Node.InstanceInfo["image_source"] = task.NewUUID(), dir+"/disk.raw"
	require.NoError(t, other.deploy.Prepare(t.Context(), other.Task))
	require.NotEqual(t, filepath.Base(n.InstanceInfo.Text("image_url")), filepath.Base(other.Node.InstanceInfo.Text("image_url")))

	location := n.InstanceInfo["image_url"]
	for range 2 {
		require.NoError(t, s.deploy.CleanUp(t.Context(), s.Task))
		require.NotContains(t, n.InstanceInfo, "image_url")
	}
	n.InstanceInfo["image_url"] = location
	code, _ = fetch(t, tree, s)
	require.Equal(t, http.StatusNotFound, code)
	code, _ = fetch(t, tree, other)
	require.Equal(t, http.StatusOK, code, "another node's image stays")
}

func TestPrepareWithdrawsWhatIsNoLongerNamed(t *testing.T) {
	t.Parallel()
	dir, tree, serve := serves(t)
	s := newSite(t, serve)
	s.Node.InstanceInfo["image_source"] = dir + "/disk.raw"
	require.NoError(t, s.deploy.Prepare(t.Context(), s.Task))
	require.NotEmpty(t, tree.Names(s.Node.UUID+"/image"))
	s.Node.InstanceInfo["image_source"] = imageURL
	require.NoError(t, s.deploy.Prepare(t.Context(), s.Task))
	require.Equal(t, imageURL, s.Node.InstanceInfo["image_url"])
	require.Empty(t, tree.Names(s.Node.UUID+"/image"))
}

func TestPrepareFails(t *testing.T) {
	t.Parallel()
	dir, tree, serve := serves(t)
	for _, source := range []any{nil, "ftp://x", "/etc/passwd", dir + "/none.raw", "https://u:hunter2@x/"} {
		s := newSite(t, serve)
		s.Node.InstanceInfo["image_source"] = source
		err := s.deploy.Prepare(t.Context(), s.Task)
		require.ErrorIs(t, err, task.ErrInvalidParameter)
		require.ErrorContains(t, err, "agent.Prepare: node n1: instance_info.image_source: ")
		require.NotContains(t, err.Error(), "hunter2")
		require.Empty(t, s.called(), "no ramdisk boots that would have nothing to write")
	}
	s := newSite(t, serve)
	s.Node.InstanceInfo["image_source"] = dir + "/disk.raw"
	s.Node.InstanceInfo["image_url"] = "http://192.0.2.1:8080/tree/agent_images/" + s.Node.UUID + "/../x"
	require.Error(t, s.deploy.Prepare(t.Context(), s.Task), "a name that leaves the node's folder")
	require.Empty(t, tree.Names(s.Node.UUID+"/image"))
}

// TestWriteImageOnTheWire compares the command with what Ironic sends.
func TestWriteImageOnTheWire(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		instance task.Info
		md5      bool
	}{
		"write_image":             {instance: task.Info{"image_source": "https://images.example.com/os/disk.raw?signature=abc", "image_os_hash_algo": "SHA256", "image_os_hash_value": strings.ToUpper(sha256Sum)}},
		"write_image_configdrive": {instance: task.Info{"image_source": imageURL, "image_checksum": sha256Sum + sha256Sum, "configdrive": "H4sIAAAAAAAA", "root_device": map[string]any{"name": "/dev/sdb"}}},
		"write_image_partition":   {instance: task.Info{"image_source": imageURL, "image_checksum": sha256Sum, "image_disk_format": "qcow2", "kernel": "http://192.0.2.2/images/vmlinuz", "ramdisk": "http://192.0.2.2/images/initrd", "root_gb": 10, "swap_mb": 512, "ephemeral_gb": 5, "capabilities": map[string]any{"disk_label": "gpt"}}},
		"write_image_password":    {instance: task.Info{"image_source": imageURL, "image_checksum": sha256Sum, "image_container_format": "compressed", "image_server_user": "reader", "image_server_password": "hunter2"}},
		"write_image_md5":         {instance: task.Info{"image_source": imageURL, "image_checksum": sha256Sum[:32]}, md5: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(c *agent.Config) { c.AllowMD5 = tt.md5 })
			s.Node.InstanceInfo = tt.instance
			s.Node.DriverInfo["ipmi_password"] = canary
			s.up(task.Deploying)
			state, err := s.deploy.ExecuteStep(t.Context(), s.Task, deploy.DeploySteps, deploy.Step{Interface: "deploy", Name: "write_image", Priority: 80, NeedsRamdisk: true})
			require.NoError(t, err)
			require.Equal(t, task.DeployWait, state)
			require.Equal(t, "id-0", s.Node.DriverInternalInfo["agent_command_id"])
			require.Equal(t, []string{"POST /v1/commands/"}, s.ramdisk.requests)

			sent := s.ramdisk.params["deploy.execute_deploy_step"]
			got, err := json.MarshalIndent(sent, "", "  ")
			require.NoError(t, err)
			require.NotContains(t, string(got), canary)
			require.Equal(t, name == "write_image_password", strings.Contains(string(got), "hunter2"), "for the ramdisk alone")
			golden := filepath.Join("testdata", name+".json")
			if *update {
				require.NoError(t, os.WriteFile(golden, append(got, '\n'), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(string(want), string(got)+"\n"), "go test -run OnTheWire -update writes the file anew")
		})
	}
}

// TestConfigDriveIsBuilt has an instance give what is to be in its config drive.
func TestConfigDriveIsBuilt(t *testing.T) {
	t.Parallel()
	s := newSite(t).up(task.Deploying)
	s.Node.InstanceInfo["configdrive"] = map[string]any{"meta_data": map[string]any{"uuid": "u1", "hostname": "web-1"}, "user_data": "#cloud-config\n"}
	_, err := executes("write_image")(t.Context(), s)
	require.NoError(t, err)
	sent := s.ramdisk.params["deploy.execute_deploy_step"]
	text := sent["step"].(map[string]any)["args"].(map[string]any)["configdrive"].(string)
	require.True(t, strings.HasPrefix(text, "H4sI"), "gzipped")
	iso, err := configdrive.Decode(text)
	require.NoError(t, err)
	require.Contains(t, string(iso), `"hostname":"web-1"`)
	require.NotContains(t, fmt.Sprint(sent["node"]), "web-1")
}

func TestWriteImageUnprepared(t *testing.T) {
	t.Parallel()
	for field, value := range map[string]any{"image_url": nil, "image_os_hash_value": "x", "image_source": nil} {
		s := newSite(t).up(task.Deploying)
		s.Node.InstanceInfo[field] = value
		_, err := executes("write_image")(t.Context(), s)
		require.ErrorIs(t, err, task.ErrInvalidParameter)
		require.ErrorContains(t, err, "instance_info."+field)
		require.Empty(t, s.ramdisk.requests)
	}
	s := newSite(t)
	s.Node.InstanceInfo["image_url"] = imageURL
	_, err := executes("write_image")(t.Context(), s)
	require.ErrorIs(t, err, task.ErrMissingParameter)
	require.ErrorContains(t, err, "driver_internal_info.agent_url", "no ramdisk has called")
}

package configdrive_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/deploy/configdrive"
	"github.com/ferrule/ferrule/deploy/disk"
)

type device struct{ *bytes.Reader }

func (device) WriteAt([]byte, int64) (int, error) { return 0, os.ErrPermission }
func (device) Sync() error                        { return nil }

func data() map[string]any {
	return map[string]any{
		"meta_data":    map[string]any{"uuid": "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", "hostname": "web-1", "number": 12345678901234567},
		"user_data":    "#cloud-config\n" + strings.Repeat("# more\n", 1000),
		"network_data": map[string]any{"links": []any{}},
		"vendor_data":  map[string]any{"a": "b"},
	}
}

func TestFromObject(t *testing.T) {
	t.Parallel()
	image, err := configdrive.From(t.Context(), data(), nil)
	require.NoError(t, err)
	again, err := configdrive.From(t.Context(), data(), nil)
	require.NoError(t, err)
	require.True(t, bytes.Equal(image, again), "the same data makes the same image")
	_, label, err := disk.Identify(&disk.Disk{Device: device{bytes.NewReader(image)}, Size: int64(len(image))})
	require.NoError(t, err)
	require.Equal(t, "config-2", label)
	for _, want := range []string{`"hostname":"web-1"`, `"number":12345678901234567`, "#cloud-config\n# more", `{"links":[]}`, `{"a":"b"}`} {
		require.Equal(t, 1, bytes.Count(image, []byte(want)), want)
	}
	image, err = configdrive.Data{UserData: map[string]any{"ignition": 3}}.ISO()
	require.NoError(t, err)
	require.Contains(t, string(image), `{"ignition":3}`)
	image, err = configdrive.Data{UserData: []byte{0, 1, 2, 3}}.ISO()
	require.NoError(t, err)
	require.Contains(t, string(image), "\x00\x01\x02\x03")
}

func TestForms(t *testing.T) {
	t.Parallel()
	want := []byte("an image of some sort")
	text := configdrive.Encode(want)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/drive":
			io.WriteString(w, text+"\n")
		case "/cut":
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, text)
		default:
			w.WriteHeader(404)
		}
	}))
	defer s.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	large := configdrive.Encode(make([]byte, configdrive.MaxSize+1))
	for name, tc := range map[string]struct {
		value any
		err   error
	}{
		"base64 of gzip":   {value: text},
		"in lines":         {value: text[:10] + "\r\n" + text[10:] + "\n"},
		"base64":           {value: base64.StdEncoding.EncodeToString(want)},
		"a URL":            {value: s.URL + "/drive?signature=hunter2"},
		"not there":        {value: s.URL + "/nothing?signature=hunter2", err: configdrive.ErrFetch},
		"cut":              {value: s.URL + "/cut?signature=hunter2", err: configdrive.ErrFetch},
		"nobody there":     {value: "http://127.0.0.1:1/?signature=hunter2", err: configdrive.ErrFetch},
		"no URL":           {value: "http://hunter2:hunter2@\x7f", err: configdrive.ErrFetch},
		"empty":            {value: "", err: configdrive.ErrMalformed},
		"no base64":        {value: "hunter2!", err: configdrive.ErrMalformed},
		"damaged gzip":     {value: base64.StdEncoding.EncodeToString([]byte("\x1f\x8b hunter2")), err: configdrive.ErrMalformed},
		"cut gzip":         {value: text[:24], err: configdrive.ErrMalformed},
		"large":            {value: large, err: configdrive.ErrTooLarge},
		"a number":         {value: 7, err: configdrive.ErrMalformed},
		"an unknown part":  {value: map[string]any{"hunter2": 1}, err: configdrive.ErrMalformed},
		"a text for a map": {value: map[string]any{"meta_data": "hunter2"}, err: configdrive.ErrMalformed},
		"no JSON":          {value: map[string]any{"meta_data": map[string]any{"x": func() {}}}, err: configdrive.ErrMalformed},
		"large user data":  {value: map[string]any{"user_data": strings.Repeat("x", configdrive.MaxSize)}, err: configdrive.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := configdrive.From(t.Context(), tc.value, client)
			if tc.err != nil {
				require.ErrorIs(t, err, tc.err)
				require.NotContains(t, err.Error(), "hunter2")
				return
			}
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
	for _, d := range []configdrive.Data{{MetaData: map[string]any{"x": func() {}}}, {UserData: func() {}}} {
		_, err := d.ISO()
		require.ErrorIs(t, err, configdrive.ErrMalformed)
	}
}

// TestTools has the image looked at by other people's readers.
func TestTools(t *testing.T) {
	if os.Getenv("FERRULE_LAB") != "1" {
		t.Skip("FERRULE_LAB is not 1: needs genisoimage, xorriso and util-linux")
	}
	image, err := configdrive.From(t.Context(), data(), nil)
	require.NoError(t, err)
	name := filepath.Join(t.TempDir(), "drive.iso")
	require.NoError(t, os.WriteFile(name, image, 0o600))
	tool := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	seen := tool("blkid", "-p", "-o", "export", name)
	require.Contains(t, seen, "LABEL=config-2\n")
	require.Contains(t, seen, "TYPE=iso9660")
	for _, names := range [][]string{{"-R"}, {"-J"}} {
		found := tool("isoinfo", append(names, "-f", "-i", name)...)
		for _, file := range []string{"meta_data.json", "network_data.json", "user_data", "vendor_data.json"} {
			require.Contains(t, found, "/openstack/latest/"+file+"\n", "%v", names)
			require.Contains(t, found, "/openstack/2012-08-10/"+file+"\n", "%v", names)
		}
	}
	require.Contains(t, tool("isoinfo", "-d", "-i", name), "Rock Ridge signatures version 1 found")
	require.Equal(t, data()["user_data"], tool("isoinfo", "-R", "-i", name, "-x", "/openstack/latest/user_data"))
	require.Equal(t, data()["user_data"], tool("isoinfo", "-J", "-i", name, "-x", "/openstack/latest/user_data"))
	out := filepath.Join(t.TempDir(), "out")
	said := tool("xorriso", "-osirrox", "on", "-indev", name, "-extract", "/", out)
	require.NotContains(t, said, "WARNING")
	got, err := os.ReadFile(filepath.Join(out, "openstack/latest/vendor_data.json"))
	require.NoError(t, err)
	require.Equal(t, `{"a":"b"}`, string(got))
	if exec.Command("/usr/bin/python3", "-c", "import cloudinit").Run() == nil { // where cloud-init is installed
		read := tool("/usr/bin/python3", "-c", `import sys
from cloudinit.sources.helpers.openstack import ConfigDriveReader
r = ConfigDriveReader(sys.argv[1]).read_v2()
print(r["version"], r["metadata"]["hostname"], r["metadata"]["uuid"], len(r["userdata"]), r["networkdata"], r["vendordata"])`, out)
		require.Equal(t, "2 web-1 1be26c0b-03f2-4d2e-ae87-c02d7f33c123 7014 {'links': []} {'a': 'b'}\n", read)
	}
	if _, err := os.Stat("/dev/loop-control"); err == nil && os.Getuid() == 0 {
		dir := t.TempDir()
		if exec.Command("mount", "-o", "loop,ro", name, dir).Run() == nil { // where the kernel can
			defer exec.Command("umount", dir).Run()
			got, err := os.ReadFile(filepath.Join(dir, "openstack/latest/user_data"))
			require.NoError(t, err)
			require.Equal(t, data()["user_data"], string(got))
		}
	}
}

func FuzzFrom(f *testing.F) {
	f.Add([]byte("H4sIAAAA"), false)
	f.Add([]byte(`{"meta_data": {"uuid": "x"}, "user_data": "y"}`), true)
	f.Fuzz(func(t *testing.T, text []byte, object bool) {
		if !object {
			if image, err := configdrive.Decode(string(text)); err == nil {
				again, err := configdrive.Decode(configdrive.Encode(image))
				require.NoError(t, err)
				require.True(t, bytes.Equal(image, again))
			}
			return
		}
		if d, err := configdrive.ParseData(text); err == nil {
			_, err := d.ISO()
			require.NoError(t, err)
		}
	})
}

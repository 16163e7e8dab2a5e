package ramdisk_test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/task"
)

func TestWriteImage(t *testing.T) {
	t.Parallel()
	content := noise(2*mib + 777)
	s := newImageServer(t, content)
	m := oneDisk()
	a := boot(t, newConductor(t, "1.90"), m)
	c := a.write(info(s.URL+"/disk.raw", content, nil))
	require.Equal(t, "SUCCEEDED", c.Status, "%+v", c.Error)
	require.Equal(t, "execute_deploy_step", c.Name)
	var result struct {
		Result struct{ Result string } `json:"deploy_result"`
		Step   struct {
			Interface, Step string
			Args            map[string]any
		} `json:"deploy_step"`
	}
	require.NoError(t, json.Unmarshal(c.Result, &result))
	require.Equal(t, "prepare_image: image (disk.raw) written to device /dev/sda root_uuid=None", result.Result.Result)
	require.Equal(t, "write_image", result.Step.Step)
	require.Contains(t, result.Step.Args, "image_info", "the step is echoed with its arguments")
	requireWritten(t, m, content)
	require.False(t, m.media["/dev/sda"].(*medium).dirty, "it is on the medium")
	require.Equal(t, []string{"identity"}, s.asked("Accept-Encoding"))
	require.Equal(t, []string{""}, s.asked("Range"))

	require.Equal(t, "SUCCEEDED", a.do("standby.sync", struct{}{}).Status)

	// Older conductors say it in another way.
	c = a.do("standby.prepare_image", map[string]any{"image_info": info(s.URL, content, map[string]any{"image_type": "whole-disk"}), "configdrive": ""})
	require.Equal(t, "SUCCEEDED", c.Status, "%+v", c.Error)
	require.JSONEq(t, `{"result": "prepare_image: image (disk.raw) written to device /dev/sda root_uuid=None"}`, string(c.Result))
}

func TestPartitionUUIDs(t *testing.T) {
	t.Parallel()
	mbr := noise(mib)
	binary.LittleEndian.PutUint32(mbr[440:], 0x12ab34cd)
	mbr[510], mbr[511] = 0x55, 0xaa
	clear(mbr[446:510])
	gpt := bytes.Clone(mbr)
	binary.LittleEndian.PutUint32(gpt[440:], 0)
	none := bytes.Clone(mbr)
	none[511] = 0
	for want, content := range map[string][]byte{`{"root uuid": "0x12ab34cd"}`: mbr, `{}`: gpt, ` {}`: none} {
		s := newImageServer(t, content)
		a := boot(t, newConductor(t, "1.90"), oneDisk())
		require.Equal(t, "SUCCEEDED", a.write(info(s.URL, content, nil)).Status)
		c := a.do("standby.get_partition_uuids", struct{}{})
		require.JSONEq(t, want, string(c.Result))
	}
}

func TestChecksums(t *testing.T) {
	t.Parallel()
	content := noise(mib)
	md5Sum, sha1Sum, sha512Sum, sha384Sum := md5.Sum(content), sha1.Sum(content), sha512.Sum512(content), sha512.Sum384(content)
	md5Hex, sha512Hex := hex.EncodeToString(md5Sum[:]), hex.EncodeToString(sha512Sum[:])
	wrong := sha256Of([]byte("something else"))
	s := newImageServer(t, content)
	for name, tc := range map[string]struct {
		change map[string]any
		md5    bool   // allowed by lookup
		kind   string // of the error; "" for none
		detail string
	}{
		"sha256":               {},
		"sha512":               {change: map[string]any{"os_hash_algo": "sha512", "os_hash_value": sha512Hex}},
		"sha384 in capitals":   {change: map[string]any{"os_hash_algo": "SHA384", "os_hash_value": strings.ToUpper(hex.EncodeToString(sha384Sum[:]))}},
		"sha1":                 {change: map[string]any{"os_hash_algo": "sha1", "os_hash_value": hex.EncodeToString(sha1Sum[:])}},
		"by length":            {change: map[string]any{"os_hash_algo": nil, "os_hash_value": nil, "checksum": " " + sha512Hex + " "}},
		"by name":              {change: map[string]any{"os_hash_algo": nil, "os_hash_value": nil, "checksum": "sha256:" + sha256Of(content)}},
		"md5 that is let in":   {change: map[string]any{"os_hash_algo": nil, "os_hash_value": nil, "checksum": md5Hex}, md5: true},
		"the better of two":    {change: map[string]any{"checksum": md5Hex}},
		"wrong":                {change: map[string]any{"os_hash_value": wrong}, kind: "ImageChecksumError", detail: "location: /dev/sda; image ID: disk.raw; image checksum: " + wrong + "; verification checksum: " + sha256Of(content)},
		"md5":                  {change: map[string]any{"os_hash_algo": "md5", "os_hash_value": md5Hex}, kind: "InvalidImage", detail: "md5 checksums are not allowed"},
		"md5 by length":        {change: map[string]any{"os_hash_algo": nil, "os_hash_value": nil, "checksum": md5Hex}, kind: "InvalidImage", detail: "md5 checksums are not allowed"},
		"unknown algorithm":    {change: map[string]any{"os_hash_algo": "crc32"}, kind: "InvalidImage", detail: `checksum algorithm "crc32" is unknown`},
		"another's length":     {change: map[string]any{"os_hash_algo": "sha512"}, kind: "InvalidImage", detail: "not one of sha512"},
		"no hexadecimal":       {change: map[string]any{"os_hash_value": "z" + wrong[1:]}, kind: "InvalidImage", detail: "not one of sha256 in hexadecimal"},
		"no algorithm's":       {change: map[string]any{"os_hash_algo": nil, "os_hash_value": nil, "checksum": "abcd"}, kind: "InvalidImage", detail: "length of no known algorithm"},
		"file of checksums":    {change: map[string]any{"os_hash_algo": nil, "os_hash_value": nil, "checksum": "http://x/SHA256SUMS"}, kind: "InvalidImage", detail: "files of checksums"},
		"missing":              {change: map[string]any{"os_hash_algo": nil, "os_hash_value": nil}, kind: "InvalidCommandParamsError", detail: "Image is missing 'os_hash_value' or 'checksum' field."},
		"algorithm alone":      {change: map[string]any{"os_hash_value": nil, "checksum": wrong}, kind: "InvalidCommandParamsError", detail: "go together"},
		"a number for a value": {change: map[string]any{"os_hash_value": 7}, kind: "InvalidCommandParamsError", detail: "os_hash_value is a number"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cond := newConductor(t, "1.90")
			if tc.md5 {
				cond.config = strings.Replace(cond.config, `{`, `{"agent_md5_checksum_enable":true,`, 1)
			}
			m := oneDisk()
			a := boot(t, cond, m)
			c := a.write(info(s.URL, content, tc.change))
			if tc.kind == "" {
				require.Equal(t, "SUCCEEDED", c.Status, "%+v", c.Error)
				requireWritten(t, m, content)
				return
			}
			require.Equal(t, "FAILED", c.Status)
			require.Equal(t, tc.kind, c.Error.Type)
			require.Contains(t, c.Error.Details, tc.detail)
			if tc.kind == "ImageChecksumError" {
				requireWiped(t, m)
			} else {
				requireUntouched(t, m)
			}
		})
	}
}

// TestImageRefused has images that this agent cannot write, or must not.
func TestImageRefused(t *testing.T) {
	t.Parallel()
	content := noise(mib)
	s := newImageServer(t, content)
	m := oneDisk()
	a := boot(t, newConductor(t, "1.90"), m)
	for _, tc := range []struct {
		change       map[string]any
		kind, detail string
	}{
		{map[string]any{"image_type": "tarball"}, "InvalidImage", `image_type "tarball" is neither whole-disk nor partition`},
		{map[string]any{"image_type": "partition"}, "InvalidImage", "needs root_mb above 0"},
		{map[string]any{"image_type": "partition", "root_mb": 1, "swap_mb": -1}, "InvalidImage", "swap_mb"},
		{map[string]any{"image_type": "partition", "root_mb": 1, "deploy_boot_mode": "coreboot"}, "InvalidImage", "deploy_boot_mode"},
		{map[string]any{"image_type": "partition", "root_mb": 1, "disk_label": "bsd"}, "InvalidImage", "disk_label"},
		{map[string]any{"image_type": "partition", "root_mb": 1, "preserve_ephemeral": true}, "InvalidImage", "preserve_ephemeral without ephemeral_mb"},
		{map[string]any{"image_type": "partition", "root_mb": 5}, "ImageWriteError", "no room"},
		{map[string]any{"disk_format": "vmdk"}, "InvalidImage", `disk_format "vmdk" is not supported`},
		{map[string]any{"disk_format": nil}, "InvalidImage", `disk_format "" is not supported`},
		{map[string]any{"configdrive": "H4sI"}, "ConfigDriveWriteError", "what is gzipped is damaged"},
		{map[string]any{"configdrive": 7}, "ConfigDriveWriteError", "neither a text nor an object"},
		{map[string]any{"id": nil}, "InvalidCommandParamsError", "Image is missing 'id' field."},
		{map[string]any{"urls": nil}, "InvalidCommandParamsError", "Image is missing 'urls' field."},
		{map[string]any{"urls": []string{}}, "InvalidCommandParamsError", "Image is missing 'urls' field."},
		{map[string]any{"urls": "http://x"}, "InvalidCommandParamsError", "urls is a string"},
		{map[string]any{"urls": []string{"http://x", "file:///etc/passwd"}}, "InvalidCommandParamsError", "not all http or https"},
		{map[string]any{"urls": []string{"http://"}}, "InvalidCommandParamsError", "not all http or https"},
		{map[string]any{"urls": []string{"http://\x7f"}}, "InvalidCommandParamsError", "not all http or https"},
	} {
		c := a.write(info(s.URL, content, tc.change))
		require.Equal(t, "FAILED", c.Status)
		require.Equal(t, tc.kind, c.Error.Type)
		require.Contains(t, c.Error.Details, tc.detail)
	}
	c := a.do("deploy.execute_deploy_step", map[string]any{"step": map[string]any{"step": "write_image", "args": map[string]any{"image_info": 7}}})
	require.Equal(t, "InvalidCommandParamsError", c.Error.Type)
	c = a.do("deploy.execute_deploy_step", map[string]any{"step": map[string]any{"step": "write_image", "args": map[string]any{"image_info": info(s.URL, content, nil), "configdrive": "H4sI"}}})
	require.Equal(t, "ConfigDriveWriteError", c.Error.Type)
	require.Empty(t, s.requests)
	requireUntouched(t, m)
}

func TestWriteImageElsewhere(t *testing.T) {
	t.Parallel()
	content := noise(mib)
	s := newImageServer(t, content)
	m := newMachine(task.Disk{Name: "/dev/sda", Size: diskSize}, task.Disk{Name: "/dev/sdb", Size: diskSize, Serial: "s2"})
	a := boot(t, newConductor(t, "1.90"), m)
	params := writeParams(info(s.URL, content, nil))
	for name, node := range map[string]map[string]any{
		"of the instance": {"uuid": uuid, "instance_info": map[string]any{"root_device": map[string]any{"serial": "s2"}}, "properties": map[string]any{"root_device": map[string]any{"name": "/dev/sda"}}},
		"of the node":     {"uuid": uuid, "properties": map[string]any{"root_device": map[string]any{"serial": "s2"}}},
	} {
		params["node"] = node
		c := a.do("deploy.execute_deploy_step", params)
		require.Equal(t, "SUCCEEDED", c.Status, "hint %s: %+v", name, c.Error)
		require.Equal(t, content, m.content("/dev/sdb")[:mib])
		requireUntouched(t, m)
	}
	for _, hints := range []any{map[string]any{"serial": "s3"}, map[string]any{"colour": "red"}, 7} {
		params["node"] = map[string]any{"uuid": uuid, "properties": map[string]any{"root_device": hints}}
		c := a.do("deploy.execute_deploy_step", params)
		require.Equal(t, "DeviceNotFound", c.Error.Type)
		require.Equal(t, 404, c.Error.Code)
		require.Contains(t, c.Error.Details, "root_device")
	}
	params["node"] = nil
	m.media["/dev/sda"] = nil
	c := a.do("deploy.execute_deploy_step", params)
	require.Equal(t, "FAILED", c.Status)
	m.hostErr = errors.New("no such bus")
	c = a.do("deploy.execute_deploy_step", params)
	require.Contains(t, c.Error.Details, "no such bus")
}

func TestImageLargerThanDisk(t *testing.T) {
	t.Parallel()
	content := noise(diskSize + 1)
	for name, chunked := range map[string]bool{"said so": false, "found out": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newImageServer(t, content)
			if chunked {
				s.before = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
					w.(http.Flusher).Flush()
					io.Copy(w, bytes.NewReader(content))
					return true
				}
			}
			m := oneDisk()
			a := boot(t, newConductor(t, "1.90"), m)
			c := a.write(info(s.URL, content, nil))
			require.Equal(t, "ImageWriteError", c.Error.Type)
			require.Len(t, s.asked("Range"), 1, "another attempt would fail as well")
			if chunked {
				require.Contains(t, c.Error.Details, "Writing image to device /dev/sda failed: the image is larger than the disk: 4194305 bytes do not fit 4194304")
				requireWiped(t, m)
				return
			}
			require.Contains(t, c.Error.Details, "the image is larger than the disk: 4194305 bytes do not fit 4194304")
			requireUntouched(t, m)
		})
	}
	exact := noise(diskSize)
	s := newImageServer(t, exact)
	m := oneDisk()
	c := boot(t, newConductor(t, "1.90"), m).write(info(s.URL, exact, nil))
	require.Equal(t, "SUCCEEDED", c.Status, "%+v", c.Error)
	requireWritten(t, m, exact)
}

func TestSparseImage(t *testing.T) {
	t.Parallel()
	content := make([]byte, 3*mib+100)
	copy(content, "boot loader")
	copy(content[2*mib:], "system")
	for name, sparse := range map[string]bool{"a disk that zeroes": true, "one that is written to": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newImageServer(t, content)
			m := oneDisk()
			plain := m.media["/dev/sda"].(*medium)
			z := &zeroMedium{medium: medium{data: plain.data}}
			if sparse {
				m.media["/dev/sda"] = z
			}
			c := boot(t, newConductor(t, "1.90"), m).write(info(s.URL, content, nil))
			require.Equal(t, "SUCCEEDED", c.Status, "%+v", c.Error)
			requireWritten(t, m, content)
			if sparse {
				require.Equal(t, 3, z.writes, "the start of the head and of the system, and what is no whole page at the end")
			} else {
				require.Less(t, 4, plain.writes)
			}
		})
	}
}

func TestOtherFormats(t *testing.T) {
	t.Parallel()
	for magic, want := range map[string]string{
		"QFI\xfb": "qcow2", "KDMV": "vmdk", "vhdxfile": "vhdx", "conectix": "vhd",
		"\xfd7zXZ\x00": "compressed by xz", "BZh": "compressed by bzip2",
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			content := noise(mib)
			copy(content, magic)
			s := newImageServer(t, content)
			m := oneDisk()
			a := boot(t, newConductor(t, "1.90"), m)
			c := a.write(info(s.URL, content, nil))
			require.Equal(t, "InvalidImage", c.Error.Type)
			require.Contains(t, c.Error.Details, "its format was said to be raw, but it is "+want)
			requireUntouched(t, m)

			// A server that breaks off within the first bytes does not get by.
			s.mu.Lock()
			s.requests = nil
			s.before = func(n int, w http.ResponseWriter, _ *http.Request) bool {
				if n == 1 {
					cutAfter(content, 2)(w)
				}
				return false
			}
			s.mu.Unlock()
			c = a.write(info(s.URL, content, nil))
			require.Equal(t, "InvalidImage", c.Error.Type)
			require.Equal(t, []string{"", "bytes=2-"}, s.asked("Range"))
			requireUntouched(t, m)
		})
	}
}

func TestDiskFails(t *testing.T) {
	t.Parallel()
	content := noise(2 * mib)
	s := newImageServer(t, content)
	t.Run("to be written to", func(t *testing.T) {
		t.Parallel()
		m := oneDisk()
		m.media["/dev/sda"].(*medium).err = errors.New("medium error")
		c := boot(t, newConductor(t, "1.90"), m).write(info(s.URL, content, nil))
		require.Equal(t, "ImageWriteError", c.Error.Type)
		require.Contains(t, c.Error.Details, "medium error")
		require.Contains(t, c.Error.Details, "could not be wiped: medium error")
	})
	t.Run("to flush", func(t *testing.T) {
		t.Parallel()
		m := oneDisk()
		m.media["/dev/sda"] = brokenMedium{m.media["/dev/sda"], "flush"}
		c := boot(t, newConductor(t, "1.90"), m).write(info(s.URL, content, nil))
		require.Equal(t, "ImageWriteError", c.Error.Type)
		require.Contains(t, c.Error.Details, "flush error")
	})
	t.Run("to close", func(t *testing.T) {
		t.Parallel()
		m := oneDisk()
		m.media["/dev/sda"] = brokenMedium{m.media["/dev/sda"], "close"}
		c := boot(t, newConductor(t, "1.90"), m).write(info(s.URL, content, nil))
		require.Equal(t, "CommandExecutionError", c.Error.Type)
		require.Contains(t, c.Error.Details, "close error")
	})
	t.Run("to be read", func(t *testing.T) {
		t.Parallel()
		m := oneDisk()
		a := boot(t, newConductor(t, "1.90"), m)
		require.Equal(t, "SUCCEEDED", a.write(info(s.URL, content, nil)).Status)
		m.media["/dev/sda"] = brokenMedium{m.media["/dev/sda"], "read"}
		require.Contains(t, a.write(info(s.URL, content, nil)).Error.Details, "read error", "what was written is read back")
		m.media["/dev/sda"] = m.media["/dev/sda"].(brokenMedium).Disk
		require.Equal(t, "SUCCEEDED", a.write(info(s.URL, content, nil)).Status)
		m.media["/dev/sda"] = brokenMedium{m.media["/dev/sda"], "read"}
		c := a.do("standby.get_partition_uuids", struct{}{})
		require.Contains(t, c.Error.Details, "read error")
		m.media["/dev/sda"] = nil
		for _, name := range []string{"standby.get_partition_uuids", "standby.sync"} {
			require.Contains(t, a.do(name, struct{}{}).Error.Details, "no disk")
		}
	})
}

// brokenMedium fails at one thing.
type brokenMedium struct {
	ramdisk.Disk
	at string
}

func (d brokenMedium) fails(at string) error {
	if d.at == at {
		return errors.New(at + " error")
	}
	return nil
}

func (d brokenMedium) Sync() error { return d.fails("flush") }

func (d brokenMedium) Close() error { return d.fails("close") }

func (d brokenMedium) ReadAt(p []byte, off int64) (int, error) {
	if err := d.fails("read"); err != nil {
		return 0, err
	}
	return d.Disk.ReadAt(p, off)
}

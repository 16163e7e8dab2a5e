package ramdisk_test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/task"
)

// noise is content that compresses to nothing less and has no zeros in a row.
func noise(n int) []byte {
	r := rand.NewChaCha8([32]byte{1})
	data := make([]byte, n)
	r.Read(data)
	return data
}

// An imageServer serves content, unless before answers.
type imageServer struct {
	*httptest.Server
	mu       sync.Mutex
	content  []byte
	etag     string
	modified time.Time
	requests []*http.Request
	before   func(n int, w http.ResponseWriter, r *http.Request) (done bool) // n counts requests, from 1
}

func newImageServer(t *testing.T, content []byte) *imageServer {
	s := &imageServer{content: content, etag: `"v1"`}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *imageServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	n, content, etag, modified, before := len(s.requests), s.content, s.etag, s.modified, s.before
	s.mu.Unlock()
	if before != nil && before(n, w, r) {
		return
	}
	if etag != "" {
		w.Header().Set("ETag", etag)
	}
	http.ServeContent(w, r, "", modified, bytes.NewReader(content))
}

// asked returns a header of every request.
func (s *imageServer) asked(header string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, r := range s.requests {
		all = append(all, r.Header.Get(header))
	}
	return all
}

// cutAfter answers with the head of content and breaks the connection.
func cutAfter(content []byte, n int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		w.Header().Set("ETag", `"v1"`)
		w.Write(content[:n])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func sha256Of(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// info is the image_info of content at url, with changes; nil takes away.
func info(url string, content []byte, change map[string]any) map[string]any {
	all := map[string]any{"id": "disk.raw", "urls": []string{url}, "disk_format": "raw", "os_hash_algo": "sha256", "os_hash_value": sha256Of(content)}
	maps.Copy(all, change)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

// write runs the step write_image.
func (a *agent) write(image map[string]any) command {
	return a.do("deploy.execute_deploy_step", writeParams(image))
}

func writeParams(image map[string]any) map[string]any {
	return map[string]any{"step": map[string]any{"interface": "deploy", "step": "write_image", "args": map[string]any{"image_info": image, "configdrive": nil}}}
}

const diskSize = 4 * mib

func oneDisk() *machine { return newMachine(task.Disk{Name: "/dev/sda", Size: diskSize}) }

// requireWritten requires that the disk holds content, and behind it what it had.
func requireWritten(t *testing.T, m *machine, content []byte) {
	t.Helper()
	got := m.content("/dev/sda")
	require.True(t, bytes.Equal(content, got[:len(content)]), "the image is on the disk")
	require.True(t, bytes.Equal(bytes.Repeat([]byte{0xee}, diskSize-len(content)), got[len(content):]), "what is behind it is untouched")
}

// requireWiped requires that nothing on the disk could boot.
func requireWiped(t *testing.T, m *machine) {
	t.Helper()
	got := m.content("/dev/sda")
	require.True(t, bytes.Equal(make([]byte, mib), got[:mib]), "no boot loader and no partition table")
	require.True(t, bytes.Equal(make([]byte, mib), got[diskSize-mib:]), "no second partition table")
}

func requireUntouched(t *testing.T, m *machine) {
	t.Helper()
	require.True(t, bytes.Equal(bytes.Repeat([]byte{0xee}, diskSize), m.content("/dev/sda")), "the disk is as it was")
}

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
		{map[string]any{"image_type": "partition"}, "InvalidImage", `image_type "partition" is not supported`},
		{map[string]any{"disk_format": "qcow2"}, "InvalidImage", `disk_format "qcow2" is not supported`},
		{map[string]any{"disk_format": nil}, "InvalidImage", `disk_format "" is not supported`},
		{map[string]any{"configdrive": "H4sI"}, "ConfigDriveWriteError", "config drives are not supported"},
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

func TestDownloadIsTakenUp(t *testing.T) {
	t.Parallel()
	content := noise(3*mib + 5)
	other := bytes.Clone(content)
	other[0] ^= 1
	middle := func(n int) func(int, http.ResponseWriter, *http.Request) bool {
		return func(request int, w http.ResponseWriter, _ *http.Request) bool {
			if request == 1 {
				cutAfter(content, n)(w)
			}
			return false
		}
	}
	for name, tc := range map[string]struct {
		before   func(int, http.ResponseWriter, *http.Request) bool
		etag     string
		modified time.Time
		served   []byte // from the second request on; nil for content
		ranges   []string
		ifRange  []string
		kind     string // of the error; "" for none
	}{
		"after a whole block":    {before: middle(mib), etag: `"v1"`, ranges: []string{"", "bytes=1048576-"}, ifRange: []string{"", `"v1"`}},
		"in a block":             {before: middle(mib + 7), etag: `"v1"`, ranges: []string{"", "bytes=1048583-"}, ifRange: []string{"", `"v1"`}},
		"before the first byte":  {before: middle(0), etag: `"v1"`, ranges: []string{"", ""}, ifRange: []string{"", ""}},
		"before the last byte":   {before: middle(len(content) - 1), etag: `"v1"`, ranges: []string{"", "bytes=3145732-"}, ifRange: []string{"", `"v1"`}},
		"again and again":        {before: again(content), etag: `"v1"`, ranges: []string{"", "bytes=100-", "bytes=200-", "bytes=300-"}, ifRange: []string{"", `"v1"`, `"v1"`, `"v1"`}},
		"the content changed":    {before: middle(2 * mib), etag: `"v2"`, served: other, ranges: []string{"", "bytes=2097152-"}, ifRange: []string{"", `"v1"`}},
		"it shrank":              {before: middle(2 * mib), etag: `"v2"`, served: content[:mib], ranges: []string{"", "bytes=2097152-"}, ifRange: []string{"", `"v1"`}},
		"it changed, unnoticed":  {before: middle(2 * mib), etag: `"v1"`, served: changedLast(content), ranges: []string{"", "bytes=2097152-"}, ifRange: []string{"", `"v1"`}, kind: "ImageChecksumError"},
		"it grew, unnoticed":     {before: middle(2 * mib), etag: `"v1"`, served: append(bytes.Clone(content), 1), ranges: []string{"", "bytes=2097152-"}, ifRange: []string{"", `"v1"`}, kind: "ImageDownloadError"},
		"another range comes":    {before: anotherRange(content), etag: `"v1"`, ranges: []string{"", "bytes=1048576-"}, ifRange: []string{"", `"v1"`}, kind: "ImageDownloadError"},
		"no range can be served": {before: noRange(content), etag: `"v1"`, ranges: []string{"", "bytes=1048576-"}, ifRange: []string{"", `"v1"`}},
		"there is nothing more":  {before: withoutEnd(content), ranges: []string{"", "bytes=3145733-", ""}, ifRange: []string{"", "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newImageServer(t, content)
			s.etag, s.before = tc.etag, tc.before
			want := content
			if tc.served != nil {
				s.content = tc.served
				want = tc.served
			}
			if strings.Contains(name, "unnoticed") {
				want = content
			}
			m := oneDisk()
			a := boot(t, newConductor(t, "1.90"), m)
			c := a.write(info(s.URL, want, nil))
			require.Equal(t, tc.ranges, s.asked("Range"))
			require.Equal(t, tc.ifRange, s.asked("If-Range"))
			if tc.kind != "" {
				require.Equal(t, "FAILED", c.Status)
				require.Equal(t, tc.kind, c.Error.Type)
				requireWiped(t, m)
				return
			}
			require.Equal(t, "SUCCEEDED", c.Status, "%+v", c.Error)
			require.True(t, bytes.Equal(want, m.content("/dev/sda")[:len(want)]))
		})
	}
}

func changedLast(content []byte) []byte {
	c := bytes.Clone(content)
	c[len(c)-1] ^= 1
	return c
}

// again cuts three connections after 100 bytes each.
func again(content []byte) func(int, http.ResponseWriter, *http.Request) bool {
	return func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n > 3 {
			return false
		}
		from := (n - 1) * 100
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Length", strconv.Itoa(len(content)-from))
		if n > 1 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
			w.WriteHeader(http.StatusPartialContent)
		}
		w.Write(content[from : from+100])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func anotherRange(content []byte) func(int, http.ResponseWriter, *http.Request) bool {
	return func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 1 {
			cutAfter(content, mib)(w)
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(content)-1, len(content)))
		w.WriteHeader(http.StatusPartialContent)
		w.Write(content)
		return true
	}
}

// withoutEnd sends all of content, of a length that it does not tell, and then
// breaks the connection instead of ending the answer.
func withoutEnd(content []byte) func(int, http.ResponseWriter, *http.Request) bool {
	return func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 1 {
			w.(http.Flusher).Flush()
			w.Write(content)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		return false
	}
}

// noRange is a server that knows no ranges, and answers with everything.
func noRange(content []byte) func(int, http.ResponseWriter, *http.Request) bool {
	return func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 1 {
			cutAfter(content, mib)(w)
		}
		w.Write(content)
		return true
	}
}

func TestValidators(t *testing.T) {
	t.Parallel()
	content := noise(2 * mib)
	date := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		etag, modified, want string
	}{
		{`"strong"`, date.Format(http.TimeFormat), `"strong"`},
		{`W/"weak"`, date.Format(http.TimeFormat), date.Format(http.TimeFormat)},
		{"", date.Format(http.TimeFormat), date.Format(http.TimeFormat)},
		{`W/"weak"`, "", ""},
		{"", "", ""},
	} {
		s := newImageServer(t, content)
		s.etag, s.modified = tc.etag, time.Time{}
		if tc.modified != "" {
			s.modified = date
		}
		s.before = func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n > 1 {
				return false
			}
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			for name, value := range map[string]string{"ETag": tc.etag, "Last-Modified": tc.modified} {
				if value != "" {
					w.Header().Set(name, value)
				}
			}
			w.Write(content[:mib])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		a := boot(t, newConductor(t, "1.90"), oneDisk())
		c := a.write(info(s.URL, content, nil))
		require.Equal(t, "SUCCEEDED", c.Status, "%+v", c.Error)
		require.Equal(t, []string{"", tc.want}, s.asked("If-Range"))
	}
}

func TestDownloadFails(t *testing.T) {
	t.Parallel()
	content := noise(2*mib + 1)
	status := func(code int) func(int, http.ResponseWriter, *http.Request) bool {
		return func(_ int, w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(code); return true }
	}
	times := func(n int, f func(http.ResponseWriter)) func(int, http.ResponseWriter, *http.Request) bool {
		return func(request int, w http.ResponseWriter, _ *http.Request) bool {
			if request <= n {
				f(w)
				return true
			}
			return false
		}
	}
	for name, tc := range map[string]struct {
		before   func(int, http.ResponseWriter, *http.Request) bool
		change   func(*ramdisk.Config)
		image    map[string]any
		requests int
		kind     string // of the error; "" for none
		detail   string
		wiped    bool
	}{
		"busy at first":    {before: times(3, func(w http.ResponseWriter) { w.WriteHeader(503) }), requests: 4},
		"too many at once": {before: times(1, func(w http.ResponseWriter) { w.WriteHeader(429) }), requests: 2},
		"time-out":         {before: times(1, func(w http.ResponseWriter) { w.WriteHeader(408) }), requests: 2},
		"hangs up":         {before: times(2, func(http.ResponseWriter) { panic(http.ErrAbortHandler) }), requests: 3},
		"busy for ever":    {before: status(500), requests: 4, kind: "ImageDownloadError", detail: "the server answered 500 Internal Server Error (4 attempts, 0 bytes received)"},
		"not there":        {before: status(404), requests: 1, kind: "ImageDownloadError", detail: "Download of image disk.raw failed: http://HOST/disk.raw: the server answered 404 Not Found"},
		"forbidden":        {before: status(403), requests: 1, kind: "ImageDownloadError", detail: "403"},
		"gone":             {before: status(410), requests: 1, kind: "ImageDownloadError", detail: "410"},
		"no content":       {before: status(204), requests: 1, kind: "ImageDownloadError", detail: "204"},
		"part of it, unasked": {before: func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Range", "bytes 0-0/1")
			w.WriteHeader(http.StatusPartialContent)
			return true
		}, requests: 1, kind: "ImageDownloadError", detail: "206"},
		"empty": {before: status(200), requests: 1, kind: "InvalidImage", detail: "the image is empty"},
		"shorter than said": {before: func(_ int, w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Range") == "" {
				cutAfter(content, mib)(w)
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", mib, len(content)-1, len(content)))
			w.WriteHeader(http.StatusPartialContent)
			return true
		}, requests: 4, kind: "ImageDownloadError", detail: "the image ended after 1048576 of 2097153 bytes (4 attempts, 1048576 bytes received)", wiped: true},
		"compressed on the way": {before: func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(content)
			w.(http.Flusher).Flush() // its length is not known, as it usually is not
			return true
		}, requests: 1, kind: "ImageDownloadError", detail: `encoding "gzip"`},
		"compressed, of known length": {before: func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Encoding", "br")
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			w.Write(content)
			return true
		}, requests: 1, kind: "ImageDownloadError", detail: `encoding "br"`},
		"of unknown length": {before: func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Write(content[:10])
			w.(http.Flusher).Flush()
			w.Write(content[10:])
			return true
		}, requests: 1},
		"stalls": {before: func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n > 1 {
				return false
			}
			w.Header().Set("ETag", `"v1"`)
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			w.Write(content[:mib])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		}, change: func(c *ramdisk.Config) { c.Parameters["ipa-image-download-connection-timeout"] = "0.7" }, requests: 2},
		"stalls for ever": {before: func(_ int, _ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true },
			change: func(c *ramdisk.Config) {
				c.Parameters["ipa-image-download-connection-timeout"], c.Parameters["ipa-image-download-connection-retries"] = "0.3", "1"
			}, requests: 2, kind: "ImageDownloadError", detail: "no data for the time of ipa-image-download-connection-timeout (2 attempts, 0 bytes received)"},
		"takes too long": {before: func(_ int, w http.ResponseWriter, r *http.Request) bool {
			w.Write(content[:mib])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		}, change: func(c *ramdisk.Config) { c.Parameters["ipa-image-download-max-duration"] = "0.9" },
			requests: 1, kind: "ImageDownloadError", detail: "ipa-image-download-max-duration is over", wiped: true},
		"bad authorization": {image: map[string]any{"image_request_authorization": "!hunter2!"}, kind: "ImageDownloadError", detail: "image_request_authorization is not base64"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newImageServer(t, content)
			s.before = tc.before
			m := oneDisk()
			var changes []func(*ramdisk.Config)
			if tc.change != nil {
				changes = append(changes, tc.change)
			}
			a := boot(t, newConductor(t, "1.90"), m, changes...)
			c := a.write(info(s.URL+"/disk.raw?signature=hunter2", content, tc.image))
			require.Len(t, s.asked("Range"), tc.requests)
			if tc.kind == "" {
				require.Equal(t, "SUCCEEDED", c.Status, "%+v", c.Error)
				requireWritten(t, m, content)
				return
			}
			require.Equal(t, "FAILED", c.Status)
			require.Equal(t, tc.kind, c.Error.Type)
			require.Contains(t, c.Error.Details, strings.Replace(tc.detail, "HOST", s.Listener.Addr().String(), 1))
			require.NotContains(t, fmt.Sprint(c.Error), "hunter2")
			if tc.wiped {
				requireWiped(t, m)
			} else {
				requireUntouched(t, m)
			}
		})
	}
}

func TestSecondURL(t *testing.T) {
	t.Parallel()
	content := noise(2 * mib)
	first := newImageServer(t, content)
	first.before = func(n int, w http.ResponseWriter, _ *http.Request) bool {
		if n == 1 {
			cutAfter(bytes.Repeat([]byte("other content"), mib/4), mib)(w)
		}
		w.WriteHeader(http.StatusGone)
		return true
	}
	second := newImageServer(t, content)
	m := oneDisk()
	a := boot(t, newConductor(t, "1.90"), m)
	c := a.write(info("", content, map[string]any{"urls": []string{first.URL, second.URL}}))
	require.Equal(t, "SUCCEEDED", c.Status, "%+v", c.Error)
	requireWritten(t, m, content)
	require.Equal(t, []string{""}, second.asked("Range"), "another URL's content is not gone on with")

	second.before = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusNotFound)
		return true
	}
	c = a.write(info("", content, map[string]any{"urls": []string{first.URL + "/a", second.URL + "/b"}}))
	require.Contains(t, c.Error.Details, "/a: the server answered 410 Gone; "+second.URL+"/b: the server answered 404 Not Found")
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
				require.Contains(t, c.Error.Details, "Writing image to device /dev/sda failed: the image is larger than the disk of 4194304 bytes")
				requireWiped(t, m)
				return
			}
			require.Contains(t, c.Error.Details, "the image of 4194305 bytes is larger than the disk of 4194304 bytes")
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
				require.Equal(t, 2, z.writes)
				require.EqualValues(t, mib+100, z.zeroed)
			} else {
				require.Equal(t, 4, plain.writes)
			}
		})
	}
}

func TestOtherFormats(t *testing.T) {
	t.Parallel()
	for magic, want := range map[string]string{
		"QFI\xfb": "qcow2", "KDMV": "vmdk", "vhdxfile": "vhdx", "conectix": "vhd",
		"\x1f\x8b\x08": "compressed by gzip", "\xfd7zXZ\x00": "compressed by xz", "\x28\xb5\x2f\xfd": "compressed by zstd",
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
			require.Contains(t, c.Error.Details, "disk_format is raw, but the image is "+want)
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
			requireWiped(t, m)
		})
	}
}

func TestImageCredentials(t *testing.T) {
	t.Parallel()
	content := noise(mib)
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:hunter2"))
	for name, tc := range map[string]struct {
		change map[string]any
		want   string
	}{
		"none":                 {nil, ""},
		"basic":                {map[string]any{"image_server_auth_strategy": "http_basic", "image_server_user": "user", "image_server_password": "hunter2"}, basic},
		"not asked for":        {map[string]any{"image_server_user": "user", "image_server_password": "hunter2"}, ""},
		"authorization":        {map[string]any{"image_request_authorization": base64.StdEncoding.EncodeToString([]byte("Bearer hunter2"))}, "Bearer hunter2"},
		"in the URL":           {map[string]any{"urls": nil}, basic},
		"authorization counts": {map[string]any{"image_server_auth_strategy": "http_basic", "image_server_user": "a", "image_server_password": "b", "image_request_authorization": base64.StdEncoding.EncodeToString([]byte("Bearer hunter2"))}, "Bearer hunter2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newImageServer(t, content)
			var log bytes.Buffer
			a := boot(t, newConductor(t, "1.90"), oneDisk(), logTo(&log))
			image := info(s.URL+"/disk.raw?s=hunter2", content, tc.change)
			if image["urls"] == nil {
				image["urls"] = []string{strings.Replace(s.URL, "http://", "http://user:hunter2@", 1)}
			}
			c := a.write(image)
			require.Equal(t, "SUCCEEDED", c.Status, "%+v", c.Error)
			require.Equal(t, []string{tc.want}, s.asked("Authorization"))

			// Nothing of it is in what is said of a failure.
			s.before = func(_ int, w http.ResponseWriter, r *http.Request) bool { panic(http.ErrAbortHandler) }
			c = a.write(image)
			require.Equal(t, "ImageDownloadError", c.Error.Type)
			require.NotContains(t, fmt.Sprintf("%+v", c.Error), "hunter2")
			a.cancel(nil)
			a.end()
			require.NotContains(t, log.String(), "hunter2")
			require.NotContains(t, log.String(), token)
		})
	}
}

// TestCancelWhileWriting ends an agent in the middle of an image.
func TestCancelWhileWriting(t *testing.T) {
	t.Parallel()
	content := noise(3 * mib)
	s := newImageServer(t, content)
	s.before = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		w.Write(content[:2*mib])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	}
	m := oneDisk()
	writes := make(chan struct{}, 10)
	m.media["/dev/sda"].(*medium).hold = func() { writes <- struct{}{} }
	a := boot(t, newConductor(t, "1.90"), m)
	a.post("", "deploy.execute_deploy_step", writeParams(info(s.URL, content, nil)))
	<-writes
	<-writes
	why := errors.New("enough")
	a.cancel(why)
	require.Equal(t, why, a.end())
	requireWiped(t, m)
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
		m.media["/dev/sda"] = brokenMedium{m.media["/dev/sda"], "read"}
		a := boot(t, newConductor(t, "1.90"), m)
		require.Equal(t, "SUCCEEDED", a.write(info(s.URL, content, nil)).Status)
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

func (d brokenMedium) Sync() error  { return d.fails("flush") }
func (d brokenMedium) Close() error { return d.fails("close") }
func (d brokenMedium) ReadAt(p []byte, off int64) (int, error) {
	if err := d.fails("read"); err != nil {
		return 0, err
	}
	return d.Disk.ReadAt(p, off)
}

package ramdisk_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent/ramdisk"
)

func FuzzCommandBody(f *testing.F) {
	for _, body := range []string{
		`{"name": "standby.sync", "params": {}}`, `{"name": "x", "params": null}`, `{"name": 1, "params": []}`, ``, `null`, `[]`, "\xff",
		`{"name": "standby.prepare_image", "params": {"image_info": {"id": "a", "urls": ["http://x/y?z"], "disk_format": "raw", "checksum": "sha256:00"}, "configdrive": {}}}`,
		`{"name": "d", "params": {"image_info": {"id": "a", "urls": ["http://x"], "os_hash_algo": "md5", "os_hash_value": "d41d8cd98f00b204e9800998ecf8427e"}, "deploy_version": {"a": "1"}}}`,
		`{"name": "d", "params": {"image_info": {"id": "a", "urls": ["http://x"], "checksum": "http://x/SUMS"}, "deploy_version": 7}}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		name, err := ramdisk.DecodeCommandForTest(body)
		if err != nil {
			require.Empty(t, name)
			require.Less(t, len(err.Error()), 200)
			return
		}
		require.NotEmpty(t, name)
		var v map[string]any
		require.NoError(t, json.Unmarshal(body, &v), "only JSON objects are commands")
		require.Equal(t, v["name"], name)
	})
}

func FuzzLookupAnswer(f *testing.F) {
	for _, body := range []string{
		`{"node": {"uuid": "x", "properties": {"a": 1}}, "config": {"heartbeat_timeout": 300, "agent_token": "t"}}`, `{"node": {"uuid": "x"}, "heartbeat_timeout": 1}`,
		`{"node": {"uuid": "x"}, "config": {"heartbeat_timeout": 1e-300}}`, `{"node": {"uuid": "x"}, "config": {"heartbeat_timeout": 1e300}}`, `null`, `[]`, ``,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		uuid, timeout, err := ramdisk.DecodeLookupForTest(body)
		if err != nil {
			require.Less(t, len(err.Error()), 200)
			return
		}
		require.NotEmpty(t, uuid)
		require.GreaterOrEqual(t, timeout, time.Duration(0))
		require.LessOrEqual(t, timeout, 1e6*time.Second)
	})
}

func FuzzFaultString(f *testing.F) {
	for _, body := range []string{
		`{"faultstring": "Node not found"}`, `{"error_message": {"faultstring": "x\n"}}`, `{"error_message": "{\"faultstring\": \"y\"}"}`, `{"error_message": "{\"error_message\": \"{}\"}"}`, `"x"`, ``, `{`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		text := ramdisk.FaultStringForTest(body)
		require.Less(t, len(text), 4*300+3)
		require.False(t, strings.ContainsFunc(text, unicode.IsControl), "it goes into a log")
	})
}

func TestFaultString(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"faultstring": "a"}`:                          `"a"`,
		`{"error_message": {"faultstring": "a"}}`:       `"a"`,
		`{"error_message": "{\"faultstring\": \"a\"}"}`: `"a"`,
		`{"error_message": "plain"}`:                    ``,
		`{"error_message": 7}`:                          ``,
		`{}`:                                            ``,
		`<html>`:                                        ``,
		`{"error_message": {"error_message": {"error_message": {"faultstring": "deep"}}}}`: ``,
	} {
		require.Equal(t, want, ramdisk.FaultStringForTest([]byte(body)), "%s", body)
	}
}

package ramdisk_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/task"
)

func TestDocuments(t *testing.T) {
	t.Parallel()
	a := boot(t, newConductor(t, "1.90"), newMachine())
	before := float64(time.Now().Unix())
	var root struct {
		Name     string
		Versions []struct{ ID string }
		Default  struct {
			ID    string
			Links []struct{ Href, Rel string }
		} `json:"default_version"`
	}
	code, body := a.call("GET", "/?agent_token=none", "")
	require.Equal(t, http.StatusOK, code)
	require.NoError(t, json.Unmarshal(body, &root))
	require.Equal(t, "OpenStack Ironic Python Agent API", root.Name)
	require.Equal(t, "v1", root.Default.ID)
	require.Equal(t, a.url+"/v1/", root.Default.Links[0].Href)
	require.Len(t, root.Versions, 1)

	var v1 struct {
		ID       string
		Commands []struct{ Href, Rel string }
		Status   []struct{ Href, Rel string }
	}
	var status struct {
		Started float64 `json:"started_at"`
		Version string
	}
	for _, slash := range []string{"", "/"} {
		code, body = a.call("GET", "/v1"+slash+"?agent_token=none", "")
		require.Equal(t, http.StatusOK, code)
		require.NoError(t, json.Unmarshal(body, &v1))
		require.Equal(t, "v1", v1.ID)
		require.Equal(t, a.url+"/v1/commands/", v1.Commands[0].Href)

		code, body = a.call("GET", "/v1/status"+slash+"?agent_token=none", "")
		require.Equal(t, http.StatusOK, code)
		require.NoError(t, json.Unmarshal(body, &status))
		require.InDelta(t, before, status.Started, 60)
		require.Equal(t, "7.7.7", status.Version)
	}
}

// TestPaths makes every request with and without a slash at the end, and with
// and without the version: none is answered by a redirect, which some clients
// drop the body at.
func TestPaths(t *testing.T) {
	t.Parallel()
	a := boot(t, newConductor(t, "1.90"), newMachine())
	id := a.do("standby.sync", struct{}{}).ID
	const command = `{"name": "standby.sync", "params": {}}`
	for _, tc := range []struct {
		method, path, body string
		code               int
	}{
		{"GET", "/commands", "", 200},
		{"HEAD", "/commands", "", 200},
		{"POST", "/commands", command, 200},
		{"GET", "/commands/" + id, "", 200},
		{"GET", "/status", "", 200},
		{"PUT", "/commands", command, 405},
		{"POST", "/commands/" + id, command, 405},
		{"POST", "/status", command, 405},
		{"DELETE", "/commands/" + id, "", 405},
		{"GET", "/commands/none", "", 404},
		{"GET", "/commands/" + id + "/more", "", 404},
		{"GET", "/vendor", "", 404},
		{"POST", "/v2/commands", command, 404},
		{"GET", "/v1x", "", 404},
	} {
		for _, version := range []string{"/v1", ""} {
			for _, slash := range []string{"", "/"} {
				code, body := a.call(tc.method, version+tc.path+slash, tc.body)
				require.Equal(t, tc.code, code, "%s %s%s%s: %s", tc.method, version, tc.path, slash, body)
				if code >= 400 {
					requireFault(t, body, "Client")
				}
			}
		}
	}
}

// requireFault requires the form of errors of the API and returns the text.
func requireFault(t *testing.T, body []byte, who string) string {
	t.Helper()
	var fault struct{ FaultCode, FaultString string }
	require.NoError(t, json.Unmarshal(body, &fault), "%s", body)
	require.Equal(t, who, fault.FaultCode)
	require.NotEmpty(t, fault.FaultString)
	return fault.FaultString
}

func TestAuthorization(t *testing.T) {
	t.Parallel()
	a := boot(t, newConductor(t, "1.90"), newMachine())
	id := a.do("standby.sync", struct{}{}).ID
	for _, given := range []string{"x", token[1:], token + "x", strings.ToUpper(token), "******"} {
		for _, request := range []string{"GET /v1/commands/", "GET /v1/commands/" + id, "GET /v1/commands/none", "POST /v1/commands/"} {
			method, path, _ := strings.Cut(request, " ")
			code, body := a.call(method, path+"?agent_token="+given, `{"name": "standby.power_off", "params": {}}`)
			require.Equal(t, http.StatusUnauthorized, code, "%s with %q", request, given)
			require.Equal(t, "401 Unauthorized: Token invalid.", requireFault(t, body, "Client"))
		}
	}
	resp, err := a.client.Post(a.url+"/v1/commands/", "application/json", strings.NewReader(`{"name": "standby.power_off", "params": {}}`))
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode, "a command without a token")
	var list struct{ Commands []command }
	_, body := a.call("GET", "/v1/commands/", "")
	require.NoError(t, json.Unmarshal(body, &list))
	require.Len(t, list.Commands, 1, "nothing was begun by those without the token")
	require.NotContains(t, string(body), token)
}

// bare reads without a token.
func (a *agent) bare(path string) (int, []byte) {
	resp, err := a.client.Get(a.url + path)
	require.NoError(a.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(a.t, err)
	return resp.StatusCode, body
}

// TestReadingWithoutToken is how stock conductors of before 2025 read. They see
// no more than they need, until somebody has read with the token.
func TestReadingWithoutToken(t *testing.T) {
	t.Parallel()
	content := noise(mib)
	s := newImageServer(t, content)
	a := boot(t, newConductor(t, "1.90"), oneDisk())
	image := info(s.URL+"/disk.raw", content, nil)
	image["image_server_password"] = "canary"
	c := a.write(image)
	require.Equal(t, "SUCCEEDED", c.Status, "%+v", c.Error)
	a.do("poll.get_hardware_info", struct{}{})
	for _, path := range []string{"/v1/commands/", "/v1/commands/" + c.ID} {
		code, body := a.bare(path)
		require.Equal(t, http.StatusOK, code)
		require.Contains(t, string(body), `"deploy_step":{"interface":"deploy","step":"write_image"}`)
		require.Contains(t, string(body), "image (disk.raw) written to device")
		require.NotContains(t, string(body), "canary")
		require.NotContains(t, string(body), s.URL)
		require.NotContains(t, string(body), "mac_address")
	}
	_, body := a.call("GET", "/v1/commands/", "")
	require.Contains(t, string(body), "canary", "the conductor's own")
	code, _ := a.bare("/v1/commands/")
	require.Equal(t, http.StatusUnauthorized, code, "this conductor reads with the token")
}

// TestWireForms compares results with those of ironic-python-agent, letter by
// letter but for their ids.
func TestWireForms(t *testing.T) {
	t.Parallel()
	m := newMachine(task.Disk{Name: "/dev/sda", Size: 2 * mib, Model: "m"})
	a := boot(t, newConductor(t, "1.90"), m)
	for _, tc := range []struct{ name, params, query, want string }{
		{"standby.sync", `{}`, "",
			`{"id":ID,"command_name":"sync","command_status":"SUCCEEDED","command_error":null,"command_result":null}`},
		{"standby.sync", `{"unknown": 1}`, "?wait=false",
			`{"id":ID,"command_name":"sync","command_status":"SUCCEEDED","command_error":null,"command_result":null}`},
		{"standby.get_partition_uuids", `{}`, "",
			`{"id":ID,"command_name":"get_partition_uuids","command_status":"SUCCEEDED","command_error":null,"command_result":{}}`},
		{"poll.get_hardware_info", `{}`, "",
			`{"id":ID,"command_name":"get_hardware_info","command_status":"SUCCEEDED","command_error":null,"command_result":{"disks":[{"name":"/dev/sda","model":"m","size":2097152,"rotational":false,"wwn":"","serial":"","vendor":"","wwn_with_extension":"","wwn_vendor_extension":"","hctl":"","by_path":"","tran":""}],"interfaces":[{"name":"eth0","mac_address":"52:54:00:00:00:01","ipv4_address":"","ipv6_address":"","has_carrier":false},{"name":"ib0","mac_address":"","ipv4_address":"","ipv6_address":"","has_carrier":false},{"name":"eth1","mac_address":"52:54:00:00:00:02","ipv4_address":"","ipv6_address":"","has_carrier":false}]}}`},
		{"deploy.get_deploy_steps", `{"node": null, "ports": []}`, "",
			`{"id":ID,"command_name":"get_deploy_steps","command_status":"SUCCEEDED","command_error":null,"command_result":{"deploy_steps":{"FerruleHardwareManager":[{"step":"write_image","priority":0,"interface":"deploy","reboot_requested":false,"abortable":false}]},"hardware_manager_version":{"FerruleHardwareManager":"2"}}}`},
		{"clean.get_clean_steps", `{"node": {"uuid": "x"}, "ports": []}`, "",
			`{"id":ID,"command_name":"get_clean_steps","command_status":"SUCCEEDED","command_error":null,"command_result":{"clean_steps":{"FerruleHardwareManager":[{"step":"erase_devices","priority":10,"interface":"deploy","reboot_requested":false,"abortable":true},{"step":"erase_devices_metadata","priority":99,"interface":"deploy","reboot_requested":false,"abortable":true}]},"hardware_manager_version":{"FerruleHardwareManager":"2"}}}`},
		{"clean.get_clean_steps", `{"node": 7}`, "", // a failed synchronous command keeps its whole name
			`{"id":ID,"command_name":"clean.get_clean_steps","command_status":"FAILED","command_error":{"type":"InvalidCommandParamsError","code":400,"message":"Invalid command parameters","details":"'node' is not a node"},"command_result":null}`},
		{"clean.execute_clean_step", `{"step": {"step": "erase_devices_metadata", "interface": "deploy"}}`, "?wait=true",
			`{"id":ID,"command_name":"execute_clean_step","command_status":"SUCCEEDED","command_error":null,"command_result":{"clean_result":null,"clean_step":{"step":"erase_devices_metadata","interface":"deploy"}}}`},
		{"clean.execute_clean_step", `{"step": {"step": "dance"}}`, "?wait=True",
			`{"id":ID,"command_name":"execute_clean_step","command_status":"FAILED","command_error":{"type":"HardwareManagerMethodNotFound","code":500,"message":"No HardwareManager found to handle method","details":"Could not find method: dance"},"command_result":null}`},
		{"clean.execute_clean_step", `{"step": [1]}`, "?wait=true",
			`{"id":ID,"command_name":"execute_clean_step","command_status":"FAILED","command_error":{"type":"CommandExecutionError","code":500,"message":"Command execution failed","details":"malformed clean step: an object with a name in \"step\" is wanted"},"command_result":null}`},
		{"clean.execute_clean_step", `{"step": {"step": "erase_devices"}, "clean_version": {"FerruleHardwareManager": "0"}}`, "?wait=true",
			`{"id":ID,"command_name":"execute_clean_step","command_status":"CLEAN_VERSION_MISMATCH","command_error":{"type":"VersionMismatch","code":409,"message":"Hardware manager versions differ","details":"Current versions: map[FerruleHardwareManager:2], versions used by the conductor: {\"FerruleHardwareManager\": \"0\"}"},"command_result":null}`},
	} {
		code, body := a.call("POST", "/v1/commands/"+tc.query, fmt.Sprintf(`{"name": %q, "params": %s}`, tc.name, tc.params))
		require.Equal(t, http.StatusOK, code, "%s", body)
		var c command
		require.NoError(t, json.Unmarshal(body, &c))
		require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, c.ID)
		require.Equal(t, strings.Replace(tc.want, "ID", `"`+c.ID+`"`, 1), string(body))
		_, again := a.call("GET", "/v1/commands/"+c.ID, "")
		require.Equal(t, string(body), string(again))
	}
}

func TestCommandRefused(t *testing.T) {
	t.Parallel()
	a := boot(t, newConductor(t, "1.90"), newMachine())
	for _, tc := range []struct {
		body string
		code int
		want string
	}{
		{``, 400, "400 Bad Request: The body is not a JSON object."},
		{`hello`, 400, "400 Bad Request: The body is not a JSON object."},
		{`[]`, 400, "400 Bad Request: The body is not a JSON object."},
		{`{} {}`, 400, "400 Bad Request: The body is not a JSON object."},
		{`null`, 400, "400 Bad Request: Missing or invalid name or params"},
		{`{"name": "standby.sync"}`, 400, "400 Bad Request: Missing or invalid name or params"},
		{`{"params": {}}`, 400, "400 Bad Request: Missing or invalid name or params"},
		{`{"name": "standby.sync", "params": null}`, 400, "400 Bad Request: Missing or invalid name or params"},
		{`{"name": "standby.sync", "params": []}`, 400, "400 Bad Request: Missing or invalid name or params"},
		{`{"name": 7, "params": {}}`, 400, "400 Bad Request: Missing or invalid name or params"},
		{`{"NAME": "standby.sync", "params": {}}`, 400, "400 Bad Request: Missing or invalid name or params"},
		{`{"name": "sync", "params": {}}`, 400, "Invalid command: Command name must be of the form <extension>.<name>"},
		{`{"name": "foo.bar", "params": {}}`, 404, "Not found: Extension with id foo not found."},
		{`{"name": "standby.nope", "params": {}}`, 400, "Invalid command: Unknown command: nope"},
		{`{"name": "standby.sync.x", "params": {}}`, 400, "Invalid command: Unknown command: sync.x"},
		{`{"name": "deploy.execute_deploy_step", "params": {}}`, 400, "Invalid command parameters: 'step' is missing"},
		{`{"name": "standby.prepare_image", "params": {}}`, 400, "Invalid command parameters: 'image_info' is missing"},
		{`{"name": "standby.prepare_image", "params": {"image_info": {"id": "x"}}}`, 400, "Invalid command parameters: Image is missing 'urls' field."},
	} {
		code, body := a.call("POST", "/v1/commands/", tc.body)
		require.Equal(t, tc.code, code, "%s: %s", tc.body, body)
		require.Equal(t, tc.want, requireFault(t, body, "Client"))
	}
	_, body := a.call("GET", "/v1/commands/", "")
	require.JSONEq(t, `{"commands": []}`, string(body), "a refused command leaves no trace")
}

// raw writes a request that package http would not make, and returns the answer.
func (a *agent) raw(request string) string {
	conn, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
	require.NoError(a.t, err)
	defer conn.Close()
	require.NoError(a.t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, request)
	require.NoError(a.t, err)
	require.NoError(a.t, conn.(*net.TCPConn).CloseWrite())
	answer, err := io.ReadAll(conn)
	require.NoError(a.t, err)
	return string(answer)
}

func TestCommandBodyLimits(t *testing.T) {
	t.Parallel()
	a := boot(t, newConductor(t, "1.90"), newMachine())
	const head = "POST /v1/commands/?agent_token=" + token + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
	answer := a.raw(head + "Content-Length: 201326593\r\n\r\n{")
	require.Contains(t, answer, "HTTP/1.1 413 ")
	require.Contains(t, answer, "A command has at most 201326592 bytes.")
	answer = a.raw(head + "Content-Length: 100\r\n\r\n{")
	require.Contains(t, answer, "HTTP/1.1 400 ")
	require.Contains(t, answer, "ended early")
	answer = a.raw(strings.Replace(head, token, "wrong", 1) + "Content-Length: 201326593\r\n\r\n{")
	require.Contains(t, answer, "HTTP/1.1 401 ", "nothing is read of strangers")
}

// TestOneCommandAtATime holds one command up and looks at it from all sides.
func TestOneCommandAtATime(t *testing.T) {
	t.Parallel()
	m := newMachine(task.Disk{Name: "/dev/sda", Size: 2 * mib})
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	m.media["/dev/sda"].(*medium).hold = func() {
		select {
		case held <- struct{}{}:
		default:
		}
		<-hold
	}
	a := boot(t, newConductor(t, "1.90"), m)
	first := a.post("", "clean.execute_clean_step", map[string]any{"step": map[string]any{"step": "erase_devices"}})
	require.Equal(t, "RUNNING", first.Status)
	<-held
	for _, name := range []string{"standby.sync", "clean.execute_clean_step", "foo.bar"} {
		code, body := a.call("POST", "/v1/commands/", fmt.Sprintf(`{"name": %q, "params": {"step": {}}}`, name))
		require.Equal(t, http.StatusConflict, code)
		require.Equal(t, "Agent is busy: executing command execute_clean_step", requireFault(t, body, "Client"))
	}
	code, body := a.call("GET", "/v1/commands/"+first.ID+"?wait=no", "")
	require.Equal(t, http.StatusOK, code)
	require.JSONEq(t, `{"id": "`+first.ID+`", "command_name": "execute_clean_step", "command_status": "RUNNING", "command_error": null,
		"command_result": {"progress": {"done": 0, "total": 2097152}}}`, string(body))

	waited := make(chan string, 1)
	go func() {
		resp, err := a.client.Get(a.url + "/v1/commands/" + first.ID + "?wait=true&agent_token=" + token)
		if err != nil {
			waited <- err.Error()
			return
		}
		defer resp.Body.Close()
		answer, _ := io.ReadAll(resp.Body)
		waited <- string(answer)
	}()
	close(hold)
	require.Contains(t, <-waited, `"SUCCEEDED"`)
	second := a.do("standby.sync", struct{}{})
	require.Equal(t, "SUCCEEDED", second.Status)

	var list struct{ Commands []command }
	_, body = a.call("GET", "/v1/commands/", "")
	require.NoError(t, json.Unmarshal(body, &list))
	require.Len(t, list.Commands, 2)
	require.Equal(t, []string{first.ID, second.ID}, []string{list.Commands[0].ID, list.Commands[1].ID}, "the oldest first")
}

func TestCommandListIsBounded(t *testing.T) {
	t.Parallel()
	a := boot(t, newConductor(t, "1.90"), newMachine())
	var ids []string
	for range 503 {
		ids = append(ids, a.post("", "standby.sync", struct{}{}).ID)
	}
	var list struct{ Commands []command }
	_, body := a.call("GET", "/v1/commands/", "")
	require.NoError(t, json.Unmarshal(body, &list))
	require.Len(t, list.Commands, 500)
	require.Equal(t, ids[3], list.Commands[0].ID)
	require.Equal(t, ids[502], list.Commands[499].ID)
	code, body := a.call("GET", "/v1/commands/"+ids[0], "")
	require.Equal(t, http.StatusNotFound, code)
	require.Contains(t, requireFault(t, body, "Client"), ids[0])
}

func TestSyncCommandFails(t *testing.T) {
	t.Parallel()
	m := newMachine(task.Disk{Name: "/dev/sda", Size: mib})
	a := boot(t, newConductor(t, "1.90"), m)
	m.hostErr = errors.New("no such bus")
	c := a.post("", "poll.get_hardware_info", struct{}{})
	require.Equal(t, "FAILED", c.Status)
	require.Equal(t, "poll.get_hardware_info", c.Name)
	require.Equal(t, &commandErr{"CommandExecutionError", 500, "Command execution failed", "no such bus"}, c.Error)
}

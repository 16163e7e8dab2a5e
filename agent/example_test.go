package agent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
)

// A ramdisk looks itself up, receives a token, and heartbeats.
func Example() {
	ctx := context.Background()
	manager := task.NewManager(new(task.MemoryStore), task.ManagerConfig{})
	node := &task.Node{UUID: "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", ProvisionState: task.DeployWait}
	if err := manager.Create(ctx, node, &task.Port{Address: "52:54:00:12:34:56"}); err != nil {
		fmt.Println(err)
		return
	}
	handler, err := agent.NewHandler(agent.HandlerConfig{
		Manager: manager,
		Heartbeat: func(_ context.Context, node string, h deploy.Heartbeat) error { // usually the conductor's
			fmt.Println("node", node[:8], "is at", h.CallbackURL)
			return nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	// What follows is the ramdisk's side; a program gives the handler to http.Serve.
	call := func(method, path, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		return w
	}
	var found struct {
		Node   struct{ UUID string }
		Config struct {
			Token string `json:"agent_token"`
		}
	}
	w := call("GET", "/v1/lookup?addresses=52:54:00:12:34:56", "")
	if err := json.Unmarshal(w.Body.Bytes(), &found); err != nil {
		fmt.Println(err)
		return
	}
	for _, token := range []string{found.Config.Token, "a guess"} {
		body := fmt.Sprintf(`{"callback_url": "http://192.0.2.50:9999", "agent_version": "9.14.1", "agent_token": %q}`, token)
		w = call("POST", "/v1/heartbeat/"+found.Node.UUID, body)
		fmt.Println("answered", w.Code)
	}
	// Output:
	// node 1be26c0b is at http://192.0.2.50:9999
	// answered 202
	// answered 400
}

// Validate tells everything that is wrong at once.
func ExampleDeploy_Validate() {
	d, err := agent.New(agent.Config{APIURL: "http://192.0.2.1:6385"})
	if err != nil {
		fmt.Println(err)
		return
	}
	t := &task.Task{
		Node:   &task.Node{Name: "n1", InstanceInfo: task.Info{"image_source": "/srv/disk.vmdk", "image_disk_format": "vmdk", "image_checksum": "d41d8cd98f00b204e9800998ecf8427e"}},
		Driver: &driver.Driver{Boot: new(drivertest.Boot), Deploy: d},
	}
	fmt.Println(d.Validate(context.Background(), t))
	// Output:
	// agent.Validate: node n1: instance_info.image_disk_format: invalid: "vmdk" (set it to one of raw, qcow2)
	// agent.Validate: node n1: instance_info.image_source: invalid: files of this host are not served (use an http or https URL, with credentials in image_server_user and image_server_password)
	// agent.Validate: node n1: instance_info.image_checksum: invalid: MD5 does not protect against a forged image (set image_os_hash_algo to sha256 and image_os_hash_value to the image's checksum)
}

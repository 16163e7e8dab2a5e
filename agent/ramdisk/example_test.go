package ramdisk_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/ferrule/ferrule/agent/ramdisk"
	"github.com/ferrule/ferrule/task"
)

// A box is a machine without disks.
type box struct{}

func (box) Interfaces(context.Context) ([]ramdisk.Interface, error) {
	return []ramdisk.Interface{{Name: "eth0", MACAddress: "52:54:00:12:34:56"}}, nil
}
func (box) Disks(context.Context) ([]task.Disk, error) { return nil, nil }
func (box) OpenDisk(context.Context, string) (ramdisk.Disk, error) {
	return nil, fmt.Errorf("no disks here")
}
func (box) PowerOff(context.Context) error { fmt.Println("the machine powers off"); return nil }
func (box) Reboot(context.Context) error   { return nil }

// An agent finds its node, calls, and is told to power its machine off.
func Example() {
	called := make(chan string, 10)
	conductor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			io.WriteString(w, `{"default_version": {"id": "v1", "version": "1.72", "min_version": "1.1"}}`)
		case "/v1/lookup":
			fmt.Println("lookup of", r.URL.Query().Get("addresses"))
			io.WriteString(w, `{"node": {"uuid": "node-1"}, "config": {"heartbeat_timeout": 300, "agent_token": "an example of what should be random"}}`)
		default:
			var beat struct {
				URL   string `json:"callback_url"`
				Token string `json:"agent_token"`
			}
			json.NewDecoder(r.Body).Decode(&beat)
			w.WriteHeader(http.StatusAccepted)
			called <- beat.URL + "/v1/commands/?wait=true&agent_token=" + strings.ReplaceAll(beat.Token, " ", "+")
		}
	}))
	defer conductor.Close()

	ended := make(chan error)
	go func() {
		ended <- ramdisk.Run(context.Background(), ramdisk.Config{
			Host:       box{},
			Parameters: ramdisk.ParseCommandLine("nofb ipa-api-url=" + conductor.URL),
			Listen:     "127.0.0.1:0",
		})
	}()
	resp, err := http.Post(<-called, "application/json", strings.NewReader(`{"name": "standby.power_off", "params": {}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	fmt.Println(resp.Status, <-ended)
	// Output:
	// lookup of 52:54:00:12:34:56
	// the machine powers off
	// 200 OK <nil>
}

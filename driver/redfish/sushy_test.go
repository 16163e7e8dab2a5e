package redfish_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/vmedia"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/bmc"
	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/driver/redfish"
	"github.com/ferrule/ferrule/driver/redfish/redfishtest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// An exchange is one request of ours and what the Redfish emulator of sushy-tools
// answered: testdata/exchanges has what was seen on the wire while a machine of
// libvirt was started from an ISO, reduced to what is used here, with names of our
// own. Equal ones in a row are one. TestSushyTools writes them.
type exchange struct {
	Ask    string          `json:"ask"` // method and path
	Body   json.RawMessage `json:"body,omitempty"`
	Status int             `json:"status"`
	Answer json.RawMessage `json:"answer,omitempty"`
}

// exampleISO stands for the ISO's URL in exchanges, and exampleID for what the
// emulator calls the system and its manager.
const (
	exampleISO = "http://192.0.2.1/node.iso"
	exampleID  = "1"
)

func isImage(s string) bool { return strings.HasSuffix(s, ".iso") }

// anonymous puts the example's URL in place of the ISO's in a request, and returns
// the one that was there.
func anonymous(body []byte) (rest json.RawMessage, image string) {
	var fields map[string]any
	if json.Unmarshal(body, &fields) != nil {
		return nil, ""
	}
	if url, ok := fields["Image"].(string); ok && isImage(url) {
		image, fields["Image"] = url, exampleISO
	}
	rest, _ = json.Marshal(fields)
	return rest, image
}

// A replay answers as in exchanges, and nothing else.
type replay struct {
	t *testing.T

	mu    sync.Mutex // over what follows
	turns []exchange
	next  int
	image string // that is inserted
}

func (r *replay) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	data, err := io.ReadAll(q.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	body, image := anonymous(data)
	if image != "" {
		r.image = image
	}
	asked := exchange{Ask: q.Method + " " + q.URL.Path, Body: body}
	var turn exchange
	switch {
	case r.next < len(r.turns) && same(r.turns[r.next], asked):
		turn = r.turns[r.next]
		r.next++
	case r.next > 0 && same(r.turns[r.next-1], asked):
		turn = r.turns[r.next-1]
	default:
		r.t.Errorf("asked %s %s, which is not its turn: %d of %d", asked.Ask, body, r.next, len(r.turns))
		panic(http.ErrAbortHandler)
	}
	if user, password, _ := q.BasicAuth(); q.URL.Path != "/redfish/v1/" && (user != bmctest.User || password != bmctest.Password) {
		r.t.Errorf("%s without the password, in the place of a session", asked.Ask)
	}
	w.WriteHeader(turn.Status)
	_, _ = w.Write(bytes.ReplaceAll(turn.Answer, []byte(exampleISO), []byte(r.image)))
}

func same(a, b exchange) bool {
	var compact bytes.Buffer
	if len(a.Body) > 0 && json.Compact(&compact, a.Body) != nil {
		return false
	}
	return a.Ask == b.Ask && compact.String() == string(b.Body)
}

// startFromISO takes a machine from wherever it is into its ramdisk, has that
// looked at, and leaves the machine off and ready for its disk. An image that is not
// there is refused before.
func startFromISO(t *testing.T, tk *task.Task, bmcs *redfish.BMCs, images string, look func()) {
	d, ctx := driver.Of(tk), t.Context()
	b := d.Boot
	require.NoError(t, driver.SetPower(ctx, tk, driver.PowerOff))
	c, err := bmcs.Client(redfish.Access{Address: tk.Node.DriverInfo.Text("redfish_address"), SystemID: tk.Node.DriverInfo.Text("redfish_system_id"),
		Username: bmctest.User, Password: bmctest.Password})
	require.NoError(t, err)
	require.Equal(t, bmc.Refused, bmc.ClassOf(c.Insert(ctx, boot.CDROM, images+"/missing.iso")))
	require.NoError(t, b.Validate(ctx, tk))
	require.NoError(t, b.PrepareRamdisk(ctx, tk, boot.Params{"ipa-api-url": "http://192.0.2.1:6385", "lab.d": "two words"}))
	require.NoError(t, driver.SetPower(ctx, tk, driver.PowerOn))
	look()
	require.NoError(t, driver.SetPower(ctx, tk, driver.PowerOff))
	require.NoError(t, b.PrepareInstance(ctx, tk))
	setting, err := d.Management.BootDevice(ctx, tk)
	require.NoError(t, err)
	require.Equal(t, driver.BootSetting{Device: boot.Disk, Persistent: true}, setting)
	state, err := d.Power.PowerState(ctx, tk)
	require.NoError(t, err)
	require.Equal(t, driver.PowerOff, state)
}

// sushyTask returns a task on a node whose BMC is an emulator's.
func sushyTask(bmcs *redfish.BMCs, b *vmedia.Boot, address, system string, mode task.BootMode) *task.Task {
	n := tasktest.Node("sushy")
	n.Properties = task.Info{"capabilities": "boot_mode:" + string(mode)}
	n.DriverInfo = task.Info{"redfish_address": address, "redfish_username": bmctest.User, "redfish_password": bmctest.Password, "redfish_system_id": system}
	return &task.Task{Node: n, Driver: &driver.Driver{Power: bmcs.Power(), Management: bmcs.Management(), Boot: b}}
}

func TestSushyExchanges(t *testing.T) {
	for _, mode := range []task.BootMode{task.BIOS, task.UEFI} {
		t.Run(string(mode), func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", "exchanges", "sushy-"+string(mode)+".json"))
			require.NoError(t, err)
			r := &replay{t: t}
			require.NoError(t, json.Unmarshal(data, &r.turns))
			server := httptest.NewServer(r)
			t.Cleanup(server.Close)
			s := newSite(t, redfishtest.Generic)
			tk := sushyTask(s.bmcs, s.boot, server.URL, "/redfish/v1/Systems/"+exampleID, mode)
			tk.Node.DriverInfo["deploy_kernel"], tk.Node.DriverInfo["deploy_ramdisk"] = filepath.Join(s.dir, "kernel"), filepath.Join(s.dir, "ramdisk")
			startFromISO(t, tk, s.bmcs, s.server.URL, func() {
				require.NotEmpty(t, fetch(t, r.image), "the ISO is there")
			})
			require.Equal(t, len(r.turns), r.next, "what was asked of the emulator, and not here")
			require.Empty(t, s.discs.Names(tk.Node.UUID))
		})
	}
}

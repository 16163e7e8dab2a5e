package redfish_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/iso"
	"github.com/ferrule/ferrule/boot/vmedia"
	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/driver/redfish"
	"github.com/ferrule/ferrule/examples/qemu/debian"
	"github.com/ferrule/ferrule/internal/lab"
	"github.com/ferrule/ferrule/task"
)

// TestSushyTools has the emulator of sushy-tools at FERRULE_SUSHY, whose user is
// bmctest's, start each of its machines from an ISO of ours. The serial console of
// a machine goes to a file in the folder FERRULE_SUSHY_CONSOLES, named by the UUID.
// FERRULE_SUSHY_RECORD=1 writes the exchanges that TestSushyExchanges replays. (The
// emulator keeps every boot device for good: one-time boot cannot be judged here.)
func TestSushyTools(t *testing.T) {
	address, consoles := os.Getenv("FERRULE_SUSHY"), os.Getenv("FERRULE_SUSHY_CONSOLES")
	if address == "" || consoles == "" {
		t.Skip("needs a running emulator of sushy-tools: set FERRULE_SUSHY to its URL and FERRULE_SUSHY_CONSOLES to the folder with its machines' consoles")
	}
	dir, discs, loaders := t.TempDir(), new(vmedia.Discs), map[string]string{}
	for _, p := range []string{"isolinux", "syslinux-common", "shim-signed", "grub-efi-amd64-signed"} {
		folder, err := debian.Unpack(t.Context(), p)
		require.NoError(t, err)
		maps.Copy(loaders, iso.DebianLoaders(folder))
	}
	kernel, _, err := debian.Kernel(t.Context())
	require.NoError(t, err)
	ramdisk := lab.Ramdisk(t, dir)
	server := httptest.NewServer(discs)
	t.Cleanup(server.Close)

	record := &recorder{target: address, client: new(http.Client)}
	proxy := httptest.NewServer(record)
	t.Cleanup(func() {
		proxy.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	asked := new(redfish.BMCs)
	t.Cleanup(asked.Close)
	c, err := asked.Client(redfish.Access{Address: address, Username: bmctest.User, Password: bmctest.Password})
	require.NoError(t, err)
	var systems struct {
		Members []struct {
			ID string `json:"@odata.id"`
		}
	}
	_, err = c.Get(t.Context(), "/redfish/v1/Systems", &systems)
	require.NoError(t, err)
	require.NotEmpty(t, systems.Members)
	for _, system := range systems.Members {
		mode, err := asked.Management().BootMode(t.Context(), sushyTask(asked, nil, address, system.ID, ""))
		require.NoError(t, err)
		t.Run(string(mode), func(t *testing.T) {
			id := path.Base(system.ID)
			console := filepath.Join(consoles, id)
			require.NoError(t, os.RemoveAll(console)) // what earlier starts left there
			record.begin(id)
			bmcs := new(redfish.BMCs)
			t.Cleanup(bmcs.Close)
			b, err := bmcs.NewBoot(vmedia.Site{Discs: discs, URL: server.URL, Loaders: loaders, ImageDirs: []string{dir, filepath.Dir(kernel)}, KernelArgs: "console=ttyS0 quiet"})
			require.NoError(t, err)
			tk := sushyTask(bmcs, b, proxy.URL, system.ID, mode)
			tk.Node.DriverInfo["deploy_kernel"], tk.Node.DriverInfo["deploy_ramdisk"] = kernel, ramdisk
			start := time.Now()
			startFromISO(t, tk, bmcs, server.URL, func() {
				line := onConsole(t, console, "LAB-CMDLINE: ")
				t.Logf("in the ramdisk after %.1f s", time.Since(start).Seconds())
				got, err := boot.ParseKernelArgs(line)
				require.NoError(t, err)
				require.Contains(t, got, boot.KernelArg{Key: "ipa-api-url", Value: "http://192.0.2.1:6385"})
				require.Contains(t, got, boot.KernelArg{Key: "lab.d", Value: "two words"})
				require.Contains(t, onConsole(t, console, "LAB-FIRMWARE: "), fmt.Sprintf("uefi=%t", mode == task.UEFI))
			})
			require.Empty(t, discs.Names(tk.Node.UUID))
			if os.Getenv("FERRULE_SUSHY_RECORD") == "1" {
				record.save(t, filepath.Join("testdata", "exchanges", "sushy-"+string(mode)+".json"))
			}
		})
	}
}

// onConsole waits for the line with that mark in a file, and returns what follows.
func onConsole(t *testing.T, file, mark string) string {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		data, _ := os.ReadFile(file)
		if _, rest, ok := strings.Cut(string(data), mark); ok && strings.Contains(rest, "\n") {
			line, _, _ := strings.Cut(rest, "\n")
			return strings.TrimSpace(line)
		}
	}
	data, _ := os.ReadFile(file)
	t.Fatalf("no %q on the console: %q", mark, data[max(0, len(data)-2000):])
	return ""
}

// A recorder passes requests on, and keeps the exchanges.
type recorder struct {
	target string
	client *http.Client

	mu    sync.Mutex // over what follows
	id    string     // of the system, which is told by no exchange
	turns []exchange
}

func (r *recorder) begin(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.id, r.turns = id, nil
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	out, err := http.NewRequestWithContext(q.Context(), q.Method, r.target+q.URL.Path, bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	out.Header = q.Header.Clone()
	answer, err := r.client.Do(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.keep(q.Method+" "+q.URL.Path, body, answer.StatusCode, data)
	maps.Copy(w.Header(), answer.Header)
	w.WriteHeader(answer.StatusCode)
	_, _ = w.Write(data)
}

func (r *recorder) keep(ask string, body []byte, status int, answer []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := exchange{Ask: strings.ReplaceAll(ask, r.id, exampleID), Status: status}
	e.Body, _ = anonymous(body)
	var fields any
	if json.Unmarshal(answer, &fields) == nil && fields != nil {
		e.Answer, _ = json.Marshal(r.reduced(fields))
	}
	if n := len(r.turns); n > 0 && same(r.turns[n-1], e) && string(r.turns[n-1].Answer) == string(e.Answer) && r.turns[n-1].Status == e.Status {
		return
	}
	r.turns = append(r.turns, e)
}

// used are the fields that the driver reads.
var used = []string{
	"@odata.id", "@odata.etag", "@Redfish.Settings", "SettingsObject", "Systems", "SessionService", "Links", "Sessions", "Members", "PowerState", "Boot", "BootSourceOverrideTarget",
	"BootSourceOverrideEnabled", "BootSourceOverrideMode", "BootSourceOverrideTarget@Redfish.AllowableValues", "Actions", "#ComputerSystem.Reset",
	"#VirtualMedia.InsertMedia", "#VirtualMedia.EjectMedia", "target", "ResetType@Redfish.AllowableValues", "ManagedBy", "VirtualMedia", "MediaTypes",
	"Image", "Inserted", "SecureBoot", "error", "code",
}

// reduced is what is used of an answer, with the names of the example.
func (r *recorder) reduced(v any) any {
	switch v := v.(type) {
	case map[string]any:
		maps.DeleteFunc(v, func(key string, _ any) bool { return !slices.Contains(used, key) })
		for key := range v {
			v[key] = r.reduced(v[key])
		}
	case []any:
		for i := range v {
			v[i] = r.reduced(v[i])
		}
	case string:
		if isImage(v) {
			return exampleISO
		}
		return strings.ReplaceAll(v, r.id, exampleID)
	}
	return v
}

func (r *recorder) save(t *testing.T, file string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	data, err := json.MarshalIndent(r.turns, "", " ")
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, append(data, '\n'), 0o644))
}

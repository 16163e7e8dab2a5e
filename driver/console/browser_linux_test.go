package console_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver/console"
	"github.com/ferrule/ferrule/examples/qemu/machine"
	"github.com/ferrule/ferrule/task"
)

var update = flag.Bool("update", false, "write the screenshot that the README shows")

// A person at a real browser types at the serial console of a machine that QEMU
// runs, whose firmware's shell answers.
func TestLabBrowser(t *testing.T) {
	if os.Getenv("FERRULE_LAB") != "1" {
		t.Skip("needs QEMU and Chromium: set FERRULE_LAB=1 to run it")
	}
	source := newQEMU(t)
	hub := console.NewHub(console.Config{Authorize: allow(console.Type)})
	s := serve(t, hub)
	tk := node(t, "n1")
	require.NoError(t, hub.Console(source).StartConsole(t.Context(), tk))
	require.NoError(t, source.machine.PowerOn(t.Context()))

	b := startBrowser(t)
	b.open(s.URL + "/console/node/" + tk.Node.UUID + "/")
	b.wait("iPXE>")
	b.typeKeys("echo the answer is ${net0/mac} on ${manufacturer}\r")
	b.wait("the answer is 52:54:00:aa:00:02 on QEMU")
	require.Equal(t, "connected", b.eval(`document.getElementById("state").textContent`))
	picture := b.screenshot()
	config, err := png.DecodeConfig(bytes.NewReader(picture))
	require.NoError(t, err)
	t.Logf("screenshot of %dx%d, %d bytes", config.Width, config.Height, len(picture))
	if *update {
		require.NoError(t, os.WriteFile("console.png", picture, 0o644))
	}

	source.machine.PowerOff() // and the page of a console that was stopped says so
	require.NoError(t, hub.Console(source).StopConsole(t.Context(), tk))
	b.wait("the console was stopped")
}

// A qemu is a source of one machine's serial port.
type qemu struct {
	ports
	machine *machine.Machine
	out     *io.PipeWriter
	read    *io.PipeReader
}

func newQEMU(t *testing.T) *qemu {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "boot.ipxe"), []byte("#!ipxe\nshell\n"), 0o644))
	q := &qemu{}
	q.read, q.out = io.Pipe()
	var rack machine.Rack
	t.Cleanup(func() { q.read.Close(); rack.Close() })
	var err error
	q.machine, err = rack.Add(machine.Config{
		Name: "console", Firmware: task.BIOS, MAC: "52:54:00:aa:00:02", Dir: dir, Memory: 64, Console: q.out,
		Netdev: "user,restrict=on,tftp=" + dir + ",bootfile=boot.ipxe",
	})
	require.NoError(t, err)
	q.machine.SetBootDevice("pxe", true)
	return q
}

func (q *qemu) Open(context.Context, *task.Task) (io.ReadWriteCloser, error) { return q, nil }

func (q *qemu) Read(p []byte) (int, error) { return q.read.Read(p) }

func (q *qemu) Write(p []byte) (int, error) { return len(p), q.machine.Type(string(p)) }

func (q *qemu) Close() error { return q.read.Close() }

// A browser is Chromium, driven by its DevTools protocol.
type browser struct {
	t       *testing.T
	conn    *websocket.Conn
	id      int
	session string
}

func startBrowser(t *testing.T) *browser {
	cmd := exec.Command("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--window-size=1000,640", "--remote-debugging-port=0", "--user-data-dir="+t.TempDir(), "about:blank")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	complaints, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start(), "install chromium")
	address := make(chan string, 1)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for lines := bufio.NewScanner(complaints); lines.Scan(); {
			if _, url, ok := strings.Cut(lines.Text(), "DevTools listening on "); ok {
				address <- url
			}
		}
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-drained
		_ = cmd.Wait()
	})
	b := &browser{t: t}
	select {
	case url := <-address:
		b.conn, _, err = websocket.Dial(t.Context(), url, nil)
		require.NoError(t, err)
		b.conn.SetReadLimit(64 << 20)
		t.Cleanup(func() { _ = b.conn.CloseNow() })
	case <-drained:
		t.Fatal("chromium ended")
	case <-time.After(time.Minute):
		t.Fatal("chromium does not start")
	}
	return b
}

// call makes a call of the DevTools protocol.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	b.id++
	request := map[string]any{"id": b.id, "method": method, "params": params}
	if b.session != "" {
		request["sessionId"] = b.session
	}
	data, err := json.Marshal(request)
	require.NoError(b.t, err)
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	require.NoError(b.t, b.conn.Write(ctx, websocket.MessageText, data))
	for {
		_, data, err := b.conn.Read(ctx)
		require.NoError(b.t, err)
		var answer struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		require.NoError(b.t, json.Unmarshal(data, &answer))
		if answer.ID != b.id {
			continue // an event
		}
		require.Nil(b.t, answer.Error, method)
		if result != nil {
			require.NoError(b.t, json.Unmarshal(answer.Result, result))
		}
		return
	}
}

type values map[string]any

func (b *browser) open(url string) {
	var target struct{ TargetID string }
	b.call("Target.createTarget", values{"url": url}, &target)
	var session struct{ SessionID string }
	b.call("Target.attachToTarget", values{"targetId": target.TargetID, "flatten": true}, &session)
	b.session = session.SessionID
	b.call("Emulation.setDeviceMetricsOverride", values{"width": 1000, "height": 560, "deviceScaleFactor": 1, "mobile": false}, nil)
}

func (b *browser) eval(expression string) string {
	b.t.Helper()
	var got struct{ Result struct{ Value any } }
	b.call("Runtime.evaluate", values{"expression": expression, "returnByValue": true}, &got)
	return fmt.Sprint(got.Result.Value)
}

// screen is the text that the page shows: its head, and what the terminal holds.
const screen = `(() => {
	let text = document.body ? document.body.innerText : "";
	if (typeof terminal === "undefined") return text;
	const buffer = terminal.buffer.active;
	for (let i = 0; i < buffer.length; i++) {
		const line = buffer.getLine(i);
		text += (line.isWrapped ? "" : "\n") + line.translateToString(true);
	}
	return text;
})()`

// wait waits until the page shows text.
func (b *browser) wait(text string) {
	b.t.Helper()
	for late := time.After(90 * time.Second); ; {
		shown := b.eval(screen)
		if strings.Contains(shown, text) {
			return
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-late:
			b.t.Fatalf("no %q on the page, which shows: %s", text, shown)
		}
	}
}

// typeKeys presses keys as a person would.
func (b *browser) typeKeys(text string) {
	for _, c := range text {
		if c == '\r' {
			for _, kind := range []string{"rawKeyDown", "char", "keyUp"} {
				b.call("Input.dispatchKeyEvent", values{"type": kind, "key": "Enter", "code": "Enter", "text": "\r", "windowsVirtualKeyCode": 13}, nil)
			}
			continue
		}
		b.call("Input.dispatchKeyEvent", values{"type": "char", "text": string(c)}, nil)
	}
}

func (b *browser) screenshot() []byte {
	var got struct{ Data string }
	b.call("Page.captureScreenshot", values{"format": "png"}, &got)
	data, err := base64.StdEncoding.DecodeString(got.Data)
	require.NoError(b.t, err)
	return data
}

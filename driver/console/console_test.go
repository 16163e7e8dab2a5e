package console_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/driver/console"
	"github.com/ferrule/ferrule/driver/drivertest"
	"github.com/ferrule/ferrule/task"
)

func TestConformance(t *testing.T) {
	var hub *console.Hub
	drivertest.RunConsole(t, drivertest.ConsoleHarness{
		New: func(t *testing.T) driver.ConsoleInterface {
			hub = console.NewHub(console.Config{URL: "https://h.example/console"})
			t.Cleanup(hub.Close)
			return hub.Console(&ports{})
		},
		Task: node,
		Running: func(_ *testing.T, tk *task.Task) bool {
			v, err := hub.Attach(tk.Node.UUID)
			if err == nil {
				v.Close()
			}
			return err == nil
		},
	})
}

func TestLink(t *testing.T) {
	hub := console.NewHub(console.Config{URL: "https://h.example/console"})
	defer hub.Close()
	role, tk := hub.Console(&ports{}), node(t, "n1")
	require.NoError(t, role.StartConsole(t.Context(), tk))
	where, err := role.Console(t.Context(), tk)
	require.NoError(t, err)
	require.Equal(t, driver.Console{Type: "url", URL: "https://h.example/console/node/" + tk.Node.UUID + "/"}, where)
}

func TestScrollBackAndViewers(t *testing.T) {
	hub, tk, machine := started(t, console.Config{})
	first := attach(t, hub, tk)
	machine.say("login: ")
	require.Equal(t, "login: ", read(t, first, 7))
	second := attach(t, hub, tk)
	require.Equal(t, "login: ", read(t, second, 7), "it begins with the scroll-back")
	_, err := second.Write([]byte("root"))
	require.NoError(t, err)
	require.Equal(t, "ROOT", read(t, first, 4))
	require.Equal(t, "ROOT", read(t, second, 4))
	require.Equal(t, "root", machine.typed())
}

// A viewer that reads nothing delays nobody, and is told what it missed.
func TestSlowViewer(t *testing.T) {
	hub, tk, machine := started(t, console.Config{ScrollBack: 100})
	slow, quick := attach(t, hub, tk), attach(t, hub, tk)
	for i := range 50 {
		line := fmt.Sprintf("line %4d\n", i)
		machine.say(line)
		require.Equal(t, line, read(t, quick, len(line)))
	}
	notice := "\r\n[400 bytes were missed]\r\n"
	require.Equal(t, notice+"line   40\n", read(t, slow, len(notice)+10))
}

func TestManyViewers(t *testing.T) {
	hub, tk, machine := started(t, console.Config{ScrollBack: 1 << 20})
	want := strings.Repeat("0123456789abcdef", 1<<15)
	attach(t, hub, tk) // one that never reads
	var wg sync.WaitGroup
	for range 100 {
		v := attach(t, hub, tk)
		wg.Go(func() {
			b := make([]byte, len(want))
			if _, err := io.ReadFull(v, b); err != nil || string(b) != want {
				t.Errorf("a viewer read something else: %v", err)
			}
		})
	}
	machine.say(want)
	wg.Wait()
}

// A write larger than the scroll-back leaves its end.
func TestFlood(t *testing.T) {
	hub, tk, machine := started(t, console.Config{ScrollBack: 8})
	v := attach(t, hub, tk)
	machine.say("0123456789abcdef0123456789ABCDEF")
	notice := "\r\n[24 bytes were missed]\r\n"
	require.Equal(t, notice+"89ABCDEF", read(t, v, len(notice)+8))
}

func TestEndOfStream(t *testing.T) {
	hub := console.NewHub(console.Config{})
	defer hub.Close()
	var source ports
	role, tk := hub.Console(&source), node(t, "n1")
	require.NoError(t, role.StartConsole(t.Context(), tk))
	v := attach(t, hub, tk)
	source.port("n1").say("bye")
	source.port("n1").Close() // the BMC was reset
	all, err := io.ReadAll(v)
	require.NoError(t, err)
	require.Equal(t, "bye", string(all))
	_, err = role.Console(t.Context(), tk)
	require.ErrorIs(t, err, task.ErrInvalidState)
	_, err = hub.Attach(tk.Node.UUID)
	require.ErrorIs(t, err, task.ErrInvalidState)
	_, err = v.Write([]byte("x"))
	require.Error(t, err)

	require.NoError(t, role.StartConsole(t.Context(), tk))
	again := attach(t, hub, tk)
	source.port("n1").say("hello")
	require.Equal(t, "hello", read(t, again, 5))
}

func TestCloseEndsReads(t *testing.T) {
	hub, tk, _ := started(t, console.Config{})
	v, other := attach(t, hub, tk), attach(t, hub, tk)
	done := make(chan error, 2)
	for _, r := range []io.Reader{v, other} {
		go func() {
			_, err := r.Read(make([]byte, 1))
			done <- err
		}()
	}
	require.NoError(t, v.Close())
	require.ErrorIs(t, <-done, io.ErrClosedPipe)
	hub.Close()
	require.ErrorIs(t, <-done, io.EOF)
	_, err := v.Write([]byte("x"))
	require.ErrorIs(t, err, io.ErrClosedPipe)
	err = hub.Console(&ports{}).StartConsole(t.Context(), tk)
	require.ErrorContains(t, err, "closed")
}

func TestLogRotation(t *testing.T) {
	dir := t.TempDir()
	hub, tk, machine := started(t, console.Config{LogDir: dir, LogSize: 20, LogFiles: 2})
	v := attach(t, hub, tk)
	for i := range 9 {
		machine.say(fmt.Sprintf("line %4d\n", i))
		read(t, v, 10)
	}
	hub.Close()
	path := filepath.Join(dir, tk.Node.UUID+".log")
	for name, want := range map[string]string{
		path:        "line    8\n",
		path + ".1": "line    6\nline    7\n",
		path + ".2": "line    4\nline    5\n",
	} {
		got, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode())
	}
	_, err := os.Stat(path + ".3")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// A log that cannot be written does not end the console.
func TestBrokenLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	require.NoError(t, os.Mkdir(dir, 0o755))
	hub, tk, machine := started(t, console.Config{LogDir: dir, LogSize: 1})
	v := attach(t, hub, tk)
	require.NoError(t, os.RemoveAll(dir))
	for range 3 {
		machine.say("still here\n")
		require.Equal(t, "still here\n", read(t, v, 11))
	}
}

func TestLogFolderMissing(t *testing.T) {
	hub := console.NewHub(console.Config{LogDir: filepath.Join(t.TempDir(), "none")})
	defer hub.Close()
	require.ErrorIs(t, hub.Console(&ports{}).StartConsole(t.Context(), node(t, "n1")), os.ErrNotExist)
}

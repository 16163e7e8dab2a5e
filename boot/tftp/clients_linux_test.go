package tftp_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot/tftp"
)

// TestClients has the clients of others fetch files.
func TestClients(t *testing.T) {
	if os.Getenv("FERRULE_LAB") != "1" {
		t.Skip("FERRULE_LAB is not 1: needs curl and two packages of Debian")
	}
	files := map[string][]byte{"small": []byte("few words"), "even": content(4 * 512), "large": content(5 << 20)}
	s := &tftp.Server{Files: &watchedFS{MapFS: mapFS(files)}}
	port := strconv.Itoa(int(listen(t, s, "127.0.0.1:0")))
	for _, c := range []struct {
		name    string
		command func(file, to string) []string
	}{
		{"curl", func(file, to string) []string {
			return []string{"curl", "-sS", "--tftp-blksize", "1468", "-o", to, "tftp://127.0.0.1:" + port + "/" + file}
		}},
		{"curl without options", func(file, to string) []string {
			return []string{"curl", "-sS", "--tftp-no-options", "-o", to, "tftp://127.0.0.1:" + port + "/" + file}
		}},
		{"tftp-hpa", func(file, to string) []string {
			return []string{"tftp", "-m", "binary", "127.0.0.1", port, "-c", "get", file, to}
		}},
		{"atftp with windows", func(file, to string) []string {
			return []string{"atftp", "--option", "blksize 1428", "--option", "windowsize 16", "--option", "tsize", "--get", "-r", file, "-l", to, "127.0.0.1", port}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, want := range files {
				to := filepath.Join(t.TempDir(), name)
				args := c.command(name, to)
				out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
				require.NoError(t, err, "%q: %s", args, out)
				got, err := os.ReadFile(to)
				require.NoError(t, err, "%q: %s", args, out)
				require.True(t, string(want) == string(got), "%q brought %d bytes that are not the file's %d", args, len(got), len(want))
			}
		})
	}
}

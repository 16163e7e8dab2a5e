//go:build linux

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Nginx serves a folder by HTTP on all addresses until t ends.
func Nginx(t testing.TB, root string) *Log {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`user root;
worker_processes 1;
daemon off;
pid %[1]s/pid;
error_log stderr;
events {}
http {
  access_log off;
  sendfile on;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  server { listen 80; root %[2]s; }
}
`, dir, root)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return Daemon(t, "nginx", "-e", "stderr", "-c", conf)
}

//go:build linux

// Labguest is the first and only program of a guest of the lab: it has the
// machine's files read and written over HTTP, and so what its kernel has, such as
// configfs. GET reads a file, or a part of it, PUT writes one that is there, POST
// makes one of the size in its query, MKCOL makes a folder, LINK a symbolic link
// to what its query names, and DELETE removes.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ferrule/ferrule/agent/ramdisk/linux"
)

func main() {
	if err := linux.Start(); err != nil {
		fmt.Println("LAB-ERROR:", err)
	}
	if err := syscall.Mount("configfs", "/sys/kernel/config", "configfs", 0, ""); err != nil {
		fmt.Println("LAB-ERROR: mount configfs:", err)
	}
	go linux.Network{Logger: slog.Default(), Ready: func() { fmt.Println("LAB-READY: ") }}.Run(context.Background())
	fmt.Println("LAB-ERROR:", http.ListenAndServe(":80", http.HandlerFunc(serve)))
	time.Sleep(time.Hour) // the kernel does not outlive its first process
}

func serve(w http.ResponseWriter, r *http.Request) {
	name := path.Clean(r.URL.Path)
	var err error
	switch r.Method {
	case http.MethodGet:
		if !strings.HasPrefix(name, "/sys/") {
			http.ServeFile(w, r, name)
			return
		}
		var text []byte // of no size known beforehand
		if text, err = os.ReadFile(name); err == nil {
			_, err = w.Write(text)
		}
	case http.MethodPut:
		var text []byte
		if text, err = io.ReadAll(r.Body); err == nil {
			err = write(name, text)
		}
	case http.MethodPost:
		var size int64
		if size, err = strconv.ParseInt(r.URL.RawQuery, 10, 64); err == nil {
			if err = os.WriteFile(name, nil, 0o600); err == nil {
				err = os.Truncate(name, size)
			}
		}
	case "MKCOL":
		err = os.MkdirAll(name, 0o755)
	case "LINK":
		err = os.Symlink(r.URL.RawQuery, name)
	case http.MethodDelete:
		err = os.Remove(name)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
	}
}

// write writes at once, as files of a kernel want it.
func write(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(text)
	return err
}

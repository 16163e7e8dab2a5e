// Quickstart provisions simulated machines from end to end: it enrols them,
// cleans them, deploys an image over iPXE and the ramdisk agent, and tears them
// down again, showing what happens. It needs no root and no network.
//
//	go run ./examples/quickstart
//	go run ./examples/quickstart -image disk.img
//	go run ./examples/quickstart -nodes 500
//	go run ./examples/quickstart -break kernel
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	var o options
	flag.StringVar(&o.image, "image", "", "raw whole-disk image to deploy: a `path` or an http(s) URL (default: one that is made up)")
	flag.StringVar(&o.checksum, "checksum", "", "SHA-256 of the image, required with a URL")
	flag.IntVar(&o.nodes, "nodes", 1, "how many machines to provision at once")
	flag.StringVar(&o.fault, "break", "", "break one `thing` and see what is said about it: "+strings.Join(faultNames(), ", "))
	flag.Parse()
	o.terminal = isTerminal(os.Stdout)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		if errors.Is(err, context.Canceled) {
			err = errors.New("interrupted; everything was cleaned up")
		}
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		stop()
		os.Exit(1)
	}
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

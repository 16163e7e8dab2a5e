// Ilo provisions simulated HPE machines from end to end, through their iLO: it
// enrols them, inspects them, and deploys an image with the ramdisk that they boot
// from a virtual CD, which is composed for each of them; then it tears them down. One
// of them has an iLO 4, which speaks RIBCL, one an iLO 5 and one an iLO 6, which speak
// Redfish. Everything goes over HTTPS. With agent_ilo the ramdisk fetches the image and
// writes it, with iscsi_ilo it exports its disk, which this program writes. It needs no
// root and no network.
//
//	go run ./examples/ilo
//	go run ./examples/ilo -driver iscsi_ilo
//	go run ./examples/ilo -break licence
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
	flag.StringVar(&o.driver, "driver", drivers[0], "the nodes' `driver`: "+strings.Join(drivers, ", "))
	flag.StringVar(&o.fault, "break", "", "break one `thing` and see what is said about it: "+strings.Join(faultNames(), ", "))
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		if errors.Is(err, context.Canceled) {
			err = errors.New("interrupted; everything was cleaned up")
		}
		fmt.Fprintln(os.Stderr, "ilo:", err)
		stop()
		os.Exit(1)
	}
}

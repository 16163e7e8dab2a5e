package initiator_test

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/iscsi/initiator"
	"github.com/ferrule/ferrule/iscsi/iscsitest"
	"github.com/ferrule/ferrule/iscsi/target"
)

// A disk is found, opened, written and left.
func Example() {
	s, _ := iscsitest.Start(iscsitest.Options{CHAP: &target.CHAP{User: "node", Secret: "correct horse"}})
	defer s.Close()

	ctx := context.Background()
	c := initiator.Config{Portal: s.Portal, CHAP: &initiator.CHAP{User: "node", Secret: "correct horse"}}
	targets, err := initiator.Discover(ctx, c)
	if err != nil {
		fmt.Println(err)
		return
	}
	c.Target, c.LUN = targets[0].Name, 1
	d, err := initiator.Open(ctx, c)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(targets[0].Name, d.Size()>>20, "MiB")
	_, err = d.WriteAt([]byte("hello"), 4096)
	fmt.Println(err, d.Sync(), d.Close())
	// Output:
	// iqn.2026-01.test.ferrule:disk 64 MiB
	// <nil> <nil> <nil>
}

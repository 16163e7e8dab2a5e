package tftp_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// children are what the test binary does as a process of its own, by the value
// of FERRULE_TFTP_CHILD.
var children = map[string]func(args []string) error{}

func TestMain(m *testing.M) {
	if child := children[os.Getenv("FERRULE_TFTP_CHILD")]; child != nil {
		if err := child(os.Args[1:]); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

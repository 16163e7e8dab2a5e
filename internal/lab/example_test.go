//go:build linux

package lab_test

import (
	"os"
	"testing"

	"github.com/ferrule/ferrule/internal/lab"
)

// A package with lab tests has a TestMain that runs them in the lab.
func Example() {
	_ = func(m *testing.M) { os.Exit(lab.Main(m, "pxelinux")) }
}

package boottest

import (
	"testing"

	"github.com/ferrule/ferrule/internal/roletest"
)

func Caught(t *testing.T, faults []roletest.Fault[Harness]) {
	roletest.Caught(t, rules, Harness.subject, faults)
}

package agenttest_test

import (
	"fmt"
	"testing"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/agent/agenttest"
)

// A test of a program that calls ramdisks: it sees one whose disk is full.
func Example() {
	test := func(t *testing.T) {
		m := agenttest.Start(t, agenttest.Config{Faults: agenttest.Faults{DiskFull: 1 << 20}})
		var c agent.Client
		status, err := c.Status(t.Context(), m.Session())
		fmt.Println("the agent is version", status.Version, err)
	}
	testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "example", F: test}})
	// Output:
	// the agent is version 1.0.0 <nil>
}

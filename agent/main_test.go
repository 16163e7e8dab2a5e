package agent_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(processEnv); text != "" {
		var c processConfig
		err := json.Unmarshal([]byte(text), &c)
		if err == nil {
			err = conductorProcess(c, os.Stdout)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// canary is a token that must not appear anywhere but in requests.
const canary = "canary-0123456789-0123456789-0123456789-abc"

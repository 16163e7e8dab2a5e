package agent_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// canary is a token that must not appear anywhere but in requests.
const canary = "canary-0123456789-0123456789-0123456789-abc"

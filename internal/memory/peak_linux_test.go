package memory_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/internal/memory"
)

func ExamplePeakKiB() {
	if kib := memory.PeakKiB(); kib > 0 {
		fmt.Println("a real process")
	}
	// Output: a real process
}

func TestPeakKiB(t *testing.T) {
	before := memory.PeakKiB()
	require.Greater(t, before, int64(1<<10), "no Go program is smaller than a MiB")
	const more = 64 << 20
	b := make([]byte, more)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	runtime.KeepAlive(b)
	require.GreaterOrEqual(t, memory.PeakKiB(), int64(more>>10))
}

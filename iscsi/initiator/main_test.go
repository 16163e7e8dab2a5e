package initiator_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/iscsi/initiator"
	"github.com/ferrule/ferrule/iscsi/iscsitest"
)

// children are what the test binary does as a process of its own, by the value of
// FERRULE_ISCSI_CHILD.
var children = map[string]func(args []string) error{}

func TestMain(m *testing.M) {
	if child := children[os.Getenv("FERRULE_ISCSI_CHILD")]; child != nil {
		if err := child(os.Args[1:]); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// configFor is how a test's disk is opened.
func configFor(s *iscsitest.Server) initiator.Config {
	return initiator.Config{Portal: s.Portal, Target: s.Name, LUN: s.LUN}
}

func piped(s *iscsitest.Server) initiator.Config {
	c := configFor(s)
	c.Dial = s.Dial
	return c
}

func open(t *testing.T, c initiator.Config) *initiator.Disk {
	t.Helper()
	d, err := initiator.Open(context.Background(), c)
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = r.Read(b)
	return b
}

// requireContent checks what is really on the disk.
func requireContent(t *testing.T, m *iscsitest.Memory, off int64, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	_, err := m.ReadAt(got, off)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "the disk does not hold what was written")
}

package initiator_test

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/iscsi/initiator"
)

// A peer is somebody else's target, with one disk.
type peer interface {
	config() initiator.Config
	useDigests() // and nothing without
	tune()       // for few PDUs
	useCHAP(user, secret string)
	useMutualCHAP(user, secret string)
	backing() io.ReaderAt // what the disk is kept in
	requireNoSession()
}

// interoperate writes that much to disks of new peers, in every way to log in.
func interoperate(t *testing.T, size int, start func(*testing.T) peer) {
	for _, c := range []struct {
		name                  string
		chap, mutual, digests bool
		tuned                 bool
	}{
		{name: "plain"},
		{name: "digests", digests: true},
		{name: "CHAP", chap: true},
		{name: "mutual CHAP and digests", chap: true, mutual: true, digests: true},
		{name: "large PDUs", tuned: true},
		{name: "large PDUs and digests", tuned: true, digests: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := start(t)
			config := g.config()
			config.HeaderDigest, config.DataDigest = c.digests, c.digests
			if c.digests {
				g.useDigests()
			}
			if c.tuned {
				g.tune()
			}
			refused := func() {
				_, err := initiator.Open(t.Context(), config)
				require.ErrorIs(t, err, initiator.ErrAuth)
			}
			if c.chap {
				g.useCHAP("node", "s3cretchap12")
				config.CHAP = &initiator.CHAP{User: "node", Secret: "wrong"}
				refused()
				config.CHAP.Secret = "s3cretchap12"
			}
			if c.mutual {
				g.useMutualCHAP("target", "another12345")
				config.CHAP.PeerUser, config.CHAP.PeerSecret = "target", "wrong"
				refused()
				config.CHAP.PeerSecret = "another12345"
			}
			found, err := initiator.Discover(t.Context(), initiator.Config{Portal: config.Portal})
			require.NoError(t, err)
			require.True(t, slices.ContainsFunc(found, func(f initiator.Target) bool { return f.Name == config.Target }), "%v", found)
			d := open(t, config)
			require.Equal(t, int64(256<<20), d.Size())
			require.True(t, d.CanDiscard())
			t.Logf("it promises zeros for what it discards: %t", d.DiscardZeroes())
			exercise(t, d, g.backing(), size)
			require.NoError(t, d.Close())
			g.requireNoSession()
		})
	}
}

// exercise writes, zeroes, discards and reads, and compares what is behind the disk.
func exercise(t *testing.T, d *initiator.Disk, backing io.ReaderAt, size int) {
	t.Helper()
	want := random(size + 4096)
	_, err := d.WriteAt(want, 1<<20)
	require.NoError(t, err)
	require.NoError(t, d.Zero(2<<20, 8<<20+512))
	clear(want[1<<20 : 9<<20+512])
	if d.DiscardZeroes() {
		require.NoError(t, d.Discard(12<<20, 4<<20))
		clear(want[11<<20 : 15<<20])
	}
	require.NoError(t, d.Sync())
	got := make([]byte, len(want))
	_, err = d.ReadAt(got, 1<<20)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "what is read is not what was written")
	_, err = backing.ReadAt(got, 1<<20)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "what is behind the disk is not what was written")
}

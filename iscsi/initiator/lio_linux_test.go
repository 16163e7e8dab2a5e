package initiator_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/internal/lab"
	"github.com/ferrule/ferrule/iscsi/initiator"
)

// A lio is a target of the Linux kernel's with one disk, LUN 1, in the guest's
// memory: every initiator may log in.
type lio struct {
	t      testing.TB
	guest  *lab.Guest
	name   string
	group  string // folder of its portal group
	device string // of its disk
	disk   string // file behind it
}

// startLIO makes the number-th target of a guest. One without a serial number tells
// no pages of vital product data.
func startLIO(t testing.TB, guest *lab.Guest, number int, serial string) *lio {
	t.Helper()
	const config = "/sys/kernel/config/target"
	g := &lio{t: t, guest: guest, name: fmt.Sprintf("iqn.2026-01.test.lab:disk%d", number), disk: fmt.Sprintf("/run/disk%d", number)}
	g.device = fmt.Sprintf("%s/core/fileio_0/disk%d", config, number)
	g.group = fmt.Sprintf("%s/iscsi/%s/tpgt_1", config, g.name)
	guest.Create(g.disk, 256<<20)
	guest.Mkdir(g.device)
	guest.Write(g.device+"/control", fmt.Sprintf("fd_dev_name=%s,fd_dev_size=%d", g.disk, 256<<20))
	guest.Write(g.device+"/enable", "1")
	if serial != "" {
		guest.Write(g.device+"/wwn/vpd_unit_serial", serial)
	}
	for name, value := range map[string]string{"emulate_tpu": "1", "emulate_tpws": "1", "unmap_zeroes_data": "1"} {
		guest.Write(g.device+"/attrib/"+name, value)
	}
	guest.Mkdir(config + "/iscsi")
	guest.Mkdir(g.group + "/lun/lun_1")
	guest.Link(g.device, g.group+"/lun/lun_1/disk")
	guest.Mkdir(g.group + "/np/0.0.0.0:3260")
	for name, value := range map[string]string{
		"attrib/authentication": "0", "attrib/generate_node_acls": "1", "attrib/demo_mode_write_protect": "0",
		"param/HeaderDigest": "None", "param/DataDigest": "None",
	} {
		guest.Write(g.group+"/"+name, value)
	}
	guest.Write(g.group+"/enable", "1")
	return g
}

func (g *lio) config() initiator.Config {
	// A machine that is emulated takes its time.
	return initiator.Config{Portal: g.guest.Addr(3260), Target: g.name, LUN: 1, LoginTimeout: time.Minute}
}

func (g *lio) useDigests() {
	g.guest.Write(g.group+"/param/HeaderDigest", "CRC32C")
	g.guest.Write(g.group+"/param/DataDigest", "CRC32C")
}

func (g *lio) tune() {
	for name, value := range map[string]string{
		"MaxRecvDataSegmentLength": "1048576", "FirstBurstLength": "1048576", "MaxBurstLength": "8388608", "MaxOutstandingR2T": "8", "InitialR2T": "No",
	} {
		g.guest.Write(g.group+"/param/"+name, value)
	}
}

func (g *lio) useCHAP(user, secret string) {
	g.guest.Write(g.group+"/attrib/authentication", "1")
	g.guest.Write(g.group+"/auth/userid", user)
	g.guest.Write(g.group+"/auth/password", secret)
}

func (g *lio) useMutualCHAP(user, secret string) {
	g.guest.Write(g.group+"/auth/userid_mutual", user)
	g.guest.Write(g.group+"/auth/password_mutual", secret)
}

func (g *lio) backing() io.ReaderAt { return g.guest.File(g.disk) }

func (g *lio) requireNoSession() {
	g.t.Helper()
	statistics := strings.TrimSuffix(g.group, "tpgt_1") + "fabric_statistics/iscsi_instance/sessions"
	require.Eventually(g.t, func() bool {
		return strings.TrimSpace(g.guest.Read(statistics)) == "0" && strings.Trim(g.guest.Read(g.group+"/dynamic_sessions"), "\x00\n ") == ""
	}, 20*time.Second, 50*time.Millisecond, "a session is left")
}

// TestLIO is against the target in the Linux kernel, in a machine that QEMU
// emulates.
func TestLIO(t *testing.T) {
	needLab(t)
	guest := lab.NewGuest(t, []string{"target_core_mod", "target_core_file", "iscsi_target_mod"}, 3260)
	number := 0
	start := func(t *testing.T) *lio {
		number++
		return startLIO(t, guest, number, fmt.Sprintf("disk-%d", number))
	}
	interoperate(t, 16<<20, func(t *testing.T) peer { return start(t) })
	t.Run("digests that it does not want", func(t *testing.T) {
		g := start(t)
		c := g.config()
		c.DataDigest = true
		_, err := initiator.Open(t.Context(), c)
		require.ErrorContains(t, err, "login refused")
		g.requireNoSession()
	})
	t.Run("a promise of zeros, and no way to discard", func(t *testing.T) {
		g := startLIO(t, guest, 100, "")
		d := open(t, g.config())
		require.False(t, d.CanDiscard())
		require.False(t, d.DiscardZeroes())
		exercise(t, d, g.backing(), 16<<20)
		require.NoError(t, d.Close())
		g.requireNoSession()
	})
	t.Run("cut five times", func(t *testing.T) {
		g := start(t)
		c := g.config()
		cuts := 0
		c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil || cuts == 5 {
				return conn, err
			}
			cuts++
			return &cutConn{Conn: conn, left: 1<<20 + 777}, nil
		}
		d := open(t, c)
		want := random(16 << 20)
		_, err := d.WriteAt(want, 0)
		require.NoError(t, err)
		require.NoError(t, d.Sync())
		require.NoError(t, d.Close())
		require.Equal(t, 5, cuts)
		got := make([]byte, len(want))
		_, err = g.backing().ReadAt(got, 0)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got))
		g.requireNoSession()
	})
}

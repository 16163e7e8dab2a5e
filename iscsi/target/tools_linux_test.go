package target_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/iscsi/target"
)

// sparse is a file that can zero, and has no more than that of a file system's ways.
type sparse struct{ *os.File }

func (s sparse) Zero(off, n int64) error {
	for zeros := make([]byte, 1<<20); n > 0; {
		part := zeros[:min(n, 1<<20)]
		if _, err := s.WriteAt(part, off); err != nil {
			return err
		}
		off, n = off+int64(len(part)), n-int64(len(part))
	}
	return nil
}

func lab(t *testing.T, tg *target.Target) (portal string) {
	t.Helper()
	if os.Getenv("FERRULE_LAB") != "1" {
		t.Skip("FERRULE_LAB is not 1: needs Debian's libiscsi-bin, qemu-utils and qemu-block-extra")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- tg.Serve(ctx, l) }()
	t.Cleanup(func() {
		require.Eventually(t, func() bool { return len(tg.Sessions()) == 0 }, 5*time.Second, 10*time.Millisecond, "a session is left")
		cancel()
		<-done
	})
	return l.Addr().String()
}

func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %v: %s", name, args, out)
	return string(out)
}

func file(t *testing.T, size int64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	require.NoError(t, f.Truncate(size))
	return f
}

func TestLibiscsi(t *testing.T) {
	const size = 1 << 30
	for _, c := range []struct {
		name   string
		chap   *target.CHAP
		digest string
	}{
		{"plain", nil, ""},
		{"CHAP", &target.CHAP{User: "node", Secret: "s3cretchap12"}, ""},
		{"mutual CHAP", &target.CHAP{User: "node", Secret: "s3cretchap12", OwnUser: "target", OwnSecret: "another12345"}, ""},
		{"digests", nil, "?header_digest=crc32c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := file(t, size)
			tg := &target.Target{Name: name, Disks: map[int]target.Disk{1: {Store: sparse{f}, Size: size}}, CHAP: c.chap}
			portal := lab(t, tg)
			var env []string
			if c.chap != nil {
				env = append(env, "LIBISCSI_CHAP_USERNAME="+c.chap.User, "LIBISCSI_CHAP_PASSWORD="+string(c.chap.Secret))
				if c.chap.OwnUser != "" {
					env = append(env, "LIBISCSI_CHAP_TARGET_USERNAME="+c.chap.OwnUser, "LIBISCSI_CHAP_TARGET_PASSWORD="+string(c.chap.OwnSecret))
				}
			}
			url := "iscsi://" + portal + "/" + name + "/1" + c.digest
			require.Contains(t, run(t, env, "iscsi-ls", "--show-luns", "iscsi://"+portal+c.digest), name)
			require.Contains(t, run(t, env, "iscsi-inq", url), "Vendor:FERRULE")
			for _, page := range []string{"0x00", "0x80", "0x83", "0xb0", "0xb1", "0xb2"} {
				run(t, env, "iscsi-inq", "-e", "1", "-c", page, url)
			}
			require.Contains(t, run(t, env, "iscsi-readcapacity16", url), fmt.Sprint(size))
			if c.chap != nil {
				out, err := exec.Command("iscsi-inq", url).CombinedOutput()
				require.Error(t, err, "let in without CHAP: %s", out)
			}
		})
	}
}

// conformance are the tests of iscsi-test-cu about what this target does.
var conformance = []string{
	"SCSI.Inquiry", "SCSI.Mandatory", "SCSI.ModeSense6", "SCSI.NoMedia", "SCSI.Read10", "SCSI.Read16", "SCSI.ReadCapacity10",
	"SCSI.ReadCapacity16", "SCSI.ReadOnly", "SCSI.ReportSupportedOpcodes", "SCSI.TestUnitReady", "SCSI.Unmap", "SCSI.Verify10", "SCSI.Verify16",
	"SCSI.Write10", "SCSI.Write16", "SCSI.WriteSame10", "SCSI.WriteSame16",
	"iSCSI.iSCSIcmdsn", "iSCSI.iSCSIdatasn", "iSCSI.iSCSIResiduals", "iSCSI.iSCSISendTargets", "iSCSI.iSCSINop",
}

func TestConformance(t *testing.T) {
	const size = 64 << 20
	f := file(t, size)
	portal := lab(t, &target.Target{Name: name, Disks: map[int]target.Disk{1: {Store: sparse{f}, Size: size}}})
	failures := regexp.MustCompile(`(?m)^.*(FAILED|\[FAILED\]).*$`)
	for _, family := range conformance {
		t.Run(family, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			out, err := exec.CommandContext(ctx, "iscsi-test-cu", "--dataloss", "-t", family, "iscsi://"+portal+"/"+name+"/1").CombinedOutput()
			require.NoError(t, ctx.Err(), "it hangs: %s", out)
			if bad := failures.FindAllString(string(out), -1); len(bad) > 0 || err != nil {
				t.Errorf("%v: %q\n%s", err, bad, out)
			}
		})
	}
}

func TestQEMU(t *testing.T) {
	const size = 256 << 20
	for kind, store := range map[string]func(f *os.File) target.Store{
		"zeroing": func(f *os.File) target.Store { return sparse{f} },
		"plain":   func(f *os.File) target.Store { return f },
	} {
		t.Run(kind, func(t *testing.T) {
			f := file(t, size)
			portal := lab(t, &target.Target{Name: name, Disks: map[int]target.Disk{1: {Store: store(f), Size: size}}})
			url := "iscsi://" + portal + "/" + name + "/1"
			want := make([]byte, size)
			r := rand.NewChaCha8([32]byte{})
			_, _ = r.Read(want[10<<20 : 100<<20])
			image := filepath.Join(t.TempDir(), "image")
			require.NoError(t, os.WriteFile(image, want, 0o600))
			_, err := f.WriteAt(bytes.Repeat([]byte{1}, size), 0) // what was there before
			require.NoError(t, err)
			run(t, nil, "qemu-img", "convert", "-n", "-t", "none", "-W", "-m", "16", "-f", "raw", "-O", "raw", image, url)
			got, err := os.ReadFile(f.Name())
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, got), "the disk is not the image")
			require.Contains(t, run(t, nil, "qemu-img", "compare", "-f", "raw", "-F", "raw", image, url), "identical")
		})
	}
}

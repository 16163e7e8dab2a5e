package fetch_test

import (
	"bytes"
	"context"
	"io/fs"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/driver/sim/fetch"
)

func content(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i ^ i>>8)
	}
	return b
}

func TestTFTP(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		server   *tftpServer
		client   fetch.Client
		size     int
		requests int
	}{
		{"several blocks", &tftpServer{}, fetch.Client{}, 5000, 1},
		{"whole blocks", &tftpServer{}, fetch.Client{BlockSize: 1000}, 3000, 1},
		{"empty file", &tftpServer{}, fetch.Client{}, 0, 1},
		{"options ignored", &tftpServer{noOptions: true}, fetch.Client{}, 1500, 1},
		{"options refused", &tftpServer{refuse: 8}, fetch.Client{}, 1500, 2},
		{"smaller block", &tftpServer{options: map[string]string{"blksize": "600"}}, fetch.Client{}, 1500, 1},
		{"no block size", &tftpServer{options: map[string]string{"blksize": ""}}, fetch.Client{}, 1500, 1},
		{"no size", &tftpServer{options: map[string]string{"tsize": ""}}, fetch.Client{}, 1500, 1},
		{"block size not asked for", &tftpServer{}, fetch.Client{BlockSize: -1}, 1500, 1},
		{"largest block", &tftpServer{}, fetch.Client{BlockSize: 9000}, 20000, 1},
		{"request lost", &tftpServer{loseRequest: 2}, fetch.Client{Timeout: 300 * time.Millisecond}, 100, 3},
		{"option answer lost", &tftpServer{loseData: map[int]bool{0: true}}, fetch.Client{Timeout: 300 * time.Millisecond}, 3000, 2},
		{"blocks lost", &tftpServer{loseData: map[int]bool{1: true, 3: true}}, fetch.Client{Timeout: 300 * time.Millisecond}, 5000, 1},
		{"everything twice", &tftpServer{twice: true}, fetch.Client{Timeout: 5 * time.Second}, 5000, 1},
		{"garbage in between", &tftpServer{garbage: true}, fetch.Client{Timeout: 5 * time.Second}, 5000, 1},
		{"just small enough", &tftpServer{}, fetch.Client{MaxBytes: 5000}, 5000, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.server.file = content(tc.size)
			got, err := tc.client.Fetch(t.Context(), tc.server.start(t))
			require.NoError(t, err)
			require.True(t, bytes.Equal(tc.server.file, got), "%d bytes", len(got))
			tc.server.mu.Lock()
			defer tc.server.mu.Unlock()
			require.Len(t, tc.server.requests, tc.requests)
			require.Equal(t, []string{"dir/file 1", "octet"}, tc.server.requests[0][:2])
		})
	}
}

func TestTFTPFails(t *testing.T) {
	t.Parallel()
	quick := fetch.Client{Timeout: 5 * time.Millisecond, Retries: 2}
	for _, tc := range []struct {
		name   string
		server *tftpServer
		client fetch.Client
		is     error
		want   string
		told   []uint16
	}{
		{"no such file", &tftpServer{fail: wireError(1, "no \x1bsuch file")}, fetch.Client{}, fs.ErrNotExist, `/dir/file%201: server error 1: "no \x1bsuch file"`, nil},
		{"no access", &tftpServer{fail: wireError(2, "keep out")}, fetch.Client{}, fs.ErrPermission, "keep out", nil},
		{"text without end", &tftpServer{fail: []byte("\x00\x05\x00\x00oops")}, fetch.Client{}, nil, `server error 0: "oops"`, nil},
		{"no option at all", &tftpServer{fail: wireError(8, "never")}, fetch.Client{}, nil, `server error 8: "never"`, nil},
		{"never an answer", &tftpServer{loseRequest: 99}, quick, fetch.ErrTimeout, "no answer from 127.0.0.1 to 3 requests, 5ms apart", nil},
		{"never asked again", &tftpServer{loseRequest: 1}, fetch.Client{Timeout: 5 * time.Millisecond, Retries: -1}, fetch.ErrTimeout, "to 1 requests", nil},
		{"silent half way", &tftpServer{silentAfter: 2}, quick, fetch.ErrTimeout, "no answer", nil},
		{"announced too large", &tftpServer{}, fetch.Client{MaxBytes: 4999}, fetch.ErrTooLarge, "more than 4999 bytes", []uint16{3}},
		{"too large", &tftpServer{options: map[string]string{"tsize": ""}}, fetch.Client{MaxBytes: 4999}, fetch.ErrTooLarge, "more than 4999 bytes", []uint16{3}},
		{"shorter than announced", &tftpServer{options: map[string]string{"tsize": "6000"}}, fetch.Client{}, nil, "announced 6000 bytes and sent 5000", nil},
		{"longer than announced", &tftpServer{options: map[string]string{"tsize": "7"}}, fetch.Client{}, nil, "announced 7 bytes and sent 5000", nil},
		{"negative size", &tftpServer{options: map[string]string{"tsize": "-1"}}, fetch.Client{}, nil, `option "tsize" with "-1"`, []uint16{8}},
		{"larger block", &tftpServer{options: map[string]string{"blksize": "1433"}}, fetch.Client{}, nil, `option "blksize" with "1433"`, []uint16{8}},
		{"tiny block", &tftpServer{options: map[string]string{"blksize": "0"}}, fetch.Client{}, nil, `option "blksize"`, []uint16{8}},
		{"other time-out", &tftpServer{options: map[string]string{"timeout": "9"}}, fetch.Client{}, nil, `option "timeout" with "9"`, []uint16{8}},
		{"option from nowhere", &tftpServer{options: map[string]string{"multicast": "x"}}, fetch.Client{}, nil, `option "multicast"`, []uint16{8}},
		{"block beyond its size", &tftpServer{fail: append([]byte("\x00\x03\x00\x01"), content(513)...)}, fetch.Client{}, nil, "block of 513 bytes where 512 were agreed", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.server.file = content(5000)
			data, err := tc.client.Fetch(t.Context(), tc.server.start(t))
			require.ErrorContains(t, err, tc.want)
			require.Nil(t, data)
			if tc.is != nil {
				require.ErrorIs(t, err, tc.is)
			}
			if tc.told != nil {
				tc.server.wait()
				require.Empty(t, cmp.Diff(tc.told, tc.server.errors))
			}
		})
	}
}

func TestTFTPStranger(t *testing.T) {
	t.Parallel()
	s := tftpServer{file: content(3000), stranger: true, options: map[string]string{"blksize": "1000"}}
	client := fetch.Client{Timeout: 5 * time.Second}
	url := s.start(t)
	got, err := client.Fetch(t.Context(), url)
	require.NoError(t, err)
	require.True(t, bytes.Equal(s.file, got))
	s.wait()
	require.Equal(t, 4, s.rejected)
}

func TestTFTPBlocksRollOver(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("65540 packets")
	}
	s := tftpServer{file: content(8*65538 + 3)}
	client := fetch.Client{BlockSize: 8, Timeout: 5 * time.Second}
	got, err := client.Fetch(t.Context(), s.start(t))
	require.NoError(t, err)
	require.True(t, bytes.Equal(s.file, got))
}

func TestTFTPCancel(t *testing.T) {
	t.Parallel()
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = silent.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error)
	go func() {
		client := fetch.Client{Timeout: time.Hour}
		_, err := client.Fetch(ctx, "tftp://"+silent.LocalAddr().String()+"/x")
		done <- err
	}()
	_, _, err = silent.ReadFrom(make([]byte, 512)) // the request is out
	require.NoError(t, err)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}

package artifact_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot/artifact"
)

func TestServe(t *testing.T) {
	tree := new(artifact.Tree)
	require.NoError(t, tree.Publish(t.Context(), "node-1", artifact.Artifact{Name: "script", Data: []byte("#!ipxe")}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancelCause(t.Context())
	ended := make(chan error)
	go func() { ended <- tree.Serve(ctx, l) }()
	client := http.Client{Transport: &http.Transport{}}
	answer, err := client.Get("http://" + l.Addr().String() + "/script")
	require.NoError(t, err)
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Equal(t, "#!ipxe", string(body))

	reason := errors.New("stopped by the test")
	stop(reason)
	require.ErrorIs(t, <-ended, reason)
	_, err = client.Get("http://" + l.Addr().String() + "/script")
	require.Error(t, err, "it still listens")
	require.ErrorIs(t, tree.Serve(t.Context(), l), net.ErrClosed)
	require.ErrorContains(t, tree.ListenAndServe(t.Context(), "192.0.2.1:1"), "artifact.ListenAndServe")
}

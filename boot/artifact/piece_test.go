package artifact_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/boot/artifact"
)

// TestPieces compares short ranges of a file, which are served in a way of their
// own, with what package net/http says of the same request.
func TestPieces(t *testing.T) {
	t.Parallel()
	path, _ := file(t, 200<<10)
	tree, _ := watched()
	require.NoError(t, tree.Publish(t.Context(), "n1", artifact.Artifact{Name: "iso", Stage: "s", File: path, ContentType: "application/vnd.efi.iso"}))
	for _, r := range []string{"0-0", "0-2047", "100-65635", "100-65636", "204799-204799", "204799-204800", "5-4", "x-1", "-5", "7-", " 1-2", "00-01", "+1-2"} {
		ours := ask(tree, "GET", "/iso", "Range", "bytes="+r)
		// A condition that holds anyway makes it everybody's request.
		theirs := ask(tree, "GET", "/iso", "Range", "bytes="+r, "If-Unmodified-Since", time.Now().Add(time.Hour).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"))
		require.Equal(t, theirs.StatusCode, ours.StatusCode, r)
		require.Equal(t, body(t, theirs), body(t, ours), r)
		require.Equal(t, theirs.Header, ours.Header, r)
	}
	tag := ask(tree, "GET", "/iso", "Range", "bytes=0-9").Header.Get("ETag")
	require.Equal(t, 206, ask(tree, "GET", "/iso", "Range", "bytes=0-9", "If-Range", tag).StatusCode)
	require.Equal(t, 200, ask(tree, "GET", "/iso", "Range", "bytes=0-9", "If-Range", `"other"`).StatusCode)
	require.Equal(t, 304, ask(tree, "GET", "/iso", "Range", "bytes=0-9", "If-None-Match", tag).StatusCode)
}

func TestPieceFailures(t *testing.T) {
	t.Parallel()
	path, _ := file(t, 1000)
	tree, seen := watched()
	require.NoError(t, tree.Publish(t.Context(), "n1", artifact.Artifact{Name: "iso", Stage: "s", File: path}))
	get := func() int { return ask(tree, "GET", "/iso", "Range", "bytes=500-999").StatusCode }
	require.Equal(t, 206, get())
	require.NoError(t, os.Truncate(path, 600))
	require.Equal(t, 500, get(), "cut off since it was opened")
	all := seen()
	require.True(t, all[len(all)-1].Failed)
	require.Contains(t, all[len(all)-1].Detail, "unexpected EOF")

	other, _ := file(t, 1000)
	require.NoError(t, os.Remove(other))
	require.NoError(t, tree.Publish(t.Context(), "n1", artifact.Artifact{Name: "gone", Stage: "s", File: other}))
	require.Equal(t, 404, ask(tree, "GET", "/gone", "Range", "bytes=0-1").StatusCode)
}

func BenchmarkPiece(b *testing.B) {
	path := b.TempDir() + "/image"
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		b.Fatal(err)
	}
	tree, _ := watched()
	if err := tree.Publish(b.Context(), "n1", artifact.Artifact{Name: "iso", Stage: "s", File: path}); err != nil {
		b.Fatal(err)
	}
	for _, condition := range []string{"", "If-Unmodified-Since"} {
		b.Run(fmt.Sprintf("condition=%q", condition), func(b *testing.B) {
			b.ReportAllocs()
			r := httptest.NewRequest("GET", "/iso", nil)
			r.Header.Set("Range", "bytes=4096-8191")
			if condition != "" {
				r.Header.Set(condition, "Mon, 02 Jan 2040 15:04:05 GMT")
			}
			for b.Loop() {
				tree.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}

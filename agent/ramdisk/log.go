package ramdisk

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
)

// A Logger is a [Host] that keeps logs. Without it the agent has no extension
// for them.
type Logger interface {
	// Logs writes a gzipped tar archive of the logs.
	Logs(ctx context.Context, w io.Writer) error
}

// maxLogs bounds the logs that a conductor is sent.
const maxLogs = 16 << 20

// systemLogs returns the command that sends them.
func systemLogs(host Logger) func(context.Context, *command, parameters) (any, error) {
	return func(ctx context.Context, _ *command, _ parameters) (any, error) {
		w := &boundedBuffer{left: maxLogs}
		if err := host.Logs(ctx, w); err != nil {
			return nil, err
		}
		return map[string]string{"system_logs": base64.StdEncoding.EncodeToString(w.Bytes())}, nil
	}
}

// A boundedBuffer is a buffer that refuses what is too much.
type boundedBuffer struct {
	bytes.Buffer
	left int
}

// Write implements [io.Writer].
func (b *boundedBuffer) Write(p []byte) (int, error) {
	if len(p) > b.left {
		return 0, fmt.Errorf("logs of more than %d bytes", maxLogs)
	}
	b.left -= len(p)
	return b.Buffer.Write(p)
}

package ipminative

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/bougou/go-ipmi/pkg/command/transport"
	"github.com/bougou/go-ipmi/pkg/types"

	"github.com/ferrule/ferrule/driver/ipmi"
)

// payload is the console's number at the BMC.
const payload = 1

// Console implements ipmi.Client, with a session of its own.
func (c *client) Console(ctx context.Context, b *ipmi.BMC) (io.ReadWriteCloser, error) {
	if b.Version == "1.5" {
		return nil, errors.New("serial over LAN needs driver_info.ipmi_protocol_version 2.0")
	}
	s, err := c.login(ctx, b)
	if err != nil {
		return nil, err
	}
	off := &transport.DeactivatePayloadRequest{PayloadType: types.PayloadTypeSOL, PayloadInstance: payload}
	_, _ = s.client.DeactivatePayload(ctx, off) // most often there was none
	_, err = s.client.ActivatePayload(ctx, &transport.ActivatePayloadRequest{PayloadType: types.PayloadTypeSOL, PayloadInstance: payload})
	if err != nil {
		c.pool.drop(s)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, c.told(b, err)
	}
	run, stop := context.WithCancel(context.Background()) // until it is closed
	console := &console{stop: stop}
	console.in, console.typed = io.Pipe()
	console.Reader, console.out = io.Pipe()
	console.running.Go(func() {
		err := s.client.SOLStream(run, console.in, console.out, nil)
		console.in.Close()
		if run.Err() != nil || err == nil {
			err = io.EOF
		} else {
			err = c.told(b, err)
		}
		console.out.CloseWithError(err)
		last, cancel := context.WithTimeout(context.Background(), endTime)
		defer cancel()
		_, _ = s.client.DeactivatePayload(last, off)
		s.end()
	})
	return console, nil
}

// A console is the stream of an active payload.
type console struct {
	io.Reader // what the machine writes
	out       *io.PipeWriter
	in        *io.PipeReader
	typed     *io.PipeWriter // what is typed at it
	stop      context.CancelFunc
	running   sync.WaitGroup
}

// Write types at the console.
func (c *console) Write(p []byte) (int, error) { return c.typed.Write(p) }

// Close deactivates the payload and ends the session.
func (c *console) Close() error {
	c.stop()
	c.out.CloseWithError(io.EOF) // a write that nobody reads ends
	c.typed.Close()
	c.running.Wait()
	return nil
}

package console

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/ferrule/ferrule/task"
)

// A console is one that is started: a stream, and the end of what it wrote.
type console struct {
	node    string // name or UUID, for people
	stream  io.ReadWriteCloser
	log     *logFile // nil for none
	logger  *slog.Logger
	reading sync.WaitGroup

	typing sync.Mutex // held while something is typed: keys of two people do not mix

	mu    sync.Mutex
	more  sync.Cond // that there is more, or that it is over
	ring  []byte    // the last bytes written; byte i of the stream is at i % len(ring)
	end   int64     // how many bytes were written in all
	ended bool
	why   string // of the end, for people
}

func newConsole(n *task.Node, stream io.ReadWriteCloser, log *logFile, scrollBack int, logger *slog.Logger) *console {
	c := &console{node: n.String(), stream: stream, log: log, logger: logger.With("node", n.UUID), ring: make([]byte, scrollBack)}
	c.more.L = &c.mu
	c.reading.Go(c.read)
	return c
}

// read takes what the machine writes until its stream ends.
func (c *console) read() {
	for b := make([]byte, 32<<10); ; {
		n, err := c.stream.Read(b)
		c.append(b[:n])
		if err != nil {
			c.finish("the console ended: " + err.Error())
			break
		}
	}
	if err := c.log.close(); err != nil {
		c.logger.Warn("console log", "error", err)
	}
}

func (c *console) append(p []byte) {
	if len(p) == 0 {
		return
	}
	if err := c.log.write(p); err != nil {
		c.logger.Warn("console log ends here", "error", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if skip := len(p) - len(c.ring); skip > 0 {
		c.end += int64(skip)
		p = p[skip:]
	}
	for len(p) > 0 {
		n := copy(c.ring[c.end%int64(len(c.ring)):], p)
		c.end += int64(n)
		p = p[n:]
	}
	c.more.Broadcast()
}

// finish marks the end; the first reason stays.
func (c *console) finish(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.ended, c.why = true, why
		c.logger.Info("console is over", "reason", why)
	}
	c.more.Broadcast()
}

func (c *console) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// stop ends the stream and waits for that.
func (c *console) stop(why string) {
	c.finish(why)
	if err := c.stream.Close(); err != nil {
		c.logger.Warn("console does not close", "error", err)
	}
	c.reading.Wait()
}

// start is the place of the oldest byte that is kept. The lock is held.
func (c *console) start() int64 { return max(0, c.end-int64(len(c.ring))) }

func (c *console) attach() *Viewer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &Viewer{console: c, at: c.start()}
}

// A Viewer is one place where a console is seen and typed at. Read may be called
// beside Write and Close, and each from one goroutine at a time.
type Viewer struct {
	console *console
	at      int64  // the next byte to read; guarded by console.mu
	notice  []byte // to be read before that; guarded by console.mu
	closed  bool   // guarded by console.mu
}

var _ io.ReadWriteCloser = (*Viewer)(nil)

// Read reads from the scroll-back, then waits for more. The end of the console is
// io.EOF, after everything was read; after Close it is [io.ErrClosedPipe].
func (v *Viewer) Read(p []byte) (int, error) {
	c := v.console
	c.mu.Lock()
	defer c.mu.Unlock()
	for v.at == c.end && len(v.notice) == 0 && !c.ended && !v.closed {
		c.more.Wait()
	}
	if v.closed {
		return 0, io.ErrClosedPipe
	}
	if missed := c.start() - v.at; missed > 0 {
		v.notice = fmt.Appendf(v.notice, "\r\n[%d bytes were missed]\r\n", missed)
		v.at = c.start()
	}
	if len(v.notice) > 0 {
		n := copy(p, v.notice)
		v.notice = v.notice[n:]
		return n, nil
	}
	if v.at == c.end {
		return 0, io.EOF
	}
	at := int(v.at % int64(len(c.ring)))
	n := copy(p, c.ring[at:min(len(c.ring), at+int(c.end-v.at))])
	v.at += int64(n)
	return n, nil
}

// Write types p at the machine.
func (v *Viewer) Write(p []byte) (int, error) {
	c := v.console
	c.mu.Lock()
	closed, ended := v.closed, c.ended
	c.mu.Unlock()
	if closed {
		return 0, io.ErrClosedPipe
	}
	if ended {
		return 0, errors.New("console: it is over")
	}
	c.typing.Lock()
	defer c.typing.Unlock()
	return c.stream.Write(p)
}

// Close ends the viewer, not the console. A Read that waits ends.
func (v *Viewer) Close() error {
	v.console.mu.Lock()
	defer v.console.mu.Unlock()
	v.closed = true
	v.console.more.Broadcast()
	return nil
}

// end says why the console is over, "" while it is not.
func (v *Viewer) end() string {
	v.console.mu.Lock()
	defer v.console.mu.Unlock()
	return v.console.why
}

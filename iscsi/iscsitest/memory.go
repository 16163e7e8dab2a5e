package iscsitest

import (
	"io"
	"sync"
	"syscall"
)

const pageSize = 64 << 10

// A Memory is a sparse disk in memory. Its methods may be called by any number of
// goroutines.
type Memory struct {
	size int64

	mu     sync.Mutex
	pages  map[int64]*[pageSize]byte
	dirty  bool // written since the last Sync
	syncs  int
	fault  func(op Op, off, n int64) error
	room   int64 // pages that may still be taken; below 0 is any number
	writes int64
}

// An Op is what is done to a [Memory].
type Op string

// What a fault is asked about.
const (
	Read  Op = "read"
	Write Op = "write"
	Zero  Op = "zero"
	Sync  Op = "sync"
)

func newMemory(size int64) *Memory {
	return &Memory{size: size, pages: map[int64]*[pageSize]byte{}, room: -1}
}

// Fail has f asked before anything is done, and its error, if not nil, returned
// instead. f may take its time, and is not called while the Memory is locked. Nil ends that.
func (m *Memory) Fail(f func(op Op, off, n int64) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = f
}

// Fill leaves room for n more bytes, counted in pages of 64 KiB; a write for which
// there is none fails with ENOSPC.
func (m *Memory) Fill(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.room = n / pageSize
}

// Synced reports whether all that was written was followed by a Sync.
func (m *Memory) Synced() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.dirty
}

// Written is how many bytes were written, what was written again included.
func (m *Memory) Written() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.writes
}

func (m *Memory) ask(op Op, off, n int64) error {
	m.mu.Lock()
	f := m.fault
	m.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(op, off, n)
}

// ReadAt implements [io.ReaderAt].
func (m *Memory) ReadAt(p []byte, off int64) (int, error) {
	if err := m.ask(Read, off, int64(len(p))); err != nil {
		return 0, err
	}
	if off >= m.size {
		return 0, io.EOF
	}
	var end error
	if n := m.size - off; int64(len(p)) > n {
		p, end = p[:n], io.EOF
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for done := 0; done < len(p); {
		at := off + int64(done)
		part := p[done:min(len(p), done+int(pageSize-at%pageSize))]
		if page := m.pages[at/pageSize]; page != nil {
			copy(part, page[at%pageSize:])
		} else {
			clear(part)
		}
		done += len(part)
	}
	return len(p), end
}

// WriteAt implements [io.WriterAt].
func (m *Memory) WriteAt(p []byte, off int64) (int, error) {
	if err := m.ask(Write, off, int64(len(p))); err != nil {
		return 0, err
	}
	if off+int64(len(p)) > m.size {
		return 0, syscall.EIO
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dirty = true
	for done := 0; done < len(p); {
		at := off + int64(done)
		page := m.pages[at/pageSize]
		if page == nil {
			if m.room == 0 {
				return done, syscall.ENOSPC
			}
			m.room--
			page = new([pageSize]byte)
			m.pages[at/pageSize] = page
		}
		done += copy(page[at%pageSize:], p[done:])
	}
	m.writes += int64(len(p))
	return len(p), nil
}

// Zero makes a range read as zeros.
func (m *Memory) Zero(off, n int64) error {
	if err := m.ask(Zero, off, n); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dirty = true
	for end := off + n; off < end; {
		part := min(end-off, pageSize-off%pageSize)
		if page := m.pages[off/pageSize]; page != nil && part == pageSize {
			delete(m.pages, off/pageSize)
		} else if page != nil {
			clear(page[off%pageSize : off%pageSize+part])
		}
		off += part
	}
	return nil
}

// Sync notes that all was made last.
func (m *Memory) Sync() error {
	if err := m.ask(Sync, 0, m.size); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dirty = false
	m.syncs++
	return nil
}

package tftp

import "time"

const (
	// firstAnswers is how many times a request is answered whose client says
	// nothing: it may come from somebody who is not there.
	firstAnswers = 3

	// repeatAfter is how long a window is left alone that was sent again, before
	// the client's further complaints count. Those that come sooner are about
	// what was on its way already.
	repeatAfter = 20 * time.Millisecond
)

// A transfer is the state of one read, without file and socket: it is told what
// came and when, and says what is to be sent. Block 0 is the acknowledgement of
// options; the last block is shorter than the others, and may be empty.
type transfer struct {
	terms
	size     int64         // of the file
	last     int64         // block
	patience time.Duration // how long to go on without any progress

	acked    int64 // the client has every block up to this one; -1: not even block 0
	sent     int64 // every block up to this one was sent at least once
	resumed  int64 // blocks up to this one were sent before the client last fell behind
	answers  int   // times that the request was answered
	answered bool  // the client has acknowledged something
	done     bool  // the client has everything
	sentAt   time.Time
	movedAt  time.Time // of the last progress
	deadline time.Time // when expire is to be called
}

// blocks are what is to be sent: first to last, none if last is less.
type blocks struct{ first, last int64 }

var nothing = blocks{0, -1}

// begin starts a transfer and returns what answers the request.
func (t *transfer) begin(tm terms, size int64, retries int, now time.Time) blocks {
	*t = transfer{terms: tm, size: size, last: size/int64(tm.block) + 1, patience: tm.timeout * time.Duration(retries+1), movedAt: now}
	if tm.oack != nil {
		t.acked = -1
	}
	t.sent, t.resumed = t.acked, t.acked
	return t.advance(now)
}

// acknowledge takes an ACK and returns what follows. Numbers of blocks that were
// not sent, or that lie behind, are passed over.
func (t *transfer) acknowledge(number uint16, now time.Time) blocks {
	block := t.acked + int64(number-uint16(t.acked)) // the numbers roll over
	if t.done || block > t.sent {
		return nothing
	}
	if block == t.acked {
		// Once more what is known. Without windows it is a copy on the network,
		// and an answer would double everything from here on (RFC 1123, 4.2.3.1).
		// With windows it says that the next block is missing (RFC 7440).
		if t.window == 1 || !t.answered {
			return nothing
		}
	} else {
		t.acked, t.movedAt, t.answered = block, now, true
		if block == t.last {
			t.done = true
			t.deadline = now.Add(t.timeout)
			return nothing
		}
	}
	if block == t.sent {
		return t.advance(now)
	}
	// Something in the window is missing. A client may say so for each packet
	// that follows the gap: one repetition answers all of those.
	if block < t.resumed {
		if soon := t.sentAt.Add(repeatAfter); soon.Before(t.deadline) {
			t.deadline = soon
		}
		return nothing
	}
	return t.resume(now)
}

// expire is called when the deadline has passed. It returns what to send again;
// over tells that the transfer has ended: done, or given up.
func (t *transfer) expire(now time.Time) (b blocks, over bool) {
	switch {
	case now.Before(t.deadline):
		return nothing, false
	case t.done, !t.answered && t.answers >= firstAnswers, now.Sub(t.movedAt) >= t.patience:
		return nothing, true
	}
	return t.resume(now), false
}

// resume sends again what follows the last block that the client has.
func (t *transfer) resume(now time.Time) blocks {
	t.resumed = t.sent
	return t.advance(now)
}

// advance sends what follows the last block that the client has.
func (t *transfer) advance(now time.Time) blocks {
	if !t.answered {
		t.answers++
	}
	b := blocks{t.acked + 1, t.acked + 1}
	if b.first > 0 {
		b.last = min(t.acked+int64(t.window), t.last)
	}
	t.sent = b.last
	t.sentAt, t.deadline = now, now.Add(t.timeout)
	return b
}

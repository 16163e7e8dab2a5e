package tftp

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A step is an ACK, or time that passes, and the blocks that follow.
type step struct {
	ack   int
	after time.Duration
	want  string
}

func (b blocks) String() string {
	if b.last < b.first {
		return ""
	}
	return fmt.Sprintf("%d-%d", b.first, b.last)
}

func TestTransfer(t *testing.T) {
	const second = time.Second
	lockstep := terms{block: 512, window: 1, timeout: second}
	options := terms{block: 512, window: 1, timeout: second, oack: []byte("oack")}
	window := terms{block: 512, window: 4, timeout: second, oack: []byte("oack")}
	for _, test := range []struct {
		name   string
		terms  terms
		size   int64
		answer string
		steps  []step
		end    string // done or over
	}{
		{"one block", lockstep, 100, "1-1", []step{{ack: 1}}, "done"},
		{"empty file", lockstep, 0, "1-1", []step{{ack: 1}}, "done"},
		{"last block empty", lockstep, 1024, "1-1", []step{{ack: 1, want: "2-2"}, {ack: 2, want: "3-3"}, {ack: 3}}, "done"},
		{"options", options, 600, "0-0", []step{{ack: 0, want: "1-1"}, {ack: 1, want: "2-2"}, {ack: 2}}, "done"},
		{"windows", window, 512 * 9, "0-0", []step{{ack: 0, want: "1-4"}, {ack: 4, want: "5-8"}, {ack: 8, want: "9-10"}, {ack: 10}}, "done"},
		{"data lost", lockstep, 600, "1-1", []step{{after: second, want: "1-1"}, {ack: 1, want: "2-2"}, {after: second, want: "2-2"}, {ack: 2}}, "done"},
		{"repeated ACK draws nothing", lockstep, 5000, "1-1", []step{{ack: 1, want: "2-2"}, {ack: 1}, {ack: 1}, {after: second, want: "2-2"}, {ack: 1}, {ack: 2, want: "3-3"}}, ""},
		{"future and past", lockstep, 5000, "1-1", []step{{ack: 2}, {ack: 0}, {ack: 40000}, {ack: 1, want: "2-2"}, {ack: 0}, {ack: 65535}, {ack: 3}}, ""},
		{"ACK before the answer to options", window, 5000, "0-0", []step{{ack: 1}, {ack: 65535}, {ack: 0, want: "1-4"}}, ""},
		{"gap in a window", window, 512 * 9, "0-0", []step{{ack: 0, want: "1-4"}, {ack: 2, want: "3-6"}, {ack: 6, want: "7-10"}}, ""},
		{"first of a window lost", window, 512 * 9, "0-0", []step{{ack: 0, want: "1-4"}, {ack: 0, want: "1-4"}, {ack: 0}, {ack: 0}, {ack: 4, want: "5-8"}}, ""},
		{"lost twice, said twice", window, 512 * 9, "0-0", []step{{ack: 0, want: "1-4"}, {ack: 0, want: "1-4"}, {ack: 0}, {after: repeatAfter, want: "1-4"}, {after: repeatAfter}, {after: second, want: "1-4"}}, ""},
		{"client acknowledges each block", window, 512 * 20, "0-0", []step{{ack: 0, want: "1-4"}, {ack: 1, want: "2-5"}, {ack: 2}, {ack: 3}, {ack: 4, want: "5-8"}, {ack: 5, want: "6-9"}, {ack: 6}}, ""},
		{"client that says nothing", lockstep, 5000, "1-1", []step{{after: second, want: "1-1"}, {after: second, want: "1-1"}, {after: second}}, "over"},
		{"client that vanishes", lockstep, 5000, "1-1", []step{{ack: 1, want: "2-2"}, {after: second, want: "2-2"}, {after: second, want: "2-2"}, {after: second, want: "2-2"}, {after: second}}, "over"},
		{"progress prolongs", lockstep, 5000, "1-1", []step{{after: second, want: "1-1"}, {after: second, want: "1-1"}, {ack: 1, want: "2-2"}, {after: second, want: "2-2"}, {after: second, want: "2-2"}, {after: second, want: "2-2"}, {ack: 2, want: "3-3"}}, ""},
		{"stays for late packets", lockstep, 100, "1-1", []step{{ack: 1}, {ack: 1}, {after: second / 2}, {ack: 1}, {after: second / 2}}, "over"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var tr transfer
			now := time.Unix(1e9, 0)
			require.Equal(t, test.answer, tr.begin(test.terms, test.size, 3, now).String())
			over := false
			for i, s := range test.steps {
				var got blocks
				if s.after > 0 {
					now = now.Add(s.after)
					got, over = tr.expire(now)
				} else {
					got = tr.acknowledge(uint16(s.ack), now)
				}
				require.Equal(t, s.want, got.String(), "step %d: %+v", i, s)
				require.Equal(t, over, test.end == "over" && i == len(test.steps)-1, "over at step %d: %+v", i, s)
			}
			if test.end != "over" {
				require.Equal(t, test.end == "done", tr.done)
			}
		})
	}
}

// TestRollOver reads a file of more blocks than there are numbers.
func TestRollOver(t *testing.T) {
	var tr transfer
	now := time.Unix(1e9, 0)
	b := tr.begin(terms{block: 8, window: 3, timeout: time.Second, oack: []byte("oack")}, 8*140_000, 3, now)
	for want := int64(0); !tr.done; {
		require.Equal(t, want, b.first)
		want = b.last + 1
		b = tr.acknowledge(uint16(b.last), now)
	}
	require.Equal(t, int64(140_001), tr.acked)
}

// A reader is a client by the RFCs: it acknowledges the last block of a window,
// and says at the first gap, or when nothing comes, what it has.
type reader struct {
	window int64
	have   int64 // -1: not even the OACK
	acked  int64
	sent   func(ack int64)
}

func (r *reader) take(block int64, last bool) {
	if block == r.have+1 {
		r.have = block
		if last || block-r.acked >= r.window || block == 0 {
			r.acked = block
			r.sent(block)
		}
		return
	}
	if block == r.have || r.window > 1 && block > r.have && r.acked != r.have {
		r.acked = r.have
		r.sent(r.have)
	}
}

// TestLossyNetwork reads a file through a network that loses, doubles and
// reorders packets both ways. Whatever it does, everything arrives, and nothing
// is sent much more often than it must be.
func TestLossyNetwork(t *testing.T) {
	complete := 0
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		window := 1 + random.IntN(2)*random.IntN(20)
		loss, double, late := random.Float64()/5, random.Float64()/5, random.Float64()/20
		const total = 200
		tm := terms{block: 8, window: window, timeout: time.Second}
		if window > 1 || seed%2 == 0 {
			tm.oack = []byte("oack")
		}
		type packet struct {
			at    time.Time
			block int64
			ack   bool
		}
		now, sent := time.Unix(1e9, 0), 0
		var wire []packet
		carry := func(p packet) {
			copies := 1
			if random.Float64() < double {
				copies++
			}
			for range copies {
				if random.Float64() >= loss {
					p.at = now.Add(time.Millisecond)
					if random.Float64() < late {
						p.at = now.Add(3 * time.Millisecond)
					}
					wire = append(wire, p)
				}
			}
		}
		var tr transfer
		r := reader{window: int64(window), have: -1, acked: -1, sent: func(b int64) { carry(packet{block: b, ack: true}) }}
		if tm.oack == nil {
			r.have, r.acked = 0, 0
		}
		send := func(b blocks) {
			for i := b.first; i <= b.last; i++ {
				sent++
				carry(packet{block: i})
			}
		}
		send(tr.begin(tm, 8*total-1, 30, now))
		for r.have < total {
			next := -1
			for i, p := range wire {
				if next < 0 || p.at.Before(wire[next].at) {
					next = i
				}
			}
			if next < 0 || tr.deadline.Before(wire[next].at) {
				now = tr.deadline
				b, over := tr.expire(now)
				if over && !tr.answered {
					break // the client asks again
				}
				require.False(t, over, "seed %d: given up at block %d of %d", seed, r.have, total)
				send(b)
				continue
			}
			p := wire[next]
			wire = append(wire[:next], wire[next+1:]...)
			now = p.at
			if p.ack {
				send(tr.acknowledge(uint16(p.block), now))
			} else {
				r.take(p.block, p.block == total)
			}
		}
		if r.have == total {
			complete++
		}
		// Each packet that is lost or late costs a window or so.
		require.Less(t, float64(sent), total*(1+3*(loss+late)*float64(window))+100, "seed %d, window %d, loss %.2f, doubled %.2f, late %.2f", seed, window, loss, double, late)
		if window == 1 {
			require.Less(t, float64(sent), total*(1+4*loss)+20, "seed %d, loss %.2f, doubled %.2f: Sorcerer's apprentice", seed, loss, double)
		}
	}
	require.Greater(t, complete, 280)
}

// FuzzTransfer has a hostile client send any ACKs at any time.
func FuzzTransfer(f *testing.F) {
	f.Add(uint16(600), uint8(1), true, []byte{0, 0, 0, 1, 255, 255})
	f.Add(uint16(60000), uint8(16), false, []byte{0, 16, 0x80, 3, 0, 16})
	f.Fuzz(func(t *testing.T, size uint16, window uint8, oack bool, script []byte) {
		tm := terms{block: 8, window: int(window)%maxWindow + 1, timeout: time.Second}
		if oack {
			tm.oack = []byte("oack")
		} else {
			tm.window = 1
		}
		var tr transfer
		now := time.Unix(1e9, 0)
		answers := 0
		check := func(b blocks) {
			if b.last < b.first {
				return
			}
			require.LessOrEqual(t, b.last, tr.last)
			require.LessOrEqual(t, b.last-b.first+1, int64(tm.window))
			require.Equal(t, tr.acked+1, b.first)
			require.False(t, tr.done)
			if !tr.answered {
				answers++
			}
			require.LessOrEqual(t, answers, firstAnswers)
			require.True(t, tr.deadline.After(now))
		}
		check(tr.begin(tm, int64(size), 5, now))
		for ; len(script) >= 2; script = script[2:] {
			acked, sent := tr.acked, tr.sent
			if script[0]&0x80 != 0 {
				now = now.Add(time.Duration(script[1]) * 10 * time.Millisecond)
				b, over := tr.expire(now)
				check(b)
				if over {
					return
				}
			} else {
				check(tr.acknowledge(uint16(script[0])<<8|uint16(script[1]), now))
			}
			require.GreaterOrEqual(t, tr.acked, acked)
			require.LessOrEqual(t, tr.acked, sent, "an ACK of what was never sent counted")
			require.GreaterOrEqual(t, tr.sent, sent)
			require.True(t, tr.done == (tr.acked == tr.last))
		}
	})
}

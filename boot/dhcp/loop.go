package dhcp

import (
	"fmt"
	"time"
)

// A machine that asks for its loader as often as this, within that time, does
// not get on. Real firmware takes a minute and more from one start to the next.
const (
	loopCount = 4
	loopTime  = 5 * time.Minute
)

// A loopWatch notices a machine that is told its loader again and again.
type loopWatch struct {
	asked  [loopCount]time.Time // the newest first
	last   string               // the transaction that was counted last
	script bool                 // iPXE has asked since the first of asked
}

// watch takes note of an answer that named the loader, or the script, and adds
// what is to be said about it to findings.
func (l *loopWatch) watch(findings []Finding, script bool, transaction string, now time.Time) []Finding {
	if script {
		l.script = true
		return findings
	}
	if transaction != l.last {
		if now.Sub(l.asked[0]) > loopTime {
			l.script = false
		}
		copy(l.asked[1:], l.asked[:])
		l.asked[0], l.last = now, transaction
	}
	first := l.asked[loopCount-1]
	if first.IsZero() || now.Sub(first) > loopTime {
		return findings
	}
	why := "the loader does not start, or DHCP cannot tell that it is iPXE"
	if l.script {
		why = "it came back as iPXE in between, so what iPXE runs ends or fails"
	}
	loop := Finding{Loop, fmt.Sprintf("asked for its loader %d times in %s: %s", loopCount, now.Sub(first).Round(time.Second), why)}
	return append([]Finding{loop}, findings...)
}

package dhcp

import "time"

// logAgain is the least time between two log lines of one kind about one
// machine, so that what a machine or a forger repeats does not fill the log.
const logAgain = time.Minute

// worthLogging returns the findings that are to be logged. Those about machines
// that nobody named share one limit.
func (r *Responder) worthLogging(e *entry, findings []Finding, now time.Time) []Finding {
	var all []Finding
	for _, f := range findings {
		if f.normal() {
			continue
		}
		told := r.told
		if e != nil {
			if e.told == nil {
				e.told = map[Kind]time.Time{}
			}
			told = e.told
		}
		if last, ok := told[f.Kind]; ok && now.Sub(last) < logAgain {
			continue
		}
		told[f.Kind] = now
		all = append(all, f)
	}
	return all
}

// report tells the observer what was found about a node, and the log what needs
// an operator's eye. Firmware gives its address back between any two steps: that
// is no evidence of anything.
func (r *Responder) report(node, key string, findings, log []Finding) {
	for _, f := range log {
		r.cfg.logger().Warn("DHCP: "+f.Detail, "finding", string(f.Kind), "node", node, "machine", macOf(key))
	}
	if node == "" || len(findings) == 0 || r.cfg.Observer == nil || (len(findings) == 1 && findings[0].Kind == Left) {
		return
	}
	r.cfg.Observer(EvidenceOf(node, findings))
}

package roletest

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/ferrule/ferrule/task"
)

// canary is unlike anything that a driver would say, and the same in every escaping.
const canary = "xqzCanary7Wvk"

// A Spy knows the secrets of a task and reads what is said about it.
type Spy struct {
	words []string

	mu   sync.Mutex
	said bytes.Buffer // guarded by mu
}

// Plant returns a [Clone] of t with a made-up value in each secret property and
// under some keys with a secret's name, whose logs and evidence the spy reads.
// With keep, secrets that t has stay, and the spy knows those.
func Plant(t *task.Task, props task.Properties, keep bool) (*task.Task, *Spy) {
	spy := &Spy{words: []string{canary}}
	c := With(t, "driver_info.spare_password", canary)
	c = With(c, "instance_info.spare_token", canary)
	for field, p := range props {
		if !p.Secret {
			continue
		}
		in, name, _ := strings.Cut(field, ".")
		if info := infoOf(c.Node, in); keep && info != nil {
			if word := info.Text(name); len(word) >= 4 { // shorter ones are found everywhere
				spy.words = append(spy.words, word)
			}
			continue
		}
		c = With(c, field, canary)
	}
	c.Logger = slog.New(slog.NewTextHandler(spy, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.Observer = func(e task.Evidence) { fmt.Fprintf(spy, "%+v\n", e) }
	return c, spy
}

// Write keeps what is logged.
func (s *Spy) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.Write(p)
}

// Hear keeps what f's error says, in every form that a program would print it in.
func (s *Spy) Hear(f func() error) {
	if err := guard(f); err != nil {
		fmt.Fprintf(s, "%v\n%+v\n%q\n", err, err, err)
	}
}

// Found says which line told a secret.
func (s *Spy) Found() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range strings.Lines(s.said.String()) {
		for _, word := range s.words {
			if strings.Contains(line, word) {
				return fmt.Errorf("a secret was told, here as ******: %s", strings.ReplaceAll(strings.TrimSpace(line), word, "******"))
			}
		}
	}
	return nil
}

package ipxe

import (
	"bytes"
	"context"
	"strings"
)

// A script is the lines of an image. Lines that end in a backslash are joined.
type script struct {
	lines      []scriptLine
	next       int            // line to run next
	labels     map[string]int // first line with that label
	unfinished bool           // the last line ends in a backslash
}

type scriptLine struct {
	number  int
	command string
}

// stop says how much of what runs is to end.
type stop int

const (
	stopNone   stop = iota
	stopLine        // after goto
	stopScript      // after exit
)

// isScript reports the magic: #!ipxe or the older #!gpxe, and white space.
func isScript(data []byte) bool {
	return len(data) > 6 && isSpace(rune(data[6])) &&
		(bytes.HasPrefix(data, []byte("#!ipxe")) || bytes.HasPrefix(data, []byte("#!gpxe")))
}

func parseScript(data []byte) *script {
	s := &script{labels: map[string]int{}}
	joined, first := "", 1
	for i, text := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		text = strings.TrimSuffix(text, "\r")
		if before, ok := strings.CutSuffix(text, `\`); ok {
			joined += before
			s.unfinished = true
			continue
		}
		s.unfinished = false
		s.add(first, joined+text)
		joined, first = "", i+2
	}
	return s
}

// add appends a logical line. A label may have a command after it.
func (s *script) add(number int, text string) {
	text, _, _ = strings.Cut(text, "\x00")
	text = strings.TrimLeftFunc(text, isSpace)
	if rest, ok := strings.CutPrefix(text, ":"); ok {
		label := rest
		text = ""
		if i := strings.IndexFunc(rest, isSpace); i >= 0 {
			label, text = rest[:i], rest[i:]
		}
		if _, dup := s.labels[label]; !dup {
			s.labels[label] = len(s.lines)
		}
	}
	s.lines = append(s.lines, scriptLine{number, text})
}

// runScript runs img until it ends, exits or fails.
func (m *interp) runScript(ctx context.Context, img *image) error {
	s := parseScript(img.data)
	savedImage, savedLines := m.current, m.lines
	m.current, m.lines = img, s
	defer func() { m.current, m.lines = savedImage, savedLines }()
	if m.depth++; m.depth > maxDepth {
		return limitf("scripts are nested more than %d deep", maxDepth)
	}
	defer func() { m.depth-- }()

	for s.next < len(s.lines) {
		line := s.lines[s.next]
		s.next++
		err := m.runLine(ctx, line.command)
		stopped := m.stop == stopScript
		m.stop = stopNone
		switch {
		case err == errHalt, stopped && !isFinal(err):
			return err
		case err != nil:
			return &ScriptError{URL: img.uri.redacted(), Line: line.number, Command: m.last, Err: err}
		}
	}
	if s.unfinished {
		return &ScriptError{URL: img.uri.redacted(), Line: strings.Count(string(img.data), "\n") + 1, Command: `\`,
			Err: EINVAL.failf("the script ends in a line to be continued")}
	}
	return nil
}

// runLine runs the commands of a line, which "||", "&&" and ";" separate.
func (m *interp) runLine(ctx context.Context, text string) error {
	words := strings.FieldsFunc(text, isSpace)
	process := true
	var err error
	for {
		n, then := terminator(words)
		if process {
			if err = m.runCommand(ctx, words[:n]); isFinal(err) {
				return err
			}
			m.settings.noteError(err)
		}
		if m.stop != stopNone || then == "" {
			return err
		}
		words = words[n+1:]
		process = then == ";" || (then == "&&") == (err == nil)
	}
}

// terminator returns how many words the first command has and what ends it.
func terminator(words []string) (n int, then string) {
	for i, w := range words {
		switch {
		case w[0] == '#':
			return i, ""
		case w == "||", w == "&&", w == ";":
			return i, w
		}
	}
	return len(words), ""
}

// runCommand expands words and runs them. No words are a success.
func (m *interp) runCommand(ctx context.Context, words []string) error {
	if len(words) == 0 {
		return nil
	}
	m.last = words[0]
	if m.commands++; m.commands > m.cfg.MaxCommands {
		return limitf("more than %d commands", m.cfg.MaxCommands)
	}
	if err := ctx.Err(); err != nil {
		return fatal{err}
	}
	argv := make([]string, len(words))
	size := 0
	for i, w := range words {
		var err error
		if argv[i], err = m.expand(w); err != nil {
			return err
		}
		if size += len(argv[i]) + 1; size > maxText {
			return limitf("a command is longer than %d bytes", maxText)
		}
	}
	m.last = argv[0]
	cmd, ok := lookup(argv[0])
	if !ok {
		m.print(argv[0] + ": command not found\n")
		return ENOEXEC.failf("command not found")
	}
	a, err := cmd.parse(argv)
	if err != nil {
		return err
	}
	err = cmd.run(m, ctx, a)
	m.last = argv[0] // a script that ran meanwhile has left its own
	return err
}

func isSpace(r rune) bool {
	return r == ' ' || r >= '\t' && r <= '\r'
}

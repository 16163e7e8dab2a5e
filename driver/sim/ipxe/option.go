package ipxe

import (
	"context"
	"strings"
)

// A command is one of iPXE's, with what it takes.
type command struct {
	options  []option
	min, max int // arguments after the options
	run      func(m *interp, ctx context.Context, a args) error
}

// An option is --long, or -short; some have a value.
type option struct {
	long     string
	short    byte
	hasValue bool
}

// args is a command line taken apart.
type args struct {
	options map[string]string // by long name; a flag has an empty value
	rest    []string
}

const unlimited = 1 << 30

// parse splits argv as iPXE's getopt does: options end at the first word that
// does not begin with "-", and a value in a word of its own must not either.
func (c command) parse(argv []string) (args, error) {
	a := args{options: map[string]string{}}
	words := argv[1:]
	for len(words) > 0 && strings.HasPrefix(words[0], "-") {
		word := words[0]
		words = words[1:]
		if word == "--" {
			break
		}
		var err error
		if long, ok := strings.CutPrefix(word, "--"); ok {
			words, err = c.long(a, long, words)
		} else {
			words, err = c.short(a, word[1:], words)
		}
		if err != nil {
			return args{}, err
		}
	}
	if a.rest = words; len(words) < c.min || len(words) > c.max {
		return args{}, ERANGE.failf("wrong number of arguments: %d", len(words))
	}
	return a, nil
}

func (c command) long(a args, text string, words []string) ([]string, error) {
	name, value, inline := strings.Cut(text, "=")
	for _, o := range c.options {
		switch {
		case o.long != name:
			continue
		case inline && !o.hasValue:
			return nil, EINVAL.failf("option %q takes no argument", name)
		case o.hasValue && !inline:
			return a.takeValue(o, words)
		}
		a.options[name] = value
		return words, nil
	}
	if text == "help" {
		return nil, ECANCELED.failf("nothing to do")
	}
	return nil, EINVAL.failf("unrecognised option %q", "--"+name)
}

// short reads one or more single-letter options of one word.
func (c command) short(a args, letters string, words []string) ([]string, error) {
	if letters == "" {
		return nil, EINVAL.failf(`unrecognised option "-"`)
	}
	for letters != "" {
		letter := letters[0]
		letters = letters[1:]
		i := 0
		for i < len(c.options) && c.options[i].short != letter {
			i++
		}
		switch {
		case i == len(c.options):
			return nil, EINVAL.failf("unrecognised option %q", "-"+string(rune(letter)))
		case !c.options[i].hasValue:
			a.options[c.options[i].long] = ""
		case letters != "":
			a.options[c.options[i].long] = letters
			return words, nil
		default:
			return a.takeValue(c.options[i], words)
		}
	}
	return words, nil
}

func (a args) takeValue(o option, words []string) ([]string, error) {
	if len(words) == 0 || strings.HasPrefix(words[0], "-") {
		return nil, EINVAL.failf("option %q requires an argument", o.long)
	}
	a.options[o.long] = words[0]
	return words[1:], nil
}

// has reports whether an option was given.
func (a args) has(name string) bool {
	_, ok := a.options[name]
	return ok
}

// number returns an option's number, or missing where it was not given.
func (a args) number(name string, missing uint32) (uint32, error) {
	if !a.has(name) {
		return missing, nil
	}
	return parseInteger(a.options[name])
}

// parseInteger reads a number as strtoul with base 0 does: octal and hex
// prefixes, a sign, silent overflow.
func parseInteger(text string) (uint32, error) {
	s := strings.TrimLeftFunc(text, isSpace)
	negative := strings.HasPrefix(s, "-")
	if negative || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	base := uint32(10)
	if strings.HasPrefix(s, "0") {
		base, s = 8, s[1:]
		if strings.HasPrefix(s, "x") || strings.HasPrefix(s, "X") {
			base, s = 16, s[1:]
		}
	}
	var n uint32
	for i := range len(s) {
		d := digit(s[i])
		if d >= base {
			return 0, EINVAL.failf("%q: invalid integer value", text)
		}
		n = n*base + d
	}
	if text == "" {
		return 0, EINVAL.failf(`"": invalid integer value`)
	}
	if negative {
		n = -n
	}
	return n, nil
}

func digit(c byte) uint32 {
	switch {
	case c >= '0' && c <= '9':
		return uint32(c - '0')
	case c >= 'a' && c <= 'f':
		return uint32(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return uint32(c-'A') + 10
	}
	return 99
}

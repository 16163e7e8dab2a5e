package boot

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/task"
)

// A KernelArg is one argument of a kernel command line: a flag, or key=value.
type KernelArg struct {
	Key   string
	Value string
	Flag  bool // no "=" and no value
}

// KernelArgs is a kernel command line in order.
type KernelArgs []KernelArg

// Args returns params as kernel arguments, sorted by name. Every one that a
// command line cannot carry is reported; see [KernelArgs.Render].
func (p Params) Args() (KernelArgs, error) {
	args := make(KernelArgs, 0, len(p))
	for _, k := range slices.Sorted(maps.Keys(p)) {
		args = append(args, KernelArg{Key: k, Value: p[k]})
	}
	_, err := args.Render()
	return args, err
}

// ParseKernelArgs reads a command line as the Linux kernel does (next_arg in
// lib/cmdline.c): arguments are separated by spaces, which double quotes around
// a value or a whole argument keep in it. A quote anywhere else, an open one and
// a control character are errors.
func ParseKernelArgs(line string) (KernelArgs, error) {
	var args KernelArgs
	for rest := strings.TrimLeft(line, " "); rest != ""; rest = strings.TrimLeft(rest, " ") {
		end, quoted := len(rest), false
		for i := range len(rest) {
			if rest[i] == '"' {
				quoted = !quoted
			}
			if rest[i] == ' ' && !quoted {
				end = i
				break
			}
		}
		if quoted {
			return nil, fmt.Errorf("%w: kernel arguments %q: quote without end", task.ErrInvalidParameter, line)
		}
		word := unquoted(rest[:end])
		rest = rest[end:]
		k, v, ok := strings.Cut(word, "=")
		args = append(args, KernelArg{Key: k, Value: unquoted(v), Flag: !ok})
	}
	_, err := args.Render()
	return args, err
}

// unquoted takes the quotes off that stand around s.
func unquoted(s string) string {
	inner, ok := strings.CutPrefix(s, `"`)
	if !ok || !strings.HasSuffix(inner, `"`) {
		return s
	}
	return strings.TrimSuffix(inner, `"`)
}

// hardSpace is a byte that the kernel, which reads Latin-1, takes for a space. It
// is in the UTF-8 of letters such as à.
const hardSpace = "\xa0"

// Render returns the command line. A value with a space is put in double
// quotes. What the kernel has no way to write is refused, each problem on its
// own: a control character such as a newline, a double quote, a blank in a key,
// and an empty key. The errors are task.ErrInvalidParameter.
func (a KernelArgs) Render() (string, error) {
	var b strings.Builder
	var errs []error
	for _, arg := range a {
		if err := arg.check(); err != nil {
			errs = append(errs, err)
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(arg.Key)
		switch {
		case arg.Flag:
		case strings.Contains(arg.Value, " ") || strings.Contains(arg.Value, hardSpace):
			fmt.Fprintf(&b, `="%s"`, arg.Value)
		default:
			b.WriteString("=" + arg.Value)
		}
	}
	return b.String(), task.Join(errs...)
}

func (a KernelArg) check() error {
	bad := func(why string) error {
		return fmt.Errorf("%w: kernel argument %q %s", task.ErrInvalidParameter, a.Key, why)
	}
	switch {
	case a.Key == "":
		return bad("has no name")
	case strings.ContainsAny(a.Key, ` "=`), strings.Contains(a.Key, hardSpace):
		return bad("has a blank, a quote or = in its name")
	case strings.ContainsRune(a.Value, '"'):
		return bad("has a quote in its value, which a kernel command line cannot carry")
	case strings.ContainsFunc(a.Key+a.Value, isControl):
		return bad("has a newline or another control character, which would end the line")
	}
	return nil
}

func isControl(r rune) bool {
	return r < ' ' || r == 0x7f || r == '\u0085' || r == '\u2028' || r == '\u2029'
}

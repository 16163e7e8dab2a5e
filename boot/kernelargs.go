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
// lib/cmdline.c): arguments are separated by spaces, and double quotes keep
// spaces in a value. A control character or an open quote is an error.
func ParseKernelArgs(line string) (KernelArgs, error) {
	var args KernelArgs
	for rest := strings.TrimLeft(line, " "); rest != ""; rest = strings.TrimLeft(rest, " ") {
		end, quoted := len(rest), false
		for i, r := range rest {
			if r == '"' {
				quoted = !quoted
			}
			if r == ' ' && !quoted {
				end = i
				break
			}
		}
		if quoted {
			return nil, fmt.Errorf("%w: kernel arguments %q: quote without end", task.ErrInvalidParameter, line)
		}
		word := strings.ReplaceAll(rest[:end], `"`, "")
		rest = rest[end:]
		k, v, ok := strings.Cut(word, "=")
		args = append(args, KernelArg{Key: k, Value: v, Flag: !ok})
	}
	_, err := args.Render()
	return args, err
}

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
		case strings.Contains(arg.Value, " "):
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
	case strings.ContainsAny(a.Key, ` "=`):
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

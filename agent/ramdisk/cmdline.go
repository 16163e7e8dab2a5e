package ramdisk

import "strings"

// ParseCommandLine reads the kernel's command line (/proc/cmdline) by the
// kernel's rules: parameters are separated by white space, double quotes keep
// white space inside one, and quotes around a value or a whole parameter are
// dropped. A parameter without a value has "". Of those given twice the last
// one counts.
func ParseCommandLine(s string) map[string]string {
	params := map[string]string{}
	for {
		s = strings.TrimLeft(s, " \t\n\v\f\r")
		if s == "" {
			return params
		}
		var name, value string
		name, value, s = nextParameter(s)
		if name != "" && name != "--" {
			params[name] = value
		}
	}
}

func nextParameter(s string) (name, value, rest string) {
	quoted := s[0] == '"'
	if quoted {
		s = s[1:]
	}
	inQuotes, equals, end := quoted, 0, len(s)
	for i := range len(s) {
		if strings.IndexByte(" \t\n\v\f\r", s[i]) >= 0 && !inQuotes {
			end = i
			break
		}
		if s[i] == '=' && equals == 0 {
			equals = i
		}
		if s[i] == '"' {
			inQuotes = !inQuotes
		}
	}
	s, rest = s[:end], s[end:]
	if quoted {
		s = strings.TrimSuffix(s, `"`)
	}
	if equals == 0 || equals >= len(s) {
		return s, "", rest
	}
	name, value = s[:equals], s[equals+1:]
	if unquoted, ok := strings.CutPrefix(value, `"`); ok {
		value = strings.TrimSuffix(unquoted, `"`)
	}
	return name, value, rest
}

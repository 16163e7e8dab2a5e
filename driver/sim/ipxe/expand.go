package ipxe

import "strings"

// expand replaces every ${setting} in a word, innermost first, until none is
// left: what a setting expands to is expanded again. Real iPXE would do so for
// ever with a setting that names itself.
func (m *interp) expand(word string) (string, error) {
	if len(word) > maxText {
		return "", limitf("a word is longer than %d bytes", maxText)
	}
	for range maxExpansions {
		start, end := -1, -1
		for i := range len(word) {
			if strings.HasPrefix(word[i:], "${") {
				start = i
			}
			if start >= 0 && word[i] == '}' {
				end = i
				break
			}
		}
		if end < 0 {
			return word, nil
		}
		word = word[:start] + m.value(word[start+2:end]) + word[end+1:]
		if len(word) > maxText {
			return "", limitf("a word grows beyond %d bytes", maxText)
		}
	}
	return "", limitf("a word has more than %d settings", maxExpansions)
}

// value returns a setting as text. What is unset or invalid is empty.
func (m *interp) value(name string) string {
	n, err := parseName(name)
	if err != nil {
		return ""
	}
	if n.block == "" || n.block == "builtin" {
		switch n.name {
		case "cwuri":
			return m.currentURI().String()
		case "cwduri":
			return m.currentURI().resolve(parseURI(".")).String()
		}
	}
	v, ok := m.settings.fetch(n)
	if !ok {
		return ""
	}
	text, err := formatValue(v.kind, v.raw)
	if err != nil {
		return ""
	}
	text, _, _ = strings.Cut(text, "\x00")
	return text
}

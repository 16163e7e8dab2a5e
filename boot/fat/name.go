package fat

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

// plainShort returns the short form of a name that needs no other one, "" if
// there is none: at most 8 capital letters or digits, and 3 after a dot.
func plainShort(name string) string {
	base, ext, dot := strings.Cut(name, ".")
	if base == "" || len(base) > 8 || len(ext) > 3 || (dot && ext == "") || strings.ContainsFunc(base+ext, func(r rune) bool { return !shortRune(r) }) {
		return ""
	}
	return fmt.Sprintf("%-8s%-3s", base, ext)
}

func shortRune(r rune) bool {
	return 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'()-@^_`{}~", r)
}

// numberedShort returns a short name for one that is none itself: cut, with a
// number that no other name in the folder has.
func numberedShort(name string, taken map[string]bool) string {
	clean := func(s string) string {
		return strings.Map(func(r rune) rune {
			switch {
			case shortRune(r):
				return r
			case r == ' ' || r == '.':
				return -1
			}
			return '_'
		}, strings.ToUpper(s))
	}
	base, ext := name, ""
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		base, ext = name[:i], name[i+1:]
	}
	base, ext = clean(base), clean(ext)
	ext = ext[:min(len(ext), 3)]
	if base == "" {
		base = "_"
	}
	for i := 1; ; i++ {
		number := fmt.Sprintf("~%d", i)
		if short := fmt.Sprintf("%-8s%-3s", base[:min(len(base), 8-len(number))]+number, ext); !taken[short] {
			return short
		}
	}
}

// longChars is how many characters of a long name one entry has.
const longChars = 13

func longEntries(name string) int {
	return (len(utf16.Encode([]rune(name))) + longChars - 1) / longChars
}

// longName returns the entries that go before the one of the short name.
func longName(name, short string) []byte {
	units := utf16.Encode([]rune(name))
	n := longEntries(name)
	if len(units) < n*longChars {
		units = append(units, 0)
	}
	for len(units) < n*longChars {
		units = append(units, 0xffff)
	}
	var b []byte
	for i := n; i >= 1; i-- {
		e := make([]byte, entrySize)
		e[0] = byte(i)
		if i == n {
			e[0] |= 0x40 // the last part, which comes first
		}
		e[11], e[13] = attrLong, shortSum(short)
		part := units[(i-1)*longChars : i*longChars]
		for j, at := range [longChars]int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
			binary.LittleEndian.PutUint16(e[at:], part[j])
		}
		b = append(b, e...)
	}
	return b
}

// shortSum ties a long name to its short one.
func shortSum(short string) byte {
	var sum byte
	for i := range len(short) {
		sum = sum>>1 | sum<<7
		sum += short[i]
	}
	return sum
}

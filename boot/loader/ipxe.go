package loader

import (
	"fmt"
	"strings"

	"github.com/ferrule/ferrule/boot"
)

// IPXE is the [Rule] of iPXE. It splits a line into words at blanks, and knows no
// quotes: a word may be one of its own, settings are expanded inside words, and words
// are joined again by one blank each (core/exec.c and core/settings.c).
func IPXE(arg boot.KernelArg) string {
	line, err := boot.KernelArgs{arg}.Render() // words begin with the quotes that are in it
	switch {
	case err != nil:
		return ""
	case strings.Contains(line, "${"):
		return "has ${, which iPXE would expand"
	case strings.Contains(line, "  "):
		return "has several blanks in a row, which iPXE would make one"
	}
	for word := range strings.SplitSeq(line, " ") {
		switch {
		case word == "||", word == "&&", word == ";":
			return fmt.Sprintf("has the word %q, which ends a command of iPXE", word)
		case strings.HasPrefix(word, "#"):
			return "has a word that begins with #, where iPXE sees a comment"
		}
	}
	return ""
}

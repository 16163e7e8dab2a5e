package ipxe

import (
	"fmt"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/task"
)

// maxCommandLine is what x86 and arm64 kernels take, 2047 bytes, less one that
// iPXE uses for the end; a BIOS build of it cuts the rest off and says nothing.
const maxCommandLine = 2046

// misread says what iPXE does with an argument. It splits a line into words at
// blanks, and knows no quotes: a word may be one of its own, settings are expanded
// inside words, and words are joined again by one blank each (core/exec.c and
// core/settings.c of iPXE).
func misread(arg boot.KernelArg) string {
	text, err := boot.KernelArgs{arg}.Render()
	switch {
	case err != nil: // said by whoever renders the whole line
		return ""
	case strings.Contains(text, "${"):
		return "has ${, which iPXE would expand"
	case strings.Contains(text, "  "):
		return "has several blanks in a row, which iPXE would make one"
	}
	for word := range strings.SplitSeq(text, " ") {
		switch {
		case word == "||", word == "&&", word == ";":
			return fmt.Sprintf("has the word %q, which ends a command of iPXE", word)
		case strings.HasPrefix(word, "#"):
			return "has a word that begins with #, where iPXE sees a comment"
		}
	}
	return ""
}

// commandLine renders args and checks the whole.
func commandLine(args boot.KernelArgs) (string, error) {
	line, err := args.Render()
	if err != nil {
		return "", err
	}
	if len(line) > maxCommandLine {
		return "", fmt.Errorf("%w: %d bytes, and kernels take %d", task.ErrInvalidParameter, len(line), maxCommandLine)
	}
	return line, nil
}

package tftp

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

var defaultPrefixes = []string{"/tftpboot/"}

const maxElement = 255 // bytes between slashes that file systems take

// path returns the name in Files of what a client calls name. There is none for
// names that lead out of a tree or mean something to some system only.
func (s *Server) path(name string) (string, error) {
	bad := &refusal{codeAccess, "bad file name"}
	if !utf8.ValidString(name) || strings.Contains(name, `\`) || strings.ContainsFunc(name, unicode.IsControl) || drive(name) {
		return "", bad
	}
	for elem := range strings.SplitSeq(name, "/") {
		if elem == ".." || len(elem) > maxElement {
			return "", bad
		}
	}
	name = path.Clean("/" + name)
	prefixes := s.Prefixes
	if prefixes == nil {
		prefixes = defaultPrefixes
	}
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(name, path.Clean("/"+p)+"/"); ok {
			return rest, nil
		}
	}
	if name == "/" {
		return "", bad
	}
	return name[1:], nil
}

// drive reports whether name begins with a drive letter, after slashes or not.
func drive(name string) bool {
	name = strings.TrimLeft(name, "/")
	return len(name) >= 2 && name[1] == ':' && unicode.IsLetter(rune(name[0]))
}

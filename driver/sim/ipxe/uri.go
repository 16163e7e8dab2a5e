package ipxe

import (
	"fmt"
	"strings"
)

// A uri is split as core/uri.c splits it; the parts stay encoded. The fragment,
// which no server sees, is dropped.
type uri struct {
	scheme    string
	opaque    string // of an absolute URI without "/" after the scheme
	authority string
	path      string
	query     string
	hasQuery  bool
}

func parseURI(text string) uri {
	var u uri
	text, _, _ = strings.Cut(text, "#")
	i := 0
	for i < len(text) && (text[i] == '-' || text[i] == '_' || text[i]|0x20 >= 'a' && text[i]|0x20 <= 'z') {
		i++
	}
	if i < len(text) && text[i] == ':' {
		u.scheme, text = text[:i], text[i+1:]
		if !strings.HasPrefix(text, "/") {
			u.opaque = text
			return u
		}
	}
	text, u.query, u.hasQuery = strings.Cut(text, "?")
	if rest, ok := strings.CutPrefix(text, "//"); ok && u.scheme != "" {
		u.authority, text = rest, ""
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			u.authority, text = rest[:i], rest[i:]
		}
	}
	u.path = text
	return u
}

// String returns the URI with what no request line can hold percent-encoded.
func (u uri) String() string {
	var b strings.Builder
	if u.scheme != "" {
		b.WriteString(u.scheme + ":")
	}
	b.WriteString(u.opaque)
	if u.authority != "" || u.scheme != "" && u.opaque == "" {
		b.WriteString("//" + u.authority)
	}
	b.WriteString(u.path)
	if u.hasQuery {
		b.WriteString("?" + u.query)
	}
	return escape(b.String(), "")
}

// redacted returns the URI for people: without user, password and query.
func (u uri) redacted() string {
	u.query, u.hasQuery = "", false
	if i := strings.LastIndexByte(u.authority, '@'); i >= 0 {
		u.authority = u.authority[i+1:]
	}
	return u.String()
}

// host returns the authority without user and port.
func (u uri) host() string {
	host := u.authority[strings.LastIndexByte(u.authority, '@')+1:]
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return host
}

// resolve returns what rel means in a script at u. An empty rel is u itself.
func (u uri) resolve(rel uri) uri {
	switch {
	case rel.scheme != "" || u == uri{}:
		return rel
	case rel.path != "":
		base := u.path
		if base == "" {
			base = "/"
		}
		u.path, u.query, u.hasQuery = resolvePath(base, rel.path), rel.query, rel.hasQuery
	case rel.hasQuery:
		u.query, u.hasQuery = rel.query, true
	}
	return u
}

// resolvePath joins as iPXE does: only leading "./" and "../" have a meaning.
func resolvePath(base, rel string) string {
	if rel[0] == '/' {
		return rel
	}
	base = dirname(base)
	for {
		if rest, ok := strings.CutPrefix(rel, "./"); ok || rel == "." {
			rel = rest
			if !ok {
				rel = ""
			}
		} else if rest, ok := strings.CutPrefix(rel, "../"); ok || rel == ".." {
			base, rel = dirname(base), rest
			if !ok {
				rel = ""
			}
		} else {
			break
		}
	}
	if !strings.HasSuffix(base, "/") {
		base += "/"
	}
	return base + rel
}

func dirname(path string) string {
	switch i := strings.LastIndexByte(path, '/'); i {
	case -1:
		return "."
	case 0:
		return "/"
	default:
		return path[:i]
	}
}

// basename returns the decoded last element of the path, or of what is opaque.
func (u uri) basename() string {
	path := uriDecode(u.path + u.opaque)
	return path[strings.LastIndexByte(path, '/')+1:]
}

// uriEncode encodes a value for any part of a URI: type uristring.
func uriEncode(raw []byte) string { return escape(string(raw), "%/#:@?=&+") }

func escape(text, special string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c > '~' || strings.IndexByte(special, c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// uriDecode decodes %xx; a percent sign without digits stays.
func uriDecode(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '%' && i+2 < len(text) && digit(text[i+1]) < 16 && digit(text[i+2]) < 16 {
			c = byte(digit(text[i+1])<<4 | digit(text[i+2]))
			i += 2
		}
		b.WriteByte(c)
	}
	return b.String()
}

package ipxe

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// kinds are the setting types.
func kinds() []string {
	return []string{"string", "uristring", "ipv4", "int8", "int16", "int32", "uint8", "uint16", "uint32",
		"hex", "hexhyp", "hexraw", "base64", "uuid"}
}

// intKind returns an integer type's size in bytes, zero for other types.
func intKind(kind string) (size int, signed bool) {
	bits, unsigned := strings.CutPrefix(kind, "uint")
	if !unsigned {
		bits = strings.TrimPrefix(kind, "int")
	}
	switch bits {
	case "8":
		return 1, !unsigned
	case "16":
		return 2, !unsigned
	case "32":
		return 4, !unsigned
	}
	return 0, false
}

// parseValue makes bytes of text.
func parseValue(kind, text string) ([]byte, error) {
	if size, _ := intKind(kind); size > 0 {
		n, err := parseInteger(text)
		return denumerate(size, n), err
	}
	switch kind {
	case "uristring":
		return []byte(uriDecode(text)), nil
	case "ipv4":
		addr, err := netip.ParseAddr(text)
		if err != nil || !addr.Is4() {
			return nil, EINVAL.failf("%q is not an IPv4 address", text)
		}
		return addr.AsSlice(), nil
	case "hex":
		return hexDecode(text, ":")
	case "hexhyp":
		return hexDecode(text, "-")
	case "hexraw":
		return hexDecode(text, "")
	case "base64":
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, EINVAL.failf("not base64")
		}
		return raw, nil
	case "uuid":
		raw, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
		if err != nil || len(raw) != 16 {
			return nil, EINVAL.failf("not a UUID")
		}
		return raw, nil
	}
	return []byte(text), nil
}

// formatValue makes text of bytes.
func formatValue(kind string, raw []byte) (string, error) {
	if size, signed := intKind(kind); size > 0 {
		n, err := numerate(kind, raw)
		if signed {
			return strconv.Itoa(int(int32(n))), err
		}
		return fmt.Sprintf("0x%x", n), err
	}
	switch kind {
	case "uristring":
		return uriEncode(raw), nil
	case "ipv4":
		if len(raw) < 4 {
			return "", EINVAL
		}
		return netip.AddrFrom4([4]byte(raw[:4])).String(), nil
	case "hex":
		return hexEncode(raw, ":"), nil
	case "hexhyp":
		return hexEncode(raw, "-"), nil
	case "hexraw":
		return hexEncode(raw, ""), nil
	case "base64":
		return base64.StdEncoding.EncodeToString(raw), nil
	case "uuid":
		if len(raw) != 16 {
			return "", ERANGE
		}
		return fmt.Sprintf("%x-%x-%x-%x-%x", raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:]), nil
	}
	return string(raw), nil
}

// numerate reads a big-endian number of up to four bytes, with its sign.
func numerate(kind string, raw []byte) (uint32, error) {
	if len(raw) > 4 {
		return 0, ERANGE
	}
	_, signed := intKind(kind)
	var n uint32
	if signed && len(raw) > 0 && raw[0] >= 0x80 {
		n = ^uint32(0)
	}
	for _, b := range raw {
		n = n<<8 | uint32(b)
	}
	return n, nil
}

func denumerate(size int, n uint32) []byte {
	raw := make([]byte, size)
	for i := range raw {
		raw[i] = byte(n >> (8 * (size - 1 - i)))
	}
	return raw
}

func hexEncode(raw []byte, separator string) string {
	parts := make([]string, len(raw))
	for i, b := range raw {
		parts[i] = hex.EncodeToString([]byte{b})
	}
	return strings.Join(parts, separator)
}

func hexDecode(text, separator string) ([]byte, error) {
	var raw []byte
	for rest := text; rest != ""; {
		if len(raw) > 0 {
			var ok bool
			if rest, ok = strings.CutPrefix(rest, separator); !ok {
				return nil, EINVAL.failf("bytes are not separated by %q", separator)
			}
		}
		if len(rest) < 2 || digit(rest[0]) > 15 || digit(rest[1]) > 15 {
			return nil, EINVAL.failf("not in hexadecimal")
		}
		raw = append(raw, byte(digit(rest[0])<<4|digit(rest[1])))
		rest = rest[2:]
	}
	return raw, nil
}

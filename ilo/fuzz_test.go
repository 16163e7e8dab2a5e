package ilo_test

import (
	"encoding/xml"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/ilo"
)

const one = "<?xml version=\"1.0\"?>\r\n<RIBCL VERSION=\"2.22\">\r\n<RESPONSE STATUS=\"0x0000\" MESSAGE='No error' />\r\n</RIBCL>\r\r\n"

func TestParse(t *testing.T) {
	fail := strings.ReplaceAll(strings.ReplaceAll(one, "0x0000", "0x005F"), "No error", "Login failed.")
	for name, c := range map[string]struct {
		text   string
		status int
		bad    bool
	}{
		"one":          {one, 0, false},
		"several":      {one + one + fail + one, 0x5f, false},
		"nothing":      {"", 0, true},
		"HTML":         {"<html><body>503</body></html>", 0, true},
		"no end":       {one[:60], 0, true},
		"prolog only":  {"<?xml", 0, true},
		"two roots":    {"<?xml version=\"1.0\"?><RIBCL/><RIBCL/>", 0, true},
		"another root": {"<?xml version=\"1.0\"?><html/>", 0, true},
		"no status":    {"<?xml version=\"1.0\"?><RIBCL><RESPONSE/></RIBCL>", 0, true},
		"deep":         {"<?xml version=\"1.0\"?>" + strings.Repeat("<a>", 100), 0, true},
		"many":         {strings.Repeat(one, 100), 0, true},
		"latin":        {strings.Replace(one, `"1.0"`, `"1.0" encoding="ISO-8859-1"`, 1), 0, false},
	} {
		status, err := ilo.Parse([]byte(c.text))
		require.Equal(t, c.bad, err != nil, "%s: %v", name, err)
		require.Equal(t, c.status, status, name)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(one))
	f.Add([]byte(one + one + "<?xml ?><RIBCL><RESPONSE STATUS='9'/><X a='1'><Y/></X></RIBCL>"))
	f.Fuzz(func(t *testing.T, data []byte) { _, _ = ilo.Parse(data) })
}

// FuzzMarshal finds values that would become part of a command's structure.
func FuzzMarshal(f *testing.F) {
	f.Add("http://h/?a=1&b=2", `"/></LOGIN>`)
	f.Add("'\r\n<!-- ]]>", "\x00\xff")
	f.Fuzz(func(t *testing.T, value, password string) {
		var doc struct {
			Login struct {
				Password string `xml:"PASSWORD,attr"`
				Group    struct {
					X struct {
						URL string `xml:"IMAGE_URL,attr"`
					}
				} `xml:"RIB_INFO"`
			} `xml:"LOGIN"`
		}
		require.NoError(t, xml.Unmarshal(ilo.Marshal(value, password), &doc))
		if utf8.ValidString(value) && !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r >= 0xfffe || 0xd800 <= r && r < 0xe000 }) {
			require.Equal(t, value, doc.Login.Group.X.URL)
		}
	})
}

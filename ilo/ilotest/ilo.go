package ilotest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/driver/redfish/redfishtest"
)

// A Quirk is a way in which some iLO differs from what one would expect.
type Quirk string

// The quirks of RIBCL. "Library" is proliantutils, ilo/ribcl.py.
const (
	UEFIBootList   Quirk = "the persistent boot list has UEFI's entries" // Gen9 (library, _get_nic_boot_devices)
	UnknownMode    Quirk = "the pending boot mode is UNKNOWN"            // until it was set once (library, get_pending_boot_mode; ironic, ilo/common.py)
	PowerLater     Quirk = "power is acknowledged and changes later"     // (ironic, ilo/power.py waits for it)
	EjectRefuses   Quirk = "eject refuses an empty drive"                // status 0x0035 (library, eject_virtual_media asks first)
	StaleMedium    Quirk = "says inserted though the medium is lost"     // (ironic 1069c0f1e)
	LateFailure    Quirk = "the failure is in the third document"        // (library, _parse_output)
	MisspeltNICs   Quirk = "NIC_INFOMATION"                              // iLO 4 (library, get_essential_properties)
	LowerCase      Quirk = "attributes in lower case"                    // value=, as in ONE_TIME_BOOT (library, tests/unit/ilo/ribcl_sample_outputs.py)
	StrayReturns   Quirk = "carriage returns between the documents"      // (library, _parse_output)
	NoREST         Quirk = "no REST service"                             // iLO 4 before 2.30 (HPE, iLO 4's REST API reference)
	EchoesPassword Quirk = "messages repeat the log-in"                  // (seen in syntax errors)
	NoIPMI         Quirk = "IPMI is none of its protocols"               // of iLOs that speak Redfish
)

// Config says what an [ILO] is.
type Config struct {
	Generation int              // 2 to 6; 0 means 4
	Quirks     []Quirk          // of RIBCL, but for EchoesPassword, which every generation may have, and NoIPMI
	Machine    *bmctest.Machine // nil means one of its own
}

// An ILO is the BMC of one machine.
type ILO struct {
	Host    string // name or address
	Port    string
	Machine *bmctest.Machine
	Redfish *redfishtest.BMC // nil up to iLO 4

	cfg    Config
	quirks map[Quirk]bool
	server *httptest.Server
	own    bmctest.Traffic
	rest   *redfishtest.BMC // of iLO 4, beside RIBCL

	mu       sync.Mutex // over what follows
	requests []string   // the commands
	refused  int
	media    map[string]string // what it says of the drives
	power    []string          // what it says before the truth
	modeSet  bool
}

// NewILO starts one that ends with t.
func NewILO(t testing.TB, c Config) *ILO {
	i := Start(c)
	t.Cleanup(i.Close)
	return i
}

// Start starts one for a program. Close it.
func Start(c Config) *ILO {
	if c.Generation == 0 {
		c.Generation = 4
	}
	if c.Machine == nil {
		c.Machine = bmctest.NewMachine()
	}
	i := &ILO{Machine: c.Machine, cfg: c, quirks: map[Quirk]bool{}, media: map[string]string{}}
	for _, q := range c.Quirks {
		i.quirks[q] = true
	}
	if c.Generation >= 5 {
		p := redfishtest.ILO5
		if c.Generation > 5 {
			p = redfishtest.ILO6
		}
		var quirks []redfishtest.Quirk
		if i.quirks[EchoesPassword] {
			quirks = append(quirks, redfishtest.EchoesPassword)
		}
		if i.quirks[NoIPMI] {
			quirks = append(quirks, redfishtest.NoIPMI)
		}
		i.Redfish = redfishtest.Start(redfishtest.Config{Personality: p, Machine: c.Machine, Quirks: quirks})
		i.server = i.Redfish.Server
	} else {
		if c.Generation == 4 && !i.quirks[NoREST] {
			i.rest = redfishtest.New(redfishtest.Config{Personality: redfishtest.ILO4, Machine: c.Machine})
		}
		i.server = httptest.NewUnstartedServer(i)
		i.server.Config.ErrorLog = log.New(io.Discard, "", 0)
		i.server.StartTLS()
	}
	i.Host, i.Port, _ = net.SplitHostPort(i.server.Listener.Addr().String())
	return i
}

// Close ends it.
func (i *ILO) Close() { i.server.Close() }

// DriverInfo returns the parameters of a node with this iLO.
func (i *ILO) DriverInfo() map[string]any {
	sum := sha256.Sum256(i.server.Certificate().Raw)
	return map[string]any{"ilo_address": i.Host, "client_port": i.Port, "ilo_username": bmctest.User, "ilo_password": bmctest.Password, "ilo_fingerprint": hex.EncodeToString(sum[:])}
}

// Requests returns the commands so far.
func (i *ILO) Requests() []string {
	if i.Redfish != nil {
		return i.Redfish.Requests()
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.requests)
}

// Traffic returns how requests came.
func (i *ILO) Traffic() *bmctest.Traffic {
	if i.Redfish != nil {
		return &i.Redfish.Traffic
	}
	return &i.own
}

// Refused returns how many log-ins were refused.
func (i *ILO) Refused() int {
	if i.Redfish != nil {
		return i.Redfish.Refused()
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.rest != nil {
		return i.refused + i.rest.Refused()
	}
	return i.refused
}

// ServeHTTP answers as the iLO.
func (i *ILO) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer i.own.Begin()()
	if i.rest != nil && strings.HasPrefix(r.URL.Path, "/redfish/") {
		i.rest.ServeHTTP(w, r)
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.Machine.CountDown(func(s *bmctest.State) *int { return &s.Down }) {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if r.URL.Path != "/ribcl" || r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	w.Header().Set("Content-Type", "text/xml")
	_, _ = io.WriteString(w, i.answer(body))
}

// A tag is an element of a request or an answer.
type tag struct {
	XMLName xml.Name
	Attrs   []xml.Attr `xml:",any,attr"`
	Tags    []tag      `xml:",any"`
}

func (t *tag) attr(name string) string {
	for _, a := range t.Attrs {
		if strings.EqualFold(a.Name.Local, name) {
			return a.Value
		}
	}
	return ""
}

// A reply is what a command gives.
type reply struct {
	status  int
	message string
	payload string
}

var ok = reply{message: "No error"}

// answer returns the documents for a request.
func (i *ILO) answer(body []byte) string {
	var root tag
	if err := xml.Unmarshal(body, &root); err != nil || root.XMLName.Local != "RIBCL" || len(root.Tags) != 1 || len(root.Tags[0].Tags) != 1 || len(root.Tags[0].Tags[0].Tags) != 1 {
		return i.documents(reply{status: 1, message: "Syntax error: Line #0"})
	}
	login := &root.Tags[0]
	group := &login.Tags[0]
	cmd := &group.Tags[0]
	i.requests = append(i.requests, cmd.XMLName.Local)
	user, password := login.attr("USER_LOGIN"), login.attr("PASSWORD")
	r := ok
	if !i.Machine.Knows(user, password) {
		i.refused++
		r = reply{status: 0x5f, message: "Login failed."}
	} else if r = i.command(cmd); r.status == 0 && (strings.HasPrefix(cmd.XMLName.Local, "SET_") || cmd.XMLName.Local == "MOD_USER") && group.attr("MODE") != "write" {
		r = reply{status: 2, message: "The command needs MODE write."}
	}
	if i.quirks[EchoesPassword] && r.status != 0 {
		r.message += " LOGIN was " + user + ", " + password
		for _, t := range cmd.Tags {
			r.message += ", " + t.XMLName.Local + " was " + t.attr("VALUE")
		}
	}
	return i.documents(r)
}

// documents writes the answer as iLOs do: one document for each level.
func (i *ILO) documents(r reply) string {
	document := func(status int, message, payload string) string {
		end := "\n"
		if i.quirks[StrayReturns] {
			end = "\r\r\n\n"
		}
		var escaped strings.Builder
		_ = xml.EscapeText(&escaped, []byte(message))
		return fmt.Sprintf("<?xml version=\"1.0\"?>\r\n<RIBCL VERSION=\"2.23\">\r\n<RESPONSE\r\n    STATUS=\"0x%04X\"\r\n    MESSAGE='%s'\r\n     />\r\n%s</RIBCL>%s", status, escaped.String(), payload, end)
	}
	good := document(0, "No error", "")
	if r.status != 0 && !i.quirks[LateFailure] {
		return document(r.status, r.message, "") + good
	}
	return good + good + document(r.status, r.message, r.payload) + good + good
}

package ramdisk

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ferrule/ferrule/task"
)

// A Config says how one agent runs. Host and the parameter ipa-api-url are required.
type Config struct {
	// Parameters are those of the kernel command line. The agent reads
	//
	//	ipa-api-url              the conductor's API; several separated by commas
	//	ipa-agent-token          the token of this boot, where virtual media brought it
	//	ipa-lookup-timeout       600 s
	//	ipa-lookup-interval      1 s, what lookup's back-off starts with
	//	ipa-listen-host, -port   all addresses, 9999
	//	ipa-advertise-host       the address that the API was reached from
	//	ipa-advertise-port       the port listened on
	//	ipa-http-request-timeout 30 s for a request to the API
	//	ipa-inspection-callback-url  nobody: where the inventory is posted
	//	BOOTIF                   what the inventory says the machine booted by
	//	ipa-insecure             no: the API's certificate is verified
	//	ipa-global-request-id    none
	//	ipa-image-download-connection-timeout         60 s without a byte
	//	ipa-image-download-connection-retries         9
	//	ipa-image-download-connection-retry-interval  10 s, doubled up to six times that
	//	ipa-image-download-max-duration               no limit
	//
	// with the defaults beside. Times are in seconds; fractions are allowed.
	Parameters map[string]string

	// Host is the machine.
	Host Host

	// Version is the agent_version that heartbeats tell; "" means "1.0.0".
	Version string

	// HTTPClient reaches the API and the images; nil means one of the agent's
	// own. Its Timeout would also cut image downloads short: leave it zero.
	HTTPClient *http.Client

	// Logger is told what the agent does; nil discards.
	Logger *slog.Logger

	// Listen is the TCP address of the command API; "" means ipa-listen-host
	// and ipa-listen-port. Simulated machines use "127.0.0.1:0".
	Listen string

	// HeartbeatGap is the least time between two heartbeats and what the retry
	// of a failed one waits, once to twice; 0 means 5 s.
	HeartbeatGap time.Duration
}

// settings are a Config with its parameters read.
type settings struct {
	apiURLs          []string
	token            task.Secret
	listen           string
	advertiseHost    string
	advertisePort    string
	insecure         bool
	inspectionURL    string
	bootInterface    string // MAC address; "" if it is not known
	requestID        string
	lookupTimeout    time.Duration
	lookupInterval   time.Duration
	requestTimeout   time.Duration
	heartbeatGap     time.Duration
	downloadStall    time.Duration
	downloadRetries  int
	downloadInterval time.Duration
	downloadMax      time.Duration
}

// parameterReader gathers what is wrong with parameters.
type parameterReader struct {
	params map[string]string
	errs   []error
}

// bootInterface is the MAC address in BOOTIF, which pxelinux writes behind the
// kind of hardware: 01-52-54-00-12-34-56.
func bootInterface(text string) string {
	_, mac, _ := strings.Cut(text, "-")
	return strings.ReplaceAll(mac, "-", ":")
}

func (c *Config) settings() (settings, error) {
	r := parameterReader{params: c.Parameters}
	if c.Host == nil {
		r.errs = append(r.errs, &task.Error{Op: "ramdisk.Run", Field: "Config.Host", Err: task.ErrMissingParameter, Remedy: "set it to the machine"})
	}
	s := settings{
		apiURLs:          r.apiURLs(),
		token:            task.Secret(r.params["ipa-agent-token"]),
		listen:           c.Listen,
		advertiseHost:    strings.Trim(r.params["ipa-advertise-host"], "[]"),
		advertisePort:    r.port("ipa-advertise-port"),
		insecure:         r.flag("ipa-insecure"),
		inspectionURL:    r.params["ipa-inspection-callback-url"],
		bootInterface:    bootInterface(r.params["BOOTIF"]),
		requestID:        r.params["ipa-global-request-id"],
		lookupTimeout:    r.seconds("ipa-lookup-timeout", 600),
		lookupInterval:   r.seconds("ipa-lookup-interval", 1),
		requestTimeout:   r.seconds("ipa-http-request-timeout", 30),
		heartbeatGap:     c.HeartbeatGap,
		downloadStall:    r.seconds("ipa-image-download-connection-timeout", 60),
		downloadRetries:  r.count("ipa-image-download-connection-retries", 9),
		downloadInterval: r.seconds("ipa-image-download-connection-retry-interval", 10),
		downloadMax:      r.seconds("ipa-image-download-max-duration", 0),
	}
	if s.heartbeatGap == 0 {
		s.heartbeatGap = 5 * time.Second
	}
	if port := r.port("ipa-listen-port"); s.listen == "" {
		if port == "" {
			port = "9999"
		}
		s.listen = net.JoinHostPort(strings.Trim(r.params["ipa-listen-host"], "[]"), port)
	}
	return s, task.Join(r.errs...)
}

func (r *parameterReader) fail(name, what, remedy string) {
	r.errs = append(r.errs, &task.Error{
		Op: "ramdisk.Run", Field: name, Err: fmt.Errorf("%w: %s", task.ErrInvalidParameter, what), Remedy: remedy,
	})
}

func (r *parameterReader) apiURLs() []string {
	const name, remedy = "ipa-api-url", "set it to the conductor's URL, as http://192.0.2.1:6385"
	var urls []string
	before := len(r.errs)
	for text := range strings.SplitSeq(r.params[name], ",") {
		text = strings.TrimRight(strings.TrimSpace(text), "/")
		if text == "" {
			continue
		}
		u, err := url.Parse(text)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			r.fail(name, "not a plain http or https URL", remedy)
			continue
		}
		urls = append(urls, text)
	}
	if len(urls) == 0 && len(r.errs) == before {
		r.errs = append(r.errs, &task.Error{Op: "ramdisk.Run", Field: name, Err: task.ErrMissingParameter, Remedy: remedy})
	}
	return urls
}

// maxSeconds keeps multiples of a time from overflowing.
const maxSeconds = 1e6

func (r *parameterReader) seconds(name string, absent float64) time.Duration {
	v := absent
	if text := r.params[name]; text != "" {
		var err error
		if v, err = strconv.ParseFloat(text, 64); err != nil || !(v >= 0 && v <= maxSeconds) {
			r.fail(name, fmt.Sprintf("%q", text), fmt.Sprintf("set it to a number of seconds, at most %d", int(maxSeconds)))
			return 0
		}
	}
	return time.Duration(v * float64(time.Second))
}

func (r *parameterReader) count(name string, absent int) int {
	text := r.params[name]
	if text == "" {
		return absent
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		r.fail(name, fmt.Sprintf("%q", text), "set it to a whole number")
	}
	return int(n)
}

func (r *parameterReader) port(name string) string {
	text := r.params[name]
	if _, err := strconv.ParseUint(text, 10, 16); err != nil && text != "" {
		r.fail(name, fmt.Sprintf("%q", text), "set it to a port number")
	}
	return text
}

func (r *parameterReader) flag(name string) bool {
	text, ok := r.params[name]
	switch strings.ToLower(text) {
	case "1", "t", "true", "on", "y", "yes":
		return true
	case "":
		return ok
	case "0", "f", "false", "off", "n", "no":
		return false
	}
	r.fail(name, fmt.Sprintf("%q", text), "set it to true or false")
	return false
}

// ownClient is the HTTP client of an agent that was given none.
func (s *settings) ownClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if s.insecure {
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} // the operator asked for it
	}
	return &http.Client{Transport: transport}
}

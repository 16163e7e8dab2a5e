package redfishtest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ferrule/ferrule/driver/bmc/bmctest"
)

// Config says what a [BMC] is. The zero value is one without peculiarities.
type Config struct {
	Personality Personality      // the zero value means Generic
	Quirks      []Quirk          // besides those of the personality
	Machine     *bmctest.Machine // nil means one of its own
	Sessions    int              // how many there may be; 0 means 4
}

// A BMC is a service for one machine.
type BMC struct {
	URL     string
	Machine *bmctest.Machine
	Server  *httptest.Server
	Traffic bmctest.Traffic

	cfg    Config
	quirks map[Quirk]bool

	mu       sync.Mutex // over what follows
	sessions map[string]*session
	next     int
	most     int // sessions at once
	requests []string
	refused  int // log-ins
	version  int // of the system resource, for its ETag
	inserted map[string]*drive
	power    []string // what PowerState says before it says the truth
	attempts map[string]int
}

// A session is one that a client made.
type session struct {
	id, user string
	left     int // requests until it ends; -1 for no end
}

// A drive is what the BMC says of a virtual drive, which may not be the truth.
type drive struct {
	image string
	late  string // an image that will be there at a later look
	looks int
}

// NewBMC starts one that ends with t.
func NewBMC(t testing.TB, c Config) *BMC {
	b := Start(c)
	t.Cleanup(b.Close)
	return b
}

// Start starts one for a program. Close it.
func Start(c Config) *BMC {
	b := New(c)
	b.Server = httptest.NewUnstartedServer(b)
	b.Server.Config.ErrorLog = log.New(io.Discard, "", 0)
	b.Server.StartTLS()
	b.URL = b.Server.URL
	return b
}

// New returns one that has no server of its own: it is an http.Handler.
func New(c Config) *BMC {
	if c.Personality.Name == "" {
		c.Personality = Generic
	}
	if c.Machine == nil {
		c.Machine = bmctest.NewMachine()
	}
	if c.Sessions == 0 {
		c.Sessions = 4
	}
	b := &BMC{Machine: c.Machine, cfg: c, quirks: map[Quirk]bool{}, sessions: map[string]*session{}, inserted: map[string]*drive{"cd": {}, "floppy": {}}, attempts: map[string]int{}}
	for _, q := range append(slices.Clone(c.Personality.Quirks), c.Quirks...) {
		b.quirks[q] = true
	}
	return b
}

// Close ends it.
func (b *BMC) Close() { b.Server.Close() }

// Fingerprint returns the SHA-256 of its certificate.
func (b *BMC) Fingerprint() string {
	sum := sha256.Sum256(b.Server.Certificate().Raw)
	return hex.EncodeToString(sum[:])
}

// Sessions returns how many there are, and the most that there were at once.
func (b *BMC) Sessions() (open, most int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sessions), b.most
}

// Requests returns the requests so far, as "GET /redfish/v1/".
func (b *BMC) Requests() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.requests)
}

// Refused returns how many log-ins were refused.
func (b *BMC) Refused() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refused
}

// DropSessions ends all sessions, as a restart does.
func (b *BMC) DropSessions() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.sessions)
}

func (b *BMC) has(q Quirk) bool { return b.quirks[q] }

// A problem is an answer that is not one of success.
type problem struct {
	status  int
	id      string
	message string
}

func (p *problem) Error() string { return p.message }

func fail(status int, id, message string) *problem { return &problem{status, id, message} }

var (
	errNotFound  = fail(http.StatusNotFound, "Base.1.8.ResourceMissingAtURI", "The resource is missing.")
	errNoSession = fail(http.StatusUnauthorized, "Base.1.8.NoValidSession", "There is no valid session.")
)

// ServeHTTP answers as the BMC.
func (b *BMC) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer b.Traffic.Begin()()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests = append(b.requests, r.Method+" "+r.URL.Path)
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if b.Machine.CountDown(func(s *bmctest.State) *int { return &s.Down }) {
		clear(b.sessions)
		b.answer(w, fail(http.StatusServiceUnavailable, "Base.1.8.ServiceTemporarilyUnavailable", "The service is starting."), body)
		return
	}
	if b.has(WantsSlash) && !strings.HasSuffix(r.URL.Path, "/") {
		http.Redirect(w, r, r.URL.Path+"/", http.StatusPermanentRedirect)
		return
	}
	path := strings.TrimSuffix(r.URL.Path, "/")
	if path == "/redfish/v1" {
		b.write(w, http.StatusOK, b.root())
		return
	}
	if path == sessionsPath && r.Method == http.MethodPost {
		if p := b.logIn(w, body); p != nil {
			b.answer(w, p, body)
		}
		return
	}
	if !b.authorised(r) {
		b.answer(w, errNoSession, body)
		return
	}
	if id, ok := strings.CutPrefix(path, sessionsPath+"/"); ok && r.Method == http.MethodDelete {
		for token, s := range b.sessions {
			if s.id == id {
				delete(b.sessions, token)
			}
		}
		w.WriteHeader(http.StatusNoContent)
		return
	}
	var v any
	var p *problem
	switch r.Method {
	case http.MethodGet:
		v, p = b.get(path)
	case http.MethodPost:
		p = b.post(path, body, len(body) > 0)
	case http.MethodPatch:
		p = b.patch(path, body, r.Header.Get("If-Match"))
	default:
		p = fail(http.StatusMethodNotAllowed, "Base.1.8.OperationNotAllowed", "The operation is not allowed.")
	}
	switch {
	case p != nil:
		b.answer(w, p, body)
	case v == nil && b.has(InsertLater):
		w.WriteHeader(http.StatusAccepted)
	case v == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		if path == systemPath {
			w.Header().Set("ETag", b.etag())
			if b.has(WeakETag) {
				w.Header().Set("ETag", "W/"+b.etag())
			}
		}
		b.write(w, http.StatusOK, v)
	}
}

const sessionsPath = "/redfish/v1/SessionService/Sessions"

func (b *BMC) logIn(w http.ResponseWriter, body []byte) *problem {
	if b.has(NoSessions) {
		return errNoSession
	}
	var in struct{ UserName, Password string }
	_ = json.Unmarshal(body, &in)
	if !b.Machine.Knows(in.UserName, in.Password) {
		b.refused++
		return fail(http.StatusUnauthorized, "Base.1.8.NoValidSession", "Wrong user name or password.")
	}
	if len(b.sessions) >= b.cfg.Sessions {
		return fail(http.StatusServiceUnavailable, "Base.1.8.SessionLimitExceeded", "There are too many sessions.")
	}
	b.next++
	s := &session{id: fmt.Sprint(b.next), user: in.UserName, left: -1}
	if b.has(ShortSessions) {
		s.left = 5
	}
	token := rand.Text()
	b.sessions[token] = s
	b.most = max(b.most, len(b.sessions))
	path := sessionsPath + "/" + s.id
	w.Header().Set("X-Auth-Token", token)
	w.Header().Set("Location", path)
	if b.has(AbsoluteLocation) {
		w.Header().Set("Location", "https://ilo-of-somebody.example"+path)
	}
	b.write(w, http.StatusCreated, map[string]any{"@odata.id": path, "UserName": in.UserName})
	return nil
}

func (b *BMC) authorised(r *http.Request) bool {
	if token := r.Header.Get("X-Auth-Token"); token != "" {
		s := b.sessions[token]
		if s == nil {
			return false
		}
		if s.left > 0 {
			if s.left--; s.left == 0 {
				delete(b.sessions, token)
			}
		}
		return true
	}
	user, password, ok := r.BasicAuth()
	known := ok && b.Machine.Knows(user, password)
	if ok && !known {
		b.refused++
	}
	return known
}

func (b *BMC) write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (b *BMC) answer(w http.ResponseWriter, p *problem, body []byte) {
	message := p.message
	if b.has(EchoesPassword) {
		message += " You sent: " + string(body)
	}
	b.write(w, p.status, map[string]any{"error": map[string]any{
		"code": "Base.1.8.GeneralError", "message": "A general error has occurred.",
		"@Message.ExtendedInfo": []any{map[string]any{"MessageId": p.id, "Message": message}},
	}})
}

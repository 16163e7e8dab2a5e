package agent

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/task"
)

// maxBeat bounds a heartbeat's body: a certificate and a message.
const maxBeat = 64 << 10

// A beat is the body of a heartbeat (Ironic's API, POST /v1/heartbeat).
type beat struct {
	CallbackURL   string      `json:"callback_url"`
	AgentVersion  string      `json:"agent_version"`
	Token         task.Secret `json:"agent_token"`
	VerifyCA      string      `json:"agent_verify_ca"`
	Status        string      `json:"agent_status"`
	StatusMessage string      `json:"agent_status_message"`
}

// wrongToken also stands for a node that does not exist, so that heartbeats do
// not find out which nodes there are.
var wrongToken = &refusal{http.StatusBadRequest, "agent_token is not the one of the node's current boot: the ramdisk has to look itself up again"}

// heartbeat checks a call of node's ramdisk and passes it on. The node is only
// read: what the call says is recorded by [Deploy.Heartbeat], under the lock.
func (h *Handler) heartbeat(w http.ResponseWriter, r *http.Request, uuid string) error {
	rec, err := h.get(r.Context(), uuid)
	if err != nil && asRefusal(err) != unknownNode {
		return err
	}
	known := err == nil
	if !known { // refused in the end, in the words for a node that exists
		rec = &task.Record{Node: &task.Node{}}
	}
	if err := h.beat(w, r, rec.Node); err != nil {
		if known {
			h.observe(uuid, StageHeartbeat, "refused: "+asRefusal(err).text, true)
		}
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

func (h *Handler) beat(w http.ResponseWriter, r *http.Request, n *task.Node) error {
	b, err := readBeat(http.MaxBytesReader(w, r.Body, maxBeat))
	if err != nil {
		return err
	}
	if err := h.check(b); err != nil {
		return err
	}
	if !b.proves(n) {
		return wrongToken
	}
	if s := n.ProvisionState; !s.Waiting() && !s.Working() {
		return &refusal{http.StatusConflict, fmt.Sprintf("no ramdisk is expected while the node is in state %q", s)}
	}
	call := deploy.Heartbeat{
		CallbackURL: b.CallbackURL, AgentVersion: b.AgentVersion, VerifyCA: b.VerifyCA, Status: b.Status, StatusMessage: b.StatusMessage,
	}
	if why := moved(n, call); why != "" {
		return &refusal{http.StatusBadRequest, why}
	}
	if err := h.cfg.Heartbeat(r.Context(), n.UUID, call); err != nil {
		return err
	}
	h.observe(n.UUID, StageHeartbeat, strings.TrimSpace(b.AgentVersion+" at "+b.CallbackURL), false)
	return nil
}

// proves reports whether b has the token of n's session, which there must be.
func (b beat) proves(n *task.Node) bool {
	got := sha256.Sum256([]byte(b.Token))
	want := sha256.Sum256([]byte(n.DriverInternalInfo.Text(keyToken)))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1 && b.Token != ""
}

// readBeat reads one JSON object with no fields but the known ones.
func readBeat(body io.Reader) (beat, error) {
	var b beat
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	err := d.Decode(&b)
	if err == nil {
		if _, end := d.Token(); end != io.EOF {
			err = errors.New("text after the object")
		}
	}
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return b, &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the heartbeat is longer than %d bytes", long.Limit)}
	case err != nil && strings.HasPrefix(err.Error(), "json: unknown field"):
		return b, &refusal{http.StatusBadRequest, "the heartbeat has an unknown field; known are callback_url, agent_version, agent_token, agent_verify_ca, agent_status, agent_status_message"}
	case err != nil:
		return b, &refusal{http.StatusBadRequest, "the heartbeat is no JSON object of texts"}
	}
	return b, nil
}

// check refuses what cannot be used, whoever it is from. The statuses are
// Ironic's: a wrong token too is 400.
func (h *Handler) check(b beat) error {
	bad := func(text string) error { return &refusal{http.StatusBadRequest, text} }
	switch {
	case b.Token == "":
		return bad("agent_token is missing")
	case b.AgentVersion == "" && b.Status == "":
		return bad("agent_version is missing")
	case len(b.AgentVersion) > 255 || b.AgentVersion != printable(b.AgentVersion):
		return bad("agent_version is no version")
	}
	switch b.Status {
	case "", "start", "end", "error":
	default:
		return bad("agent_status is none of start, end, error")
	}
	if err := h.checkCallback(b.CallbackURL); err != nil {
		return bad("callback_url " + err.Error())
	}
	if b.VerifyCA != "" {
		if _, err := certificates(b.VerifyCA); err != nil {
			return bad("agent_verify_ca is no PEM certificate")
		}
	}
	return nil
}

// checkCallback says what is wrong with a callback URL, without repeating it.
func (h *Handler) checkCallback(text string) error {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return errors.New("is missing")
	case len(text) > 2048:
		return errors.New("is too long")
	case err != nil:
		return errors.New("is no URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("must be an http or https URL")
	case u.Hostname() == "":
		return errors.New("has no host")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return errors.New("may hold a scheme, a host, a port and a path only")
	case h.cfg.RequireTLS && u.Scheme != "https":
		return errors.New("must be https: this server requires TLS of its ramdisks")
	}
	return nil
}

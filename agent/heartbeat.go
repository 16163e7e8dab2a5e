package agent

import (
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

// heartbeat checks a call of node's ramdisk and passes it on. The node is only
// read: what the call says is recorded by [Deploy.Heartbeat], under the lock.
func (h *Handler) heartbeat(w http.ResponseWriter, r *http.Request, uuid string) error {
	rec, err := h.get(r.Context(), uuid)
	if err != nil {
		return err
	}
	if err := h.beat(w, r, rec.Node); err != nil {
		h.observe(uuid, StageHeartbeat, "refused: "+asRefusal(err).text, true)
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
	if err := h.check(b, n); err != nil {
		return err
	}
	if s := n.ProvisionState; !s.Waiting() && !s.Working() {
		return &refusal{http.StatusConflict, fmt.Sprintf("no ramdisk is expected while the node is in state %q", s)}
	}
	err = h.cfg.Heartbeat(r.Context(), n.UUID, deploy.Heartbeat{
		CallbackURL: b.CallbackURL, AgentVersion: b.AgentVersion, VerifyCA: b.VerifyCA, Status: b.Status, StatusMessage: b.StatusMessage,
	})
	if err != nil {
		return err
	}
	h.observe(n.UUID, StageHeartbeat, strings.TrimSpace(b.AgentVersion+" at "+b.CallbackURL), false)
	return nil
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

// check refuses what is not from n's ramdisk, or cannot be used. The statuses
// are Ironic's: a wrong token too is 400.
func (h *Handler) check(b beat, n *task.Node) error {
	bad := func(text string) error { return &refusal{http.StatusBadRequest, text} }
	want := n.DriverInternalInfo.Text(keyToken)
	switch {
	case b.Token == "":
		return bad("agent_token is missing")
	case want == "":
		return bad("agent_token is of an earlier boot: the ramdisk has to look itself up again")
	case subtle.ConstantTimeCompare([]byte(want), []byte(b.Token)) != 1:
		return bad("agent_token is wrong: it is of an earlier boot, or of another machine")
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
	if b.VerifyCA != "" && b.VerifyCA != n.DriverInternalInfo[keyVerifyCA] {
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

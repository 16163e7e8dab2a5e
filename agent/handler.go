package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/task"
)

// HandlerConfig says how a [Handler] works. Manager and Heartbeat are required.
type HandlerConfig struct {
	// Manager has the nodes.
	Manager *task.Manager

	// Heartbeat is told of each heartbeat whose token was right, and returns
	// soon: the ramdisk waits for its answer. An error that Is
	// task.ErrNodeLocked or task.ErrInvalidState makes the ramdisk try again.
	// The conductor's method of this name fits.
	Heartbeat func(ctx context.Context, node string, h deploy.Heartbeat) error

	// HeartbeatTimeout is what ramdisks are told: they call every 0.3 to 0.6 of
	// it. 0 means 300 s; parts of a second are dropped.
	HeartbeatTimeout time.Duration

	// RequireTLS refuses ramdisks whose callback URL is not https.
	RequireTLS bool

	// AllowMD5 tells ramdisks that image checksums may be MD5; set it as
	// [Config.AllowMD5].
	AllowMD5 bool

	// MaxRefusals is how many lookups and heartbeats that belong to no node, or
	// have a wrong token, one address may make before all it asks is refused; one
	// is forgiven each second. The host itself, which may be a proxy for all, may
	// make any number. 0 means 60, a negative number no limit.
	MaxRefusals int

	// Observer is told of every lookup and heartbeat of a node that is known,
	// also of a refused one, with the reason. It must not block. Nil discards.
	Observer func(task.Evidence)

	// Logger gets tokens handed out and what could not be answered. Nil discards.
	Logger *slog.Logger
}

// A Handler is the part of Ironic's API that ramdisks call: GET / and /v1/ for
// the versions, GET /v1/lookup, POST /v1/heartbeat/{node UUID}. Mount it at the
// root, or behind http.StripPrefix.
//
// A refusal has Ironic's form, {"error_message": "{\"faultstring\": ...}"}, and
// a status on which a stock agent tries again: after some 5 to 10 s for a
// heartbeat, with growing pauses for a lookup.
//
// A stranger learns nothing of nodes: one that does not exist, one that expects
// no ramdisk and one whose token is another are refused in the same words. A
// heartbeat is read up to 64 KiB, a query up to 128 addresses, and who guesses too
// often is not listened to. How many requests come in beside that is for the server
// in front, as are its time-outs (http.Server.ReadTimeout).
type Handler struct {
	cfg     HandlerConfig
	guesses guesses
}

var _ http.Handler = (*Handler)(nil)

// NewHandler returns a handler, or an error that names what c lacks.
func NewHandler(c HandlerConfig) (*Handler, error) {
	const op = "agent.NewHandler"
	var errs []error
	if c.Manager == nil {
		errs = append(errs, &task.Error{Op: op, Field: "Manager", Err: task.ErrMissingParameter})
	}
	if c.Heartbeat == nil {
		errs = append(errs, &task.Error{Op: op, Field: "Heartbeat", Err: task.ErrMissingParameter})
	}
	if c.HeartbeatTimeout == 0 {
		c.HeartbeatTimeout = 300 * time.Second
	}
	if c.HeartbeatTimeout < time.Second {
		errs = append(errs, &task.Error{Op: op, Field: "HeartbeatTimeout", Err: fmt.Errorf("%w: %s", task.ErrInvalidParameter, c.HeartbeatTimeout), Remedy: "allow at least a second"})
	}
	if err := task.Join(errs...); err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.MaxRefusals == 0 {
		c.MaxRefusals = 60
	}
	return &Handler{cfg: c, guesses: guesses{most: c.MaxRefusals}}, nil
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from := source(r)
	if h.guesses.tooMany(from, time.Now()) {
		w.Header().Set("Retry-After", "60")
		h.refuse(w, r, &refusal{http.StatusTooManyRequests, "too many requests from this address were refused; try again later"})
		return
	}
	err := h.serve(w, r)
	if err == nil {
		return
	}
	if told := asRefusal(err); told == unknownNode || told == wrongToken {
		h.guesses.note(from, time.Now())
	}
	h.refuse(w, r, err)
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request) error {
	if err := negotiate(w, r); err != nil {
		return err
	}
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	method := http.MethodGet
	switch {
	case len(path) == 1 && path[0] == "" && read:
		return answer200(w, rootDocument(r))
	case len(path) == 1 && path[0] == "v1" && read:
		return answer200(w, v1Document(r))
	case len(path) == 2 && path[0] == "v1" && path[1] == "lookup" && r.Method == http.MethodGet:
		return h.lookup(w, r) // not for HEAD, whose answer would leave out the token
	case len(path) == 3 && path[0] == "v1" && path[1] == "heartbeat":
		if r.Method == http.MethodPost {
			return h.heartbeat(w, r, path[2])
		}
		method = http.MethodPost
	case len(path) > 2, path[0] != "" && path[0] != "v1", len(path) == 2 && path[1] != "lookup":
		return &refusal{http.StatusNotFound, "there is nothing at this path"}
	}
	w.Header().Set("Allow", method)
	return &refusal{http.StatusMethodNotAllowed, "use " + method}
}

func (h *Handler) observe(node, stage, detail string, failed bool) {
	if h.cfg.Observer != nil {
		h.cfg.Observer(task.Evidence{Node: node, Stage: stage, Detail: detail, Failed: failed})
	}
}

// The versions of Ironic's API (its REST API version history) that are served.
// Version 1.72 is the newest one that changed what is served here; agents use
// tokens from 1.62 and TLS of their own from 1.68 on.
const (
	minVersion = 1
	maxVersion = 72
)

const versionHeader = "X-OpenStack-Ironic-API-Version"

// negotiate reads the version that the request asks for and tells which ones
// there are.
func negotiate(w http.ResponseWriter, r *http.Request) error {
	head := w.Header()
	head.Set("X-OpenStack-Ironic-API-Minimum-Version", "1."+strconv.Itoa(minVersion))
	head.Set("X-OpenStack-Ironic-API-Maximum-Version", "1."+strconv.Itoa(maxVersion))
	minor := minVersion
	switch asked := r.Header.Get(versionHeader); asked {
	case "":
	case "latest":
		minor = maxVersion
	default:
		text, ok := strings.CutPrefix(asked, "1.")
		n, err := strconv.Atoi(text)
		if !ok || err != nil || n < minVersion || n > maxVersion {
			return &refusal{http.StatusNotAcceptable, fmt.Sprintf("the API has versions 1.%d to 1.%d", minVersion, maxVersion)}
		}
		minor = n
	}
	head.Set(versionHeader, "1."+strconv.Itoa(minor))
	return nil
}

type object = map[string]any

func rootDocument(r *http.Request) object {
	v := object{"id": "v1", "links": links(r, "/v1/"), "status": "CURRENT",
		"min_version": "1." + strconv.Itoa(minVersion), "version": "1." + strconv.Itoa(maxVersion)}
	return object{"name": "OpenStack Ironic API", "description": "The calls of a deploy ramdisk", "default_version": v, "versions": []any{v}}
}

func v1Document(r *http.Request) object {
	d := rootDocument(r)["default_version"].(object)
	return object{"id": "v1", "links": links(r, "/v1/"), "version": d,
		"lookup": links(r, "/v1/lookup/"), "heartbeat": links(r, "/v1/heartbeat/")}
}

func links(r *http.Request, path string) []any {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return []any{object{"href": scheme + "://" + r.Host + path, "rel": "self"}}
}

func answer200(w http.ResponseWriter, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data) // a client that is gone has nobody to tell
	return nil
}

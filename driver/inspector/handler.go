package inspector

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/ferrule/ferrule/task"
)

// StageInventory is the stage of task.Evidence that the handler reports: the ramdisk
// has told what it found.
const StageInventory = "inventory"

// Finish ends the wait of an inspection; conductor.FinishInspection is one.
type Finish func(ctx context.Context, node string, record func(t *task.Task) error) error

// HandlerConfig says what a [Handler] works on. Get and Finish are required.
type HandlerConfig struct {
	Get    func(ctx context.Context, node string) (*task.Record, error) // manager.Get
	Finish Finish                                                       // conductor.FinishInspection
	Rules  Rules

	// Logger is told of inventories that are refused. Nil discards.
	Logger *slog.Logger
}

// A Handler takes what ramdisks found. It serves POST UUID/TOKEN.
type Handler struct{ cfg HandlerConfig }

// NewHandler returns a handler.
func NewHandler(c HandlerConfig) (*Handler, error) {
	if c.Get == nil || c.Finish == nil {
		return nil, &task.Error{Op: "inspector.NewHandler", Field: "Get, Finish", Err: task.ErrMissingParameter, Remedy: "set them to the manager's and the conductor's"}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Handler{c}, nil
}

// finishTime is how long recording an inventory may take, and switching the machine off.
const finishTime = 5 * time.Minute

// maxInventory bounds what an agent may post: its logs and LLDP packets are in it.
const maxInventory = 16 << 20

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	uuid, token, ok := strings.Cut(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, "POST the inventory")
		return
	case !ok || !h.expects(r.Context(), uuid, token):
		refuse(w, http.StatusNotFound, "no such inspection") // whichever half is wrong
		return
	}
	found, err := ParseFound(http.MaxBytesReader(w, r.Body, maxInventory))
	if err != nil {
		h.cfg.Logger.Warn("inventory refused", "node", uuid, "error", err)
		refuse(w, http.StatusBadRequest, "this is no inventory")
		return
	}
	// The machine that asks loses its power in the course of it, and its connection.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), finishTime)
	defer cancel()
	err = h.cfg.Finish(ctx, uuid, func(t *task.Task) error { return h.record(ctx, t, token, found) })
	switch {
	case errors.Is(err, errWrongToken) || errors.Is(err, task.ErrNodeNotFound) || errors.Is(err, task.ErrInvalidState):
		refuse(w, http.StatusNotFound, "no such inspection")
	case err != nil && found.Error == "": // else the node has failed as it was told
		h.cfg.Logger.Warn("inspection is not finished", "node", uuid, "error", err)
		refuse(w, http.StatusConflict, "the inspection is not finished; see the node")
	default:
		answer(w, http.StatusAccepted, map[string]any{"uuid": uuid})
	}
}

var errWrongToken = errors.New("the inspection is another one by now")

// expects reports whether the node waits for an inventory with that token.
func (h *Handler) expects(ctx context.Context, uuid, token string) bool {
	rec, err := h.cfg.Get(ctx, uuid)
	return err == nil && rec.Node.UUID == uuid && hasToken(rec.Node, token)
}

func hasToken(n *task.Node, token string) bool {
	want := n.DriverInternalInfo.Text(tokenKey)
	return want != "" && subtle.ConstantTimeCompare([]byte(want), []byte(token)) == 1
}

// record is done under the node's lock.
func (h *Handler) record(ctx context.Context, t *task.Task, token string, found *Found) error {
	if !hasToken(t.Node, token) {
		return errWrongToken
	}
	t.Observe(task.Evidence{Stage: StageInventory, Failed: found.Error != ""})
	t.Node.SetInternal(tokenKey, nil)
	return task.Join(h.cfg.Rules.Record(t, found), endRamdisk(ctx, t))
}

func refuse(w http.ResponseWriter, status int, why string) {
	answer(w, status, map[string]any{"error": map[string]any{"message": why}})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

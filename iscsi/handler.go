package iscsi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// A Handler is the part of Ironic's API that ramdisks call which are of the kind
// before ironic-python-agent: POST /v1/nodes/{UUID}/vendor_passthru/{method}, for the
// methods of a [Passthru] and no others. Mount it at /v1/nodes/, beside agent's.
//
// A stranger learns nothing of nodes: whatever is wrong with a call about one is
// refused in the same words, and the log has the reason.
type Handler struct {
	manager *task.Manager
	log     *slog.Logger
}

var _ http.Handler = (*Handler)(nil)

// NewHandler returns a handler for the nodes of m, which is required. A nil logger
// discards.
func NewHandler(m *task.Manager, log *slog.Logger) (*Handler, error) {
	if m == nil {
		return nil, &task.Error{Op: "iscsi.NewHandler", Field: "manager", Err: task.ErrMissingParameter}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Handler{m, log}, nil
}

// maxCall bounds the body of a call.
const maxCall = 64 << 10

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(path) != 5 || path[0] != "v1" || path[1] != "nodes" || path[3] != "vendor_passthru" || !slices.Contains([]string{passDeployInfo, passLoaderInfo}, path[4]) {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "use POST", http.StatusMethodNotAllowed)
		return
	}
	var args task.Info
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxCall)).Decode(&args); err != nil {
		http.Error(w, "the call is no JSON object", http.StatusBadRequest)
		return
	}
	err := h.call(r.Context(), path[2], driver.VendorCall{Method: path[4], Verb: r.Method, Args: args})
	if err != nil { // such a ramdisk does not call again, whatever it is told
		h.log.Warn("a ramdisk's call is not accepted", "node", path[2], "method", path[4], "error", err)
		http.Error(w, "the call is not accepted", http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func (h *Handler) call(ctx context.Context, node string, c driver.VendorCall) error {
	t, err := h.manager.Acquire(ctx, node, task.Shared, "vendor passthru")
	if err != nil {
		return err
	}
	defer t.Release(ctx)
	if t.Node.UUID != node {
		return task.ErrNodeNotFound // by its name
	}
	_, err = driver.CallVendor(ctx, t, c)
	return err
}

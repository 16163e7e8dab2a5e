package iscsi

import (
	"encoding/json"
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
// A stranger learns nothing of nodes: whatever is wrong is refused in the same
// words, and the node's log has the reason.
type Handler struct{ manager *task.Manager }

var _ http.Handler = (*Handler)(nil)

// NewHandler returns a handler for the nodes of m, which is required.
func NewHandler(m *task.Manager) (*Handler, error) {
	if m == nil {
		return nil, &task.Error{Op: "iscsi.NewHandler", Field: "manager", Err: task.ErrMissingParameter}
	}
	return &Handler{m}, nil
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
	if !h.call(r, path[2], driver.VendorCall{Method: path[4], Verb: r.Method, Args: args}) {
		http.Error(w, "the call is not accepted", http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func (h *Handler) call(r *http.Request, node string, c driver.VendorCall) bool {
	ctx := r.Context()
	t, err := h.manager.Acquire(ctx, node, task.Shared, "vendor passthru")
	if err != nil {
		return false
	}
	defer t.Release(ctx)
	if _, ok := driver.Of(t).Vendor.Methods()[c.Method]; !ok || t.Node.UUID != node {
		return false
	}
	if _, err := driver.CallVendor(ctx, t, c); err != nil {
		t.Log().Warn("a ramdisk's call is not accepted", "method", c.Method, "error", err)
		return false
	}
	return true
}

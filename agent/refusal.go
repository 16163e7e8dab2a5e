package agent

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/ferrule/ferrule/task"
)

// A refusal is what a ramdisk is told instead of an answer.
type refusal struct {
	status int
	text   string // no secret
}

func (r *refusal) Error() string { return r.text }

// asRefusal is what a ramdisk may know of err.
func asRefusal(err error) *refusal {
	var r *refusal
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, task.ErrNodeLocked):
		return &refusal{http.StatusConflict, "the node is locked; try again"}
	case errors.Is(err, task.ErrInvalidState):
		return &refusal{http.StatusConflict, "no ramdisk is expected in the node's state"}
	case errors.Is(err, task.ErrNodeNotFound):
		return unknownNode
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &refusal{http.StatusServiceUnavailable, "the request was given up; try again"}
	}
	return &refusal{http.StatusInternalServerError, "the request failed; the server's log has the reason"}
}

// unknownNode also stands for a node that expects no ramdisk: a lookup tells
// strangers nothing about which nodes exist.
var unknownNode = &refusal{http.StatusNotFound, "no node was found for this request, or none that expects a ramdisk"}

func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	told := asRefusal(err)
	if told.status == http.StatusInternalServerError {
		h.cfg.Logger.Error("ramdisk not answered", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	code := "Client"
	if told.status >= http.StatusInternalServerError {
		code = "Server"
	}
	// Marshaling maps of strings cannot fail.
	fault, _ := json.Marshal(object{"faultcode": code, "faultstring": told.text, "debuginfo": nil})
	body, _ := json.Marshal(object{"error_message": string(fault)})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(told.status)
	_, _ = w.Write(body)
}

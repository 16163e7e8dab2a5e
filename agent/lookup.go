package agent

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/task"
)

// maxAddresses bounds the store's work for one lookup.
const maxAddresses = 128

// takenToken is what every lookup but the first is told, as in Ironic.
const takenToken = "******"

// lookup answers who the calling machine is, with the token of its session if
// this is the first lookup of the boot.
func (h *Handler) lookup(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &refusal{http.StatusBadRequest, "the query cannot be read"}
	}
	rec, err := h.find(ctx, query.Get("addresses"), strings.TrimSpace(query.Get("node_uuid")))
	if err != nil {
		return err
	}
	n := rec.Node
	if !expectsLookup(n.ProvisionState) {
		h.observe(n.UUID, StageLookup, fmt.Sprintf("refused: no ramdisk is expected in state %q", n.ProvisionState), true)
		return unknownNode
	}
	token := takenToken
	if n.DriverInternalInfo.Text(keyToken) == "" {
		n, token, err = h.issueToken(ctx, n.UUID)
		if err != nil {
			h.observe(rec.Node.UUID, StageLookup, "refused: "+asRefusal(err).text, true)
			return err
		}
	}
	if token == takenToken {
		h.observe(n.UUID, StageLookup, "a second lookup since power on got no token: a ramdisk that restarted cannot go on", true)
	} else {
		h.observe(n.UUID, StageLookup, "", false)
	}
	w.Header().Set("Cache-Control", "no-store")
	return answer200(w, object{
		"node": object{
			"uuid": n.UUID, "properties": shown(n.Properties), "instance_info": shownInstance(n),
			"driver_internal_info": shownInternal(n), "links": links(r, "/v1/nodes/"+n.UUID),
		},
		"config": object{
			"heartbeat_timeout": int(h.cfg.HeartbeatTimeout.Seconds()), "agent_token": token, "agent_token_required": true,
			"agent_md5_checksum_enable": h.cfg.AllowMD5,
		},
	})
}

// expectsLookup reports whether a node in s may be looked up; Ironic's
// restrict_lookup has the same states but Servicing, in which its ramdisks boot
// all the same.
func expectsLookup(s task.State) bool {
	switch s {
	case task.Deploying, task.DeployWait, task.Cleaning, task.CleanWait, task.Inspecting, task.InspectWait,
		task.Rescuing, task.RescueWait, task.Servicing, task.ServiceWait:
		return true
	}
	return false
}

// find returns the one node that the addresses (MAC addresses with commas
// between) and the UUID mean. Addresses that are malformed or unknown do not
// count; all others must belong to that node, and there must be one unless it has
// no ports.
func (h *Handler) find(ctx context.Context, addresses, uuid string) (*task.Record, error) {
	var macs []string
	for a := range strings.SplitSeq(addresses, ",") {
		if mac, err := task.ParseMAC(a); err == nil && !slices.Contains(macs, mac) {
			macs = append(macs, mac)
		}
		if len(macs) > maxAddresses {
			return nil, &refusal{http.StatusBadRequest, fmt.Sprintf("more than %d addresses", maxAddresses)}
		}
	}
	if len(macs) == 0 && uuid == "" {
		return nil, &refusal{http.StatusBadRequest, "give addresses (MAC addresses with commas between) or node_uuid"}
	}
	owner, met := uuid, false
	for _, mac := range macs {
		found, err := h.cfg.Manager.Find(ctx, mac)
		switch {
		case errors.Is(err, task.ErrNodeNotFound):
			continue
		case err != nil:
			return nil, err
		case owner == "":
			owner = found
		case owner != found:
			for _, node := range []string{owner, found} {
				h.observeKnown(ctx, node, "refused: a ramdisk gave addresses of several nodes, or another node's UUID")
			}
			return nil, unknownNode
		}
		met = true
	}
	if owner == "" {
		return nil, unknownNode
	}
	rec, err := h.get(ctx, owner)
	if err == nil && !met && len(rec.Ports) > 0 { // a UUID is no secret
		h.observe(owner, StageLookup, "refused: a ramdisk gave the node's UUID, and no address of its ports", true)
		return nil, unknownNode
	}
	return rec, err
}

// observeKnown is for nodes that a stranger named: only those that exist count.
func (h *Handler) observeKnown(ctx context.Context, uuid, detail string) {
	if rec, err := h.get(ctx, uuid); err == nil {
		h.observe(rec.Node.UUID, StageLookup, detail, true)
	}
}

// get returns the node with that UUID; a name will not do.
func (h *Handler) get(ctx context.Context, uuid string) (*task.Record, error) {
	rec, err := h.cfg.Manager.Get(ctx, uuid)
	if err != nil {
		return nil, err
	}
	if rec.Node.UUID != uuid {
		return nil, unknownNode
	}
	return rec, nil
}

// issueToken makes the token of a new session, unless another lookup was faster.
func (h *Handler) issueToken(ctx context.Context, uuid string) (*task.Node, string, error) {
	t, err := h.cfg.Manager.TryAcquire(ctx, uuid, StageLookup)
	if err != nil {
		return nil, "", err
	}
	defer func() {
		if err := t.Release(ctx); err != nil {
			h.cfg.Logger.Error("lock of a lookup not released", "error", err)
		}
	}()
	if !expectsLookup(t.Node.ProvisionState) {
		return nil, "", unknownNode
	}
	if t.Node.DriverInternalInfo.Text(keyToken) != "" {
		return t.Node, takenToken, nil
	}
	var secret [32]byte
	rand.Read(secret[:])
	token := base64.RawURLEncoding.EncodeToString(secret[:])
	t.Node.SetInternal(keyToken, token)
	if err := t.Save(ctx); err != nil {
		return nil, "", err
	}
	h.cfg.Logger.Info("token handed to the ramdisk", "node", uuid)
	return t.Node, token, nil
}

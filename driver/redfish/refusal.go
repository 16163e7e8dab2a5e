package redfish

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/ferrule/ferrule/driver/bmc"
)

// A message is one of the messages of a refusal (DSP0266, 8.6).
type message struct {
	ID      string `json:"MessageId"` // iLO 4 writes MessageID, which is the same to package json
	Message string
}

// refusal returns the error of an answer that is not one of success.
func refusal(r request, status int, body []byte, secrets ...string) error {
	var b struct {
		Error struct {
			Code     string    `json:"code"`
			Message  string    `json:"message"`
			Extended []message `json:"@Message.ExtendedInfo"`
		} `json:"error"`
		Messages []message // iLO 4
	}
	_ = json.Unmarshal(body, &b) // an answer without JSON has its status
	ids, texts := []string{b.Error.Code}, []string{}
	for _, m := range append(b.Error.Extended, b.Messages...) {
		ids = append(ids, m.ID)
		if m.Message != "" {
			texts = append(texts, m.Message)
		}
	}
	if len(texts) == 0 && b.Error.Message != "" {
		texts = append(texts, b.Error.Message)
	}
	if len(texts) == 0 {
		texts = ids
	}
	text := strings.Trim(strings.Join(texts, "; "), "; ")
	e := &bmc.Error{Op: r.op(), Status: status, Text: bmc.Clean(text, secrets...)}
	e.Class = classify(status, strings.ToLower(strings.Join(ids, " ")), strings.ToLower(text))
	e.Final = e.Class == bmc.Conflict // the same again would meet the same conflict
	return e
}

// busyWords are in the identifiers of messages that say: not now. HPE's is
// iLO.2.x.UnableToModifyDuringSystemPOST, the others are of DMTF's registry Base.
var busyWords = []string{"duringsystempost", "serviceshuttingdown", "servicetemporarilyunavailable", "serviceinunknownstate", "resourceinuse",
	"sessionlimitexceeded", "resourceinstandby", "systemresetting", "ilorestartinprogress"}

func classify(status int, ids, text string) bmc.Class {
	has := func(s string, words ...string) bool {
		for _, w := range words {
			if strings.Contains(s, w) {
				return true
			}
		}
		return false
	}
	switch {
	case has(ids, "licens"), has(text, "license", "licence") && status != http.StatusUnauthorized:
		return bmc.Licence
	case has(ids, busyWords...):
		return bmc.Busy
	}
	switch status {
	case http.StatusUnauthorized:
		return bmc.Authentication
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return bmc.Busy
	case http.StatusConflict, http.StatusPreconditionFailed, http.StatusPreconditionRequired:
		return bmc.Conflict
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusGone:
		return bmc.Unsupported
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return bmc.Unreachable
	}
	if status >= 500 || status < 400 {
		return bmc.Protocol
	}
	return bmc.Refused
}

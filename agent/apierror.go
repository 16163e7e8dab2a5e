package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

var (
	// ErrBusy is a ramdisk that runs another command.
	ErrBusy = errors.New("the ramdisk is busy with another command")

	// ErrUnauthorized is a ramdisk that does not accept the node's token: it
	// restarted, or another one answers at its address.
	ErrUnauthorized = errors.New("the ramdisk does not accept the node's token: it restarted, or is another one")

	// ErrUnreachable is a ramdisk that did not answer, or not in time. Whether
	// it received the request is unknown.
	ErrUnreachable = errors.New("the ramdisk does not answer")
)

// An APIError is a request that the ramdisk refused with an HTTP status of 400
// or more. It Is [ErrBusy] and [ErrUnauthorized] where that is what was meant.
type APIError struct {
	Status  int
	Message string // the agent's faultstring, cut to a length that fits a log
}

// Error names the status and the agent's words.
func (e *APIError) Error() string {
	text := fmt.Sprintf("the ramdisk answered HTTP %d", e.Status)
	if e.Message != "" {
		text += ": " + e.Message
	}
	for _, meaning := range []error{ErrBusy, ErrUnauthorized} {
		if e.Is(meaning) {
			return meaning.Error() + " (" + text + ")"
		}
	}
	return text
}

// Is reports what the status means.
func (e *APIError) Is(target error) bool {
	switch target {
	case ErrBusy:
		return e.Status == http.StatusConflict || strings.Contains(strings.ToLower(e.Message), "agent is busy")
	case ErrUnauthorized:
		return e.Status == http.StatusUnauthorized
	}
	return false
}

// apiError reads the body of a refusal.
func apiError(status int, body []byte) *APIError {
	e := &APIError{Status: status}
	var fault struct {
		Text string `json:"faultstring"`
	}
	if json.Unmarshal(body, &fault) == nil {
		e.Message = excerpt(fault.Text)
	} else if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
		e.Message = excerpt(string(body))
	}
	return e
}

// A callError is a failed request without its URL, which holds the token.
type callError struct {
	what string
	text string
	is   error
}

func (e *callError) Error() string {
	if e.text == "" {
		return e.what + ": " + e.is.Error()
	}
	return e.what + ": " + e.is.Error() + ": " + e.text
}

func (e *callError) Unwrap() error { return e.is }

// lost says why no answer came to what. An ended ctx is told by its cause.
func lost(ctx context.Context, what string, err error, s Session) error {
	if ctx.Err() != nil {
		return &callError{what: what, is: context.Cause(ctx)}
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return &callError{what: what, text: s.scrub(err.Error()), is: ErrUnreachable}
}

// scrub takes s's token, and what else the ramdisk was told in confidence, out
// of text.
func (s Session) scrub(text string) string {
	token := string(s.Token)
	secrets := []string{token, url.QueryEscape(token), url.PathEscape(token)}
	if s.node != nil {
		secrets = append(secrets, confided(s.node)...)
	}
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "******")
		}
	}
	return text
}

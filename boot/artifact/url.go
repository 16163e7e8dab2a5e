package artifact

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/ferrule/ferrule/task"
)

// ParseURL returns the http or https URL that a parameter names, for a machine
// to fetch from or below. User, password and fragment are refused: whoever sees
// what the machine is told could read them. The text is in no error, for it may
// hold a signature. The error Is task.ErrInvalidParameter, for "" also
// task.ErrMissingParameter.
func ParseURL(text string) (*url.URL, error) {
	bad := func(why string) error { return fmt.Errorf("%w: %s", task.ErrInvalidParameter, why) }
	if text == "" {
		return nil, task.ErrMissingParameter
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		return nil, bad("no http or https URL")
	case u.User != nil:
		return nil, bad("a URL with user or password, which every log on its way would show")
	case u.Fragment != "":
		return nil, bad("a URL with a fragment")
	}
	return u, nil
}

// ParseBaseURL is [ParseURL] for the address of a server, which has no query
// either, and drops slashes at its end.
func ParseBaseURL(text string) (*url.URL, error) {
	u, err := ParseURL(strings.TrimRight(text, "/"))
	if err == nil && (u.RawQuery != "" || u.ForceQuery) {
		return nil, fmt.Errorf("%w: the URL of a server has no query", task.ErrInvalidParameter)
	}
	return u, err
}

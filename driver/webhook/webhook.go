package webhook

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/internal/switched"
	"github.com/ferrule/ferrule/task"
)

// Config says how services are called. The zero value is ready.
type Config struct {
	// HTTPClient is used for all calls. Nil means http.DefaultTransport, with a time
	// of 30 s for each call.
	HTTPClient *http.Client

	// PowerWait is how long a machine may take to be on or off, looked at every
	// PollPause. 0 means 60 s and 1 s.
	PowerWait, PollPause time.Duration
}

type parameters struct {
	URL   string      `driver_info:"webhook_url,required" help:"URL of the machine's power at the service"`
	Token task.Secret `driver_info:"webhook_token" help:"bearer token for the service"`
}

// New returns the power interface.
func New(c Config) driver.PowerInterface {
	client := http.Client{Timeout: 30 * time.Second}
	if c.HTTPClient != nil {
		client = *c.HTTPClient
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &switched.Power{
		Name: "webhook", Props: task.PropertiesOf[parameters](),
		Open: func(op string, t *task.Task) (switched.Switch, error) { return open(op, t, &client) },
		Wait: cmp.Or(c.PowerWait, time.Minute), Pause: cmp.Or(c.PollPause, time.Second),
		Remedy: "look at the service that driver_info.webhook_url names",
	}
}

type service struct {
	parameters
	node   *task.Node
	client *http.Client
}

func open(op string, t *task.Task, client *http.Client) (switched.Switch, error) {
	s := &service{node: t.Node, client: client}
	if err := t.Node.Decode(op, &s.parameters); err != nil {
		return nil, err
	}
	u, err := url.Parse(s.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return nil, &task.Error{Op: op, Node: t.Node.String(), Field: "driver_info.webhook_url",
			Err: fmt.Errorf("%w: no http or https URL without a user", task.ErrInvalidParameter), Remedy: "set it to a URL as https://power.example/n1"}
	}
	return s, nil
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

func (s *service) State(ctx context.Context) (driver.PowerState, error) {
	body, err := s.call(ctx, http.MethodGet, nil)
	if err != nil {
		return "", err
	}
	var answer struct {
		PowerState driver.PowerState `json:"power_state"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", errors.New("the service's answer is no JSON object")
	}
	if answer.PowerState != driver.PowerOn && answer.PowerState != driver.PowerOff {
		return "", fmt.Errorf("the service answered power_state %.40q, which is neither %q nor %q", answer.PowerState, driver.PowerOn, driver.PowerOff)
	}
	return answer.PowerState, nil
}

func (s *service) Set(ctx context.Context, to driver.PowerState) error {
	_, err := s.call(ctx, http.MethodPost, map[string]string{"node": s.node.UUID, "name": s.node.Name, "target": string(to)})
	return err
}

// call makes one request. Its errors hold neither URL, which may have a key in it,
// nor token.
func (s *service) call(ctx context.Context, method string, body any) ([]byte, error) {
	var sent io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(data)
	}
	r, err := http.NewRequestWithContext(ctx, method, s.URL, sent)
	if err != nil {
		return nil, errors.New("the request cannot be made")
	}
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if s.Token != "" {
		r.Header.Set("Authorization", "Bearer "+string(s.Token))
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, withoutURL(ctx, err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, withoutURL(ctx, err)
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return nil, fmt.Errorf("the service answered %s to %s", answer.Status, method)
	}
	return data, nil
}

func withoutURL(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

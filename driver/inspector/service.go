package inspector

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// ServiceConfig says where an ironic-inspector service is. The zero value is one
// that is not enabled.
type ServiceConfig struct {
	Enabled bool

	// URL is the service's API. Empty means http://127.0.0.1:5050.
	URL string

	// CallbackURL is the service's /v1/continue, as ramdisks reach it: then this
	// program boots them. Empty leaves that to the service.
	CallbackURL string

	// Authorize puts credentials into a request, as X-Auth-Token. Nil puts none.
	Authorize func(ctx context.Context, r *http.Request) error

	// HTTPClient is used for all calls. Nil means one of its own with a time of 30 s
	// for each call.
	HTTPClient *http.Client

	// PollPause is the time between two looks at all inspections that run. 0 means
	// 60 s.
	PollPause time.Duration

	Rules Rules

	// Logger is told that the service is not enabled, and what [Watch] could not
	// find out. Nil discards.
	Logger *slog.Logger
}

func (c ServiceConfig) withDefaults() ServiceConfig {
	c.URL = strings.TrimSuffix(cmp.Or(c.URL, "http://127.0.0.1:5050"), "/")
	c.PollPause = cmp.Or(c.PollPause, time.Minute)
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{Timeout: 30 * time.Second}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// CreateIfEnabled returns the inspect interface that asks the service, or nil where
// the service is not enabled: a driver without that role.
func CreateIfEnabled(c ServiceConfig) (driver.InspectInterface, error) {
	c = c.withDefaults()
	if !c.Enabled {
		c.Logger.Info("no inspection: the inspector service is not enabled")
		return nil, nil
	}
	for field, u := range map[string]string{"URL": c.URL, "CallbackURL": cmp.Or(c.CallbackURL, c.URL)} {
		if err := checkURL(u); err != nil {
			return nil, &task.Error{Op: "inspector.CreateIfEnabled", Field: field, Err: err, Remedy: "set it to a URL of the service"}
		}
	}
	return &service{c, client{c}}, nil
}

// serviceKey says that the service inspects the node.
const serviceKey = "inspector_service"

type service struct {
	cfg    ServiceConfig
	client client
}

var (
	_ driver.InspectInterface = (*service)(nil)
	_ driver.SiblingChecker   = (*service)(nil)
)

// CheckSiblings refuses a boot interface that cannot boot for inspection, where this
// program boots.
func (s *service) CheckSiblings(d *driver.Driver) error {
	if s.cfg.CallbackURL == "" {
		return nil
	}
	return bootsForInspection(d)
}

func (s *service) Properties() task.Properties { return nil }

func (s *service) Validate(ctx context.Context, t *task.Task) error {
	if s.cfg.CallbackURL == "" {
		return nil
	}
	return boot.ValidateInspection(ctx, driver.Of(t).Boot, t)
}

// InspectHardware implements driver.InspectInterface.
func (s *service) InspectHardware(ctx context.Context, t *task.Task) (task.State, error) {
	const op = "inspector.InspectHardware"
	if err := t.RequireExclusive(op); err != nil {
		return "", err
	}
	if err := s.Validate(ctx, t); err != nil {
		return "", err
	}
	managed := s.cfg.CallbackURL != ""
	if err := s.client.start(ctx, t.Node.UUID, managed); err != nil {
		return "", &task.Error{Op: op, Node: t.Node.String(), Err: err, Remedy: "look at the inspector service"}
	}
	t.Node.SetInternal(serviceKey, true)
	if managed {
		if err := bootRamdisk(ctx, t, boot.Params{"ipa-inspection-callback-url": s.cfg.CallbackURL}); err != nil {
			return "", err
		}
	}
	return task.InspectWait, nil
}

// AbortInspection implements driver.InspectInterface.
func (s *service) AbortInspection(ctx context.Context, t *task.Task) error {
	const op = "inspector.AbortInspection"
	if err := t.RequireExclusive(op); err != nil {
		return err
	}
	var errs []error
	if on, _ := t.Node.DriverInternalInfo[serviceKey].(bool); on {
		if err := s.client.abort(ctx, t.Node.UUID); err != nil {
			errs = append(errs, &task.Error{Op: op, Node: t.Node.String(), Err: err, Remedy: "look at the inspector service"})
		}
	}
	t.Node.SetInternal(serviceKey, nil)
	if s.cfg.CallbackURL != "" {
		errs = append(errs, endRamdisk(ctx, t))
	}
	return task.Join(errs...)
}

package ramdisk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/ferrule/ferrule/task"
)

// A node is what lookup told about the machine.
type node struct {
	facts            nodeFacts
	heartbeatTimeout time.Duration
	token            task.Secret
	tokenRequired    bool
	md5              bool
}

// nodeFacts are the fields of an Ironic node that steps look at.
type nodeFacts struct {
	UUID         string    `json:"uuid"`
	Properties   task.Info `json:"properties"`
	InstanceInfo task.Info `json:"instance_info"`
	Internal     task.Info `json:"driver_internal_info"`
}

// rootDevice returns the disk that the image goes to.
func (f *nodeFacts) rootDevice(disks []task.Disk) (task.Disk, error) {
	v := f.InstanceInfo["root_device"]
	if v == nil {
		v = f.Properties["root_device"]
	}
	hints, err := task.ParseRootDeviceHints(v)
	if err != nil {
		return task.Disk{}, err
	}
	return hints.Find(disks)
}

const hiddenToken = "******" // what the API shows of a token that it gave out already

func decodeLookup(body []byte) (*node, error) {
	type config struct {
		HeartbeatTimeout float64     `json:"heartbeat_timeout"`
		Token            task.Secret `json:"agent_token"`
		TokenRequired    bool        `json:"agent_token_required"`
		MD5              bool        `json:"agent_md5_checksum_enable"`
	}
	var answer struct {
		Node   nodeFacts `json:"node"`
		Config config    `json:"config"`
		Old    float64   `json:"heartbeat_timeout"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, errors.New("not the JSON of a node")
	}
	timeout := answer.Config.HeartbeatTimeout
	if timeout == 0 {
		timeout = answer.Old
	}
	if answer.Node.UUID == "" || !(timeout > 0 && timeout < 1e6) {
		return nil, errors.New("no node.uuid or no usable config.heartbeat_timeout")
	}
	return &node{
		facts:            answer.Node,
		heartbeatTimeout: time.Duration(timeout * float64(time.Second)),
		token:            answer.Config.Token,
		tokenRequired:    answer.Config.TokenRequired,
		md5:              answer.Config.MD5,
	}, nil
}

// lookup finds the agent's node, trying until the time allowed is over.
func (a *agent) lookup(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, a.settings.lookupTimeout, task.ErrTimeout)
	defer cancel()
	var addresses []string
	var last error
	for attempt := 0; ; attempt++ {
		var n *node
		var err error
		addresses, err = a.addresses(ctx)
		if err == nil {
			n, err = a.api.lookup(ctx, addresses)
		}
		if err == nil {
			return a.adopt(n)
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		pause := a.lookupPause(attempt, err)
		a.log.Warn("lookup", "attempt", attempt+1, "err", err, "pause", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
			continue
		}
		if cause := context.Cause(ctx); cause != task.ErrTimeout {
			return cause
		}
		return &task.Error{
			Op: "ramdisk.Run", Field: "ipa-lookup-timeout",
			Err:    fmt.Errorf("%w: looking up the node of %s: %w", task.ErrTimeout, strings.Join(addresses, ", "), last),
			Remedy: "enroll the node with a port of one of these addresses, and check that it is being deployed, cleaned or inspected and that ipa-api-url is right",
		}
	}
}

func (a *agent) addresses(ctx context.Context) ([]string, error) {
	interfaces, err := a.host.Interfaces(ctx)
	if err != nil {
		return nil, err
	}
	var addresses []string
	for _, i := range interfaces {
		if i.MACAddress != "" {
			addresses = append(addresses, i.MACAddress)
		}
	}
	if len(addresses) == 0 {
		return nil, errors.New("the machine has no network interface with an address yet")
	}
	return addresses, nil
}

// lookupPause is the wait after a failed attempt: a random one that grows up to
// a minute, or longer fixed ones after a conflict or where no server can be
// reached, as a busy conductor recovers faster if left alone.
func (a *agent) lookupPause(attempt int, err error) time.Duration {
	unit := max(a.settings.lookupInterval, time.Millisecond)
	var status *statusError
	if answered := errors.As(err, &status); answered && status.code != http.StatusConflict {
		most := min(unit<<min(attempt, 6), 60*unit)
		return unit + time.Duration(rand.Float64()*float64(most-unit))
	}
	fixed := []time.Duration{5, 10, 30}[min(attempt, 2)] * unit
	return spread(fixed, 0.8, 1.2)
}

// spread returns d times something between low and high, so that agents that
// started together do not stay together.
func spread(d time.Duration, low, high float64) time.Duration {
	return time.Duration(float64(d) * (low + rand.Float64()*(high-low)))
}

// adopt decides on the token of this boot.
func (a *agent) adopt(n *node) error {
	token := a.settings.token
	fail := func(what, remedy string) error {
		return &task.Error{Op: "ramdisk.Run", Node: n.facts.UUID, Field: "agent_token", Err: errors.New(what), Remedy: remedy}
	}
	switch {
	case token != "": // virtual media brought it
	case a.api.version < tokenVersion:
	case n.token == hiddenToken:
		return fail("another boot of this machine claimed the token already",
			"power cycle the node through the conductor, which then makes a new token")
	case n.token == "" && n.tokenRequired:
		return fail("the API requires a token and gave none", "check the conductor's version and log")
	case n.token != "" && len(n.token) < 32:
		return fail("the API gave a token of less than 32 characters", "check the conductor")
	default:
		token = n.token
	}
	a.node, a.token, a.facts = n, token, n.facts
	return nil
}

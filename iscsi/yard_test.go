package iscsi_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/iscsi"
	"github.com/ferrule/ferrule/iscsi/iscsitest"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// A yard has machines n0, n1 and so on, with ramdisks that run, at 192.0.2.0,
// 192.0.2.1 and so on.
type yard struct {
	machines []*piped
	deploy   *iscsi.Deploy
	images   http.RoundTripper // what is no machine
}

func newYard(t *testing.T, machines int, c iscsi.Config) *yard {
	y := &yard{}
	for i := range machines {
		name := iscsi.TargetName(tasktest.Node(fmt.Sprintf("n%d", i)))
		y.machines = append(y.machines, &piped{server: iscsitest.New(t, iscsitest.Options{Pipe: true, Name: name, Size: 16 * mib}), size: 16 * mib})
	}
	c.Agent = agent.Config{APIURL: "http://192.0.2.100:6385", ImageDirs: c.Agent.ImageDirs, HTTPClient: &http.Client{Transport: y}}
	c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return y.at(addr).server.Dial(ctx, network, addr)
	}
	var err error
	y.deploy, err = iscsi.New(c)
	require.NoError(t, err)
	return y
}

func (y *yard) at(addr string) *piped {
	host, _, _ := strings.Cut(addr, ":")
	var i int
	fmt.Sscanf(host, "192.0.2.%d", &i)
	return y.machines[i]
}

// RoundTrip is the APIs of the agents, and the images.
func (y *yard) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasPrefix(r.URL.Host, "192.0.2.") {
		return y.images.RoundTrip(r)
	}
	return y.at(r.URL.Host).RoundTrip(r)
}

// write writes node i's image.
func (y *yard) write(ctx context.Context, i int, instance task.Info) error {
	return writeImage(ctx, y.deploy, fmt.Sprintf("n%d", i), fmt.Sprintf("http://192.0.2.%d:9999", i), instance)
}

// writeImage runs the step write_image of a node whose agent has that URL.
func writeImage(ctx context.Context, d *iscsi.Deploy, node, agentURL string, instance task.Info) error {
	n := tasktest.Node(node)
	n.ProvisionState, n.InstanceInfo = task.Deploying, instance
	n.SetInternal("agent_url", agentURL)
	n.SetInternal("agent_secret_token", "canary-token")
	_, err := d.ExecuteStep(ctx, &task.Task{Node: n}, deploy.DeploySteps, deploy.Step{Interface: "deploy", Name: "write_image"})
	return err
}

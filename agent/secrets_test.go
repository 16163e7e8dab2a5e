package agent_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/task"
)

// confide puts a secret, in which there is always the word canary, wherever a
// node has one.
func confide(n *task.Node) {
	n.DriverInfo = task.Info{"ipmi_password": "canary-bmc", "snmp_auth_key": "canary-snmp"}
	n.InstanceInfo["image_source"] = "https://images.example.com/disk.raw?X-Signature=canary-signature"
	n.InstanceInfo["image_url"] = "https://images.example.com/disk.raw?X-Signature=canary-signature"
	n.InstanceInfo["configdrive"] = "H4sIcanary/configdrive"
	n.InstanceInfo["rescue_password"] = "canary-rescue"
	n.InstanceInfo["image_pull_secret"] = "canary-pull"
	n.Properties["vault_token"] = "canary-vault"
	n.SetInternal("agent_secret_token", canary)
	n.SetInternal("nested", []any{map[string]any{"password": "canary-nested"}})
}

func requireNoCanary(t *testing.T, what string, text string) {
	t.Helper()
	require.NotContains(t, text, "canary", what)
}

// errorText is all that printing err, or what is in it, could show.
func errorText(err error) string {
	var b bytes.Buffer
	for ; err != nil; err = errors.Unwrap(err) {
		fmt.Fprintf(&b, "%v\n%+v\n%#v\n", err, err, err)
	}
	return b.String()
}

// TestHandlerTellsNoSecret asks for all there is, with every answer but the
// first lookup's in reach of anybody.
func TestHandlerTellsNoSecret(t *testing.T) {
	t.Parallel()
	waiting, active := nodeIn(task.DeployWait, "waiting"), nodeIn(task.Active, "active")
	fresh := nodeIn(task.CleanWait, "fresh")
	for _, n := range []*task.Node{waiting, active, fresh} {
		n.InstanceInfo = task.Info{}
		confide(n)
	}
	fresh.SetInternal("agent_secret_token", nil)
	var log bytes.Buffer
	s := newServer(t, []*task.Node{waiting, active, fresh}, func(c *agent.HandlerConfig) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	first := s.own(fresh.UUID)
	requireNoCanary(t, "the first lookup", first.Body.String())
	token := foundIn(t, first).Config.Token

	bad := map[string]any{"callback_url": "http://u:" + canary + "@x/"}
	answers := []*httptest.ResponseRecorder{
		s.call("GET", "/", ""), s.call("GET", "/v1/", ""), s.call("GET", "/v1/nodes/"+waiting.UUID, ""),
		s.own(waiting.UUID), s.own(active.UUID), s.own(fresh.UUID), s.lookup(waiting.UUID), s.lookup("", mac(waiting), mac(active)),
		s.beat(waiting.UUID, beatBody(t, nil)), s.beat(waiting.UUID, beatBody(t, bad)), s.beat(waiting.UUID, beatBody(t, map[string]any{"agent_version": canary + "\n"})),
		s.beat(waiting.UUID, beatBody(t, map[string]any{canary: canary})), s.beat(waiting.UUID, canary), s.beat(active.UUID, beatBody(t, nil)),
		s.beat(fresh.UUID, beatBody(t, nil)), s.beat(fresh.UUID, beatBody(t, map[string]any{"agent_token": token})),
	}
	s.beatErr = errors.New("broken store")
	answers = append(answers, s.beat(waiting.UUID, beatBody(t, nil)))
	for _, w := range answers {
		requireNoCanary(t, "an answer", w.Body.String()+fmt.Sprint(w.Header()))
		require.NotContains(t, w.Body.String(), token)
	}
	requireNoCanary(t, "the log", log.String())
	require.NotContains(t, log.String(), token)
	require.NotEmpty(t, log.String())
	evidence := fmt.Sprintf("%+v", s.seen.Evidence())
	requireNoCanary(t, "the evidence", evidence)
	require.NotContains(t, evidence, token)
	requireNoCanary(t, "what is passed on", fmt.Sprintf("%+v", s.beats))
}

// TestDeployTellsNoSecret has a ramdisk that repeats whatever it is told, in
// every way it can fail.
func TestDeployTellsNoSecret(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		ctx := t.Context()
		step := deploy.Step{Interface: "deploy", Name: "write_image"}
		fails := func(how string) error {
			s := newSite(t).up(task.Deploying)
			confide(s.Node)
			s.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			// As agents do: the URL, the path that was asked for, all parameters.
			said := func(params any) string {
				return fmt.Sprintf("GET %s failed: Max retries exceeded with url: /disk.raw?X-Signature=canary-signature\n{'agent_token': '%s', 'params': %v}",
					s.Node.InstanceInfo["image_url"], canary, params)
			}
			s.ramdisk.reply = func(_ string, params map[string]any) map[string]any {
				switch how {
				case "failed at once":
					return map[string]any{"command_status": "FAILED", "command_error": map[string]any{"type": said(""), "message": said(params), "details": said(params)}}
				case "failed later":
					return nil
				}
				return map[string]any{"command_status": said(params), "command_name": said(params), "command_result": params}
			}
			s.ramdisk.before = func(w http.ResponseWriter, r *http.Request) bool {
				switch how {
				case "refused":
					fault(w, 400, said(r.URL.String()))
				case "no JSON":
					fmt.Fprintf(w, "%s", said(r.URL.String()))
				case "lost":
					panic(http.ErrAbortHandler)
				default:
					return false
				}
				return true
			}
			_, err := s.deploy.ExecuteStep(ctx, s.Task, deploy.DeploySteps, step)
			if how == "failed later" {
				require.NoError(t, err)
				s.Node.ProvisionState, s.Node.DeployStep = task.DeployWait, step.Info()
				s.ramdisk.finish(map[string]any{"command_status": "FAILED", "command_error": map[string]any{"message": said(s.ramdisk.params)}})
				_, err = s.beat(t)
			}
			_, stepsErr := s.deploy.Steps(ctx, s.Task, deploy.CleanSteps)
			s.Node.ProvisionState = task.DeployWait
			_, statusErr := s.deploy.Heartbeat(ctx, s.Task, deploy.Heartbeat{CallbackURL: callback, Status: "error", StatusMessage: said("")})
			_, offErr := executes("tear_down_agent")(ctx, s)
			for _, e := range []error{err, stepsErr, offErr, statusErr} {
				requireNoCanary(t, how, errorText(e))
			}
			requireNoCanary(t, how, fmt.Sprintf("%+v", s.seen.Evidence()))
			return err
		}
		for _, how := range []string{"failed at once", "failed later", "odd status", "refused", "no JSON", "lost"} {
			require.Error(t, fails(how), how)
		}
		requireNoCanary(t, "the log", log.String())
	})
}

// TestImageNameIsASecret has a ramdisk tell where it fetched a file.
func TestImageNameIsASecret(t *testing.T) {
	t.Parallel()
	dir, tree, serve := serves(t)
	s := newSite(t, serve)
	s.Node.InstanceInfo["image_source"] = dir + "/disk.raw"
	require.NoError(t, s.deploy.Prepare(t.Context(), s.Task))
	location := s.Node.InstanceInfo.Text("image_url")
	s.Node.InstanceInfo["configdrive"] = "http://192.0.2.3/drive?token=canary-drive"
	s.Node.SetInternal("agent_url", callback)
	s.Node.SetInternal("agent_secret_token", canary)
	s.ramdisk.reply = func(string, map[string]any) map[string]any {
		return map[string]any{"command_status": "FAILED", "command_error": map[string]any{"message": "404 at " + location + ", drive http://192.0.2.3/drive?token=canary-drive"}}
	}
	_, err := executes("write_image")(t.Context(), s)
	require.ErrorContains(t, err, "404 at http://192.0.2.1:8080/tree/agent_images/"+s.Node.UUID+"/******")
	requireNoCanary(t, "error", errorText(err))
	require.NotContains(t, errorText(err), path.Base(tree.Names(s.Node.UUID + "/image")[0]))
}

package agent_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// lookup asks for the node of these addresses and that UUID.
func (s *server) lookup(uuid string, addresses ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	q := url.Values{}
	if addresses != nil {
		q.Set("addresses", strings.Join(addresses, ","))
	}
	if uuid != "" {
		q.Set("node_uuid", uuid)
	}
	return s.call("GET", "/v1/lookup?"+q.Encode(), "", "X-OpenStack-Ironic-API-Version", "1.62")
}

// own asks for a node as its own machine does.
func (s *server) own(uuid string) *httptest.ResponseRecorder {
	s.t.Helper()
	rec, err := s.manager.Get(s.t.Context(), uuid)
	require.NoError(s.t, err)
	return s.lookup(uuid, rec.Ports[0].Address)
}

// A found is what a lookup answers.
type found struct {
	Node struct {
		UUID         string
		Properties   map[string]any
		InstanceInfo map[string]any `json:"instance_info"`
		Internal     map[string]any `json:"driver_internal_info"`
		Links        []any
	}
	Config struct {
		Timeout  int    `json:"heartbeat_timeout"`
		Token    string `json:"agent_token"`
		Required bool   `json:"agent_token_required"`
		MD5      bool   `json:"agent_md5_checksum_enable"`
	}
}

func foundIn(t *testing.T, w *httptest.ResponseRecorder) found {
	t.Helper()
	require.Equal(t, http.StatusOK, w.Code, "%s", w.Body)
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"), "the answer holds a token")
	var f found
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &f))
	return f
}

func mac(n *task.Node) string { return tasktest.Port(n).Address }

const stranger = "52:54:00:00:00:01" // an address that no node has

func TestLookupFinds(t *testing.T) {
	t.Parallel()
	n1, n2 := nodeIn(task.DeployWait, "n1"), nodeIn(task.DeployWait, "n2")
	for _, tt := range []struct {
		name, uuid string
		addresses  []string
		status     int
	}{
		{"address", "", []string{mac(n1)}, 200},
		{"address in other notation", "", []string{" " + strings.ToUpper(strings.ReplaceAll(mac(n1), ":", "-")) + " "}, 200},
		{"known and unknown addresses", "", []string{stranger, mac(n1), "nonsense", ""}, 200},
		{"UUID alone", n1.UUID, nil, 404},
		{"UUID and address", n1.UUID, []string{mac(n1)}, 200},
		{"UUID and an unknown address", n1.UUID, []string{stranger}, 404},
		{"UUID and another node's address", n1.UUID, []string{mac(n2)}, 404},
		{"UUID and addresses of both", n1.UUID, []string{mac(n1), mac(n2)}, 404},
		{"addresses of two nodes", "", []string{mac(n1), mac(n2)}, 404},
		{"unknown address", "", []string{stranger}, 404},
		{"unknown UUID", "00000000-0000-4000-8000-000000000000", nil, 404},
		{"unknown UUID, known address", "00000000-0000-4000-8000-000000000000", []string{mac(n1)}, 404},
		{"a name is no UUID", "n1", nil, 404},
		{"a name with its address", "n1", []string{mac(n1)}, 404},
		{"nothing", "", nil, 400},
		{"nothing usable", " ", []string{"x", "01:02"}, 400},
		{"too many addresses", "", many(129), 400},
		{"as many addresses as may be", "", append(many(127), mac(n1)), 200},
		{"one address many times", "", append(strings.Split(strings.Repeat(mac(n1)+",", 1000), ","), ""), 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, []*task.Node{n1.Clone(), n2.Clone()})
			w := s.lookup(tt.uuid, tt.addresses...)
			require.Equal(t, tt.status, w.Code, "%s", w.Body)
			if tt.status == http.StatusOK {
				require.Equal(t, n1.UUID, foundIn(t, w).Node.UUID)
				require.Equal(t, task.Evidence{Node: n1.UUID, Stage: agent.StageLookup}, s.lastEvidence())
				return
			}
			faultOf(t, w)
			for _, n := range []*task.Node{n1, n2} {
				require.Nil(t, s.node(n.UUID).DriverInternalInfo["agent_secret_token"], "a refused lookup makes no token")
			}
		})
	}
}

func many(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("02:00:00:00:%02x:%02x", i>>8, i&0xff))
	}
	return all
}

// TestLookupWithoutPorts finds a node of which nothing but the UUID is known.
func TestLookupWithoutPorts(t *testing.T) {
	t.Parallel()
	n := nodeIn(task.DeployWait, "n1")
	s := newServer(t, nil)
	require.NoError(t, s.manager.Create(t.Context(), n))
	require.NotEmpty(t, foundIn(t, s.lookup(n.UUID, stranger)).Config.Token)
}

// TestLookupTellsStrangersNothing holds every answer to one that must not be
// told apart: whether a node exists, and what it does.
func TestLookupTellsStrangersNothing(t *testing.T) {
	t.Parallel()
	active, waiting := nodeIn(task.Active, "active"), nodeIn(task.DeployWait, "waiting")
	s := newServer(t, []*task.Node{active, waiting})
	unknown := s.lookup("", stranger)
	require.Equal(t, http.StatusNotFound, unknown.Code)
	for _, w := range []*httptest.ResponseRecorder{
		s.own(active.UUID), s.lookup("", mac(active)), s.lookup(active.Name), s.lookup(active.UUID, mac(waiting)), s.lookup("", mac(active), mac(waiting)),
	} {
		require.Equal(t, unknown.Code, w.Code)
		require.Equal(t, unknown.Body.String(), w.Body.String())
		require.Empty(t, cmp.Diff(unknown.Header(), w.Header()))
	}
	// The operator is told, each time, of those nodes that there are.
	var seen []string
	for _, e := range s.seen.Evidence() {
		require.True(t, e.Failed)
		require.Equal(t, agent.StageLookup, e.Stage)
		seen = append(seen, s.node(e.Node).Name+": "+e.Detail)
	}
	const inState, several = "refused: no ramdisk is expected in state \"active\"", "refused: a ramdisk gave addresses of several nodes, or another node's UUID"
	require.Equal(t, []string{
		"active: " + inState, "active: " + inState,
		"active: " + several, "waiting: " + several, "active: " + several, "waiting: " + several,
	}, seen)
}

func TestLookupStates(t *testing.T) {
	t.Parallel()
	expected := map[task.State]bool{
		task.Deploying: true, task.DeployWait: true, task.Cleaning: true, task.CleanWait: true, task.Inspecting: true,
		task.InspectWait: true, task.Rescuing: true, task.RescueWait: true, task.Servicing: true, task.ServiceWait: true,
	}
	for _, state := range []task.State{
		task.Enroll, task.Verifying, task.Manageable, task.Available, task.Deploying, task.DeployWait, task.DeployHold, task.DeployFail,
		task.Active, task.Deleting, task.ErrorState, task.Cleaning, task.CleanWait, task.CleanHold, task.CleanFail, task.Inspecting,
		task.InspectWait, task.InspectFail, task.Adopting, task.AdoptFail, task.Rescuing, task.RescueWait, task.RescueFail, task.Rescue,
		task.Unrescuing, task.UnrescueFail, task.Servicing, task.ServiceWait, task.ServiceHold, task.ServiceFail,
	} {
		n := nodeIn(state, "n1")
		s := newServer(t, []*task.Node{n})
		require.Equal(t, expected[state], s.lookup("", mac(n)).Code == http.StatusOK, "state %q", state)
	}
}

func TestLookupAnswer(t *testing.T) {
	t.Parallel()
	n := nodeIn(task.DeployWait, "n1")
	n.Properties["root_device"] = map[string]any{"name": "/dev/sda"}
	n.InstanceInfo = task.Info{"image_source": "http://x/disk.raw", "image_url": "http://x/disk.raw", "capabilities": "boot_mode:uefi"}
	n.DriverInternalInfo = task.Info{"agent_erase_skip_read_only": true}
	s := newServer(t, []*task.Node{n}, func(c *agent.HandlerConfig) {
		c.HeartbeatTimeout, c.AllowMD5 = 90*time.Second+time.Millisecond, true
	})
	f := foundIn(t, s.lookup("", mac(n)))
	require.Equal(t, n.UUID, f.Node.UUID)
	require.Equal(t, map[string]any{"name": "/dev/sda"}, f.Node.Properties["root_device"])
	require.Equal(t, map[string]any{"image_source": "http://x/disk.raw", "capabilities": "boot_mode:uefi"}, f.Node.InstanceInfo)
	require.Equal(t, map[string]any{"agent_erase_skip_read_only": true}, f.Node.Internal)
	require.Len(t, f.Node.Links, 1)
	require.Equal(t, 90, f.Config.Timeout)
	require.True(t, f.Config.Required)
	require.True(t, f.Config.MD5)

	// An agent wants objects where there is nothing, and by default no MD5.
	bare := &task.Node{ProvisionState: task.CleanWait}
	s = newServer(t, []*task.Node{bare})
	w := s.own(bare.UUID)
	require.Contains(t, w.Body.String(), `"driver_internal_info":{}`)
	require.Contains(t, w.Body.String(), `"instance_info":{}`)
	require.Contains(t, w.Body.String(), `"properties":{}`)
	f = foundIn(t, w)
	require.Equal(t, 300, f.Config.Timeout)
	require.False(t, f.Config.MD5)
}

func TestLookupToken(t *testing.T) {
	t.Parallel()
	n := nodeIn(task.Deploying, "n1")
	s := newServer(t, []*task.Node{n})
	first := foundIn(t, s.lookup("", mac(n)))
	require.Regexp(t, `^[A-Za-z0-9_-]{43}$`, first.Config.Token)
	require.Equal(t, first.Config.Token, s.node(n.UUID).DriverInternalInfo["agent_secret_token"])
	require.NotContains(t, s.log.String(), first.Config.Token)
	require.Contains(t, s.log.String(), "token handed to the ramdisk")

	for range 2 {
		w := s.own(n.UUID)
		require.Equal(t, "******", foundIn(t, w).Config.Token)
		require.NotContains(t, w.Body.String(), first.Config.Token)
		e := s.lastEvidence()
		require.True(t, e.Failed)
		require.Contains(t, e.Detail, "a second lookup since power on got no token")
	}

	// The next boot has a token of its own.
	tk, err := s.manager.Acquire(t.Context(), n.UUID, task.Exclusive, "test")
	require.NoError(t, err)
	tk.Node.SetInternal("agent_secret_token", nil)
	require.NoError(t, tk.Save(t.Context()))
	require.NoError(t, tk.Release(t.Context()))
	second := foundIn(t, s.lookup("", mac(n)))
	require.NotEqual(t, first.Config.Token, second.Config.Token)
	require.Len(t, second.Config.Token, 43)
}

func TestLookupOfLockedNode(t *testing.T) {
	t.Parallel()
	n := nodeIn(task.Deploying, "n1")
	s := newServer(t, []*task.Node{n})
	tk, err := s.manager.Acquire(t.Context(), n.UUID, task.Exclusive, "deploy")
	require.NoError(t, err)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/v1/lookup?addresses="+mac(n), nil))
	require.Equal(t, http.StatusConflict, w.Code, "the ramdisk tries again")
	require.Contains(t, faultOf(t, w), "locked")
	require.NotContains(t, w.Body.String(), "deploy")
	require.Equal(t, "refused: the node is locked; try again", s.lastEvidence().Detail)
	require.NoError(t, tk.Release(t.Context()))
	require.Equal(t, http.StatusOK, s.own(n.UUID).Code)
}

// TestLookupRace has many ramdisks ask at once: one gets the token.
func TestLookupRace(t *testing.T) {
	t.Parallel()
	n := nodeIn(task.DeployWait, "n1")
	s := newServer(t, []*task.Node{n}, func(c *agent.HandlerConfig) { c.Logger = nil })
	answers := make([]*httptest.ResponseRecorder, 30)
	var all sync.WaitGroup
	for i := range answers {
		answers[i] = httptest.NewRecorder()
		all.Go(func() {
			s.ServeHTTP(answers[i], httptest.NewRequest("GET", "/v1/lookup?addresses="+mac(n), nil))
		})
	}
	all.Wait()
	tokens := map[string]int{}
	for _, w := range answers {
		if w.Code != http.StatusConflict {
			tokens[foundIn(t, w).Config.Token]++
		}
	}
	delete(tokens, "******")
	require.Equal(t, map[string]int{s.node(n.UUID).DriverInternalInfo.Text("agent_secret_token"): 1}, tokens)
}

func TestLookupBadQuery(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	for _, query := range []string{"addresses=%zz", "a;b", "node_uuid=%"} {
		w := s.call("GET", "/v1/lookup?"+query, "")
		require.Equal(t, http.StatusBadRequest, w.Code, "%s", query)
		require.Contains(t, faultOf(t, w), "query")
	}
}

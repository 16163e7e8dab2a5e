package agent_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
)

// answering is a client whose ramdisk answers every request with body.
func answering(body string) *agent.Client {
	return &agent.Client{HTTP: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	})}}
}

const oneResult = `{"id": "x", "command_name": "sync", "command_status": "SUCCEEDED", "command_error": null, "command_result": null}`

func TestCommandLists(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		body string
		want int // results; -1 for an error
	}{
		"none":                  {`{"commands": []}`, 0},
		"null":                  {`{"commands": null}`, 0},
		"two":                   {`{"commands": [` + oneResult + `,` + oneResult + `]}`, 2},
		"beside other fields":   {`{"x": {"commands": 3}, "commands": [` + oneResult + `], "y": [1]}`, 1},
		"extra fields":          {`{"commands": [{"command_params": {}, ` + oneResult[1:] + `]}`, 1},
		"10000":                 {`{"commands": [` + strings.Repeat(oneResult+",", 9999) + oneResult + `]}`, 10000},
		"10001":                 {`{"commands": [` + strings.Repeat(oneResult+",", 10000) + oneResult + `]}`, -1},
		"nothing":               {``, -1},
		"list":                  {`[]`, -1},
		"text":                  {`"x"`, -1},
		"without commands":      {`{}`, -1},
		"commands of a number":  {`{"commands": 1}`, -1},
		"commands of an object": {`{"commands": {}}`, -1},
		"numbers":               {`{"commands": [1]}`, -1},
		"no id":                 {`{"commands": [{"command_name": "x", "command_status": "RUNNING"}]}`, -1},
		"id of a number":        {`{"commands": [{"id": 1, "command_name": "x", "command_status": "RUNNING"}]}`, -1},
		"long id":               {`{"commands": [` + strings.Replace(oneResult, `"x"`, `"`+strings.Repeat("x", 256)+`"`, 1) + `]}`, -1},
		"cut in a field":        {`{"commands": [], "x": `, -1},
		"cut in the list":       {`{"commands": [` + oneResult, -1},
		"cut after a comma":     {`{"commands": [` + oneResult + `,`, -1},
		"cut at the end":        {`{"commands": [` + oneResult + `]`, -1},
		"cut in a name":         {`{"comm`, -1},
		"no JSON in the list":   {`{"commands": [x]}`, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all, err := answering(tt.body).Commands(t.Context(), session("http://x"))
			if tt.want < 0 {
				require.ErrorContains(t, err, "the ramdisk's answer cannot be read")
				require.Empty(t, all)
				return
			}
			require.NoError(t, err)
			require.Len(t, all, tt.want)
		})
	}
}

func TestCommandErrorText(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", 400)
	for name, tt := range map[string]struct{ json, want string }{
		"all":                 {`{"type": "T", "code": 500, "message": "m", "details": "d"}`, "T: m: d"},
		"details in message":  {`{"type": "T", "message": "Error: d", "details": "d"}`, "T: Error: d"},
		"message alone":       {`{"message": "m"}`, "m"},
		"text":                {`"it broke"`, "it broke"},
		"number":              {`7`, "the ramdisk gave no reason"},
		"fields of odd types": {`{"type": 1, "code": "x", "message": [], "details": null}`, "the ramdisk gave no reason"},
		"lines":               {`"Traceback:\n\n  File x\r\n\t1\n2\n3\n4\n5"`, "Traceback:; File x; 1; 2; 3"},
		"control characters":  {`"a\u001b[2Jb\u0000c"`, "a [2Jb c"},
		"long":                {fmt.Sprintf("%q", long), strings.Repeat("word ", 199) + "word..."},
		"one long word":       {fmt.Sprintf("%q", "see "+strings.Repeat("x", 9999)), "see..."},
		"no white space":      {fmt.Sprintf("%q", strings.Repeat("x", 1001)), "..."},
		"just not too long":   {fmt.Sprintf("%q", strings.Repeat("x", 1000)), strings.Repeat("x", 1000)},
	} {
		var e agent.CommandError
		require.NoError(t, json.Unmarshal([]byte(tt.json), &e), name)
		require.Equal(t, strings.TrimSpace(tt.want), e.Error(), name)
	}
	require.Error(t, json.Unmarshal([]byte(`{`), new(agent.CommandError)))
	var e agent.CommandError
	require.NoError(t, json.Unmarshal([]byte(`{"code": 409}`), &e))
	require.Equal(t, 409, e.Code)
	require.NoError(t, json.Unmarshal([]byte(`{"code": 1e300}`), &e))
	require.Zero(t, e.Code)
}

// TestNoHalfSecret cuts a text in the middle of the token.
func TestNoHalfSecret(t *testing.T) {
	t.Parallel()
	for n := 900; n < 1010; n++ {
		words := strings.Repeat("a ", n/2) + "agent_token=" + canary + " more words"
		message, err := json.Marshal(words)
		require.NoError(t, err)
		c := answering(`{"id": "x", "command_name": "y", "command_status": "FAILED", "command_error": {"message": ` + string(message) + `}}`)
		res, err := c.Command(t.Context(), session("http://x"), "x")
		require.NoError(t, err)
		require.NotContains(t, res.Error.Error(), canary[:4])
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]int64{
		`{"progress": {"done": 3, "total": 7}}`: {3, 7},
		`{"progress": {"done": 3}}`:             {3, 0},
		`{"progress": {}}`:                      {0, 0},
		`{"progress": null}`:                    {-1, -1},
		`{"progress": {"done": -1}}`:            {-1, -1},
		`{"progress": {"total": -1}}`:           {-1, -1},
		`{"progress": {"done": 1e99}}`:          {-1, -1},
		`{}`:                                    {-1, -1},
		`null`:                                  {-1, -1},
		``:                                      {-1, -1},
		`"text"`:                                {-1, -1},
	} {
		done, total, ok := (&agent.Result{Result: json.RawMessage(text)}).Progress()
		require.Equal(t, want[0] >= 0, ok, "%s", text)
		if ok {
			require.Equal(t, want, [2]int64{done, total}, "%s", text)
		}
	}
}

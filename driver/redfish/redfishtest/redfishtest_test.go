package redfishtest_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/driver/redfish/redfishtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	for _, p := range redfishtest.Personalities()[1:3] {
		fmt.Printf("%s %s: %d quirks\n", p.Manufacturer, p.Model, len(p.Quirks))
	}
	// Output:
	// HP ProLiant DL380 Gen9: 3 quirks
	// HPE ProLiant DL380 Gen10: 4 quirks
}

func TestNeedsALogIn(t *testing.T) {
	b := redfishtest.NewBMC(t, redfishtest.Config{})
	client := b.Server.Client()
	r, err := client.Get(b.URL + "/redfish/v1/")
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, r.Body)
	r.Body.Close()
	require.Equal(t, http.StatusOK, r.StatusCode)
	r, err = client.Get(b.URL + "/redfish/v1/Systems/1")
	require.NoError(t, err)
	r.Body.Close()
	require.Equal(t, http.StatusUnauthorized, r.StatusCode)
	require.Len(t, b.Requests(), 2)
}

package rest

import (
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The routes are those of the gateway's configuration: a call that is added there is
// checked as strictly as the others.
func TestRoutesAreTheGateways(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../proto/gateway.yaml")
	require.NoError(t, err)
	var config struct {
		HTTP struct {
			Rules []struct{ Get, Post, Body string }
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &config))
	var want []route
	for _, r := range config.HTTP.Rules {
		if r.Get != "" {
			want = append(want, route{http.MethodGet, r.Get})
			continue
		}
		require.Equal(t, "*", r.Body, r.Post)
		want = append(want, route{http.MethodPost, r.Post})
	}
	require.Equal(t, want, routes())
}

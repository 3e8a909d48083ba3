package rest

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"github.com/wabastream/wabastream/server/internal/guard"
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
			Rules []struct{ Selector, Get, Post, Body string }
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &config))
	var want, got []string
	for _, r := range config.HTTP.Rules {
		if r.Get != "" {
			want = append(want, http.MethodGet+" "+r.Get+" "+r.Selector)
			continue
		}
		require.Equal(t, "*", r.Body, r.Post)
		want = append(want, http.MethodPost+" "+r.Post+" "+r.Selector)
	}
	for _, r := range calls() {
		got = append(got, r.Method+" "+r.Path+" "+strings.ReplaceAll(strings.TrimPrefix(r.RPC, "/"), "/", "."))
	}
	require.Equal(t, want, got)
}

// Every path has a rule, the rule of the gRPC method where one answers.
func TestEveryRouteHasARule(t *testing.T) {
	t.Parallel()
	for _, r := range Routes() {
		require.NotEqual(t, guard.Nobody, r.Rule, r.Path)
	}
}

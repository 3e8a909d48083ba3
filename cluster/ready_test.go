package cluster

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
	"github.com/wabastream/wabastream/server/internal/app"
)

// A replica without its NATS servers says so to balancers, and is back with them.
func TestReplicaWithoutNATSIsNotReady(t *testing.T) {
	t.Parallel()
	options := func(dir string, port int) *server.Options {
		o := serverOptions(dir)
		o.Port = port
		return o
	}
	dir, port := t.TempDir(), freePort(t)
	s := startServer(t, options(dir, port))
	url := s.ClientURL()
	p := newServer(t, func(c *app.Config) { onJetStream(c, "S", 1, url) })
	stopServer(s)
	require.Eventually(t, func() bool { return !p.ready(t.Context()) }, time.Minute, 100*time.Millisecond, "it is ready without NATS")
	startServer(t, options(dir, port))
	require.Eventually(t, func() bool { return p.ready(t.Context()) }, time.Minute, 100*time.Millisecond, "it is not ready again")
}

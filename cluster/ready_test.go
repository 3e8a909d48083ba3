package cluster

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/wabastream/wabastream/server/internal/app"
)

// A replica without its NATS servers says so to balancers, and is back with them.
func TestReplicaWithoutNATSIsNotReady(t *testing.T) {
	t.Parallel()
	dir, front := t.TempDir(), newProxy(t)
	s := startServer(t, serverOptions(dir))
	front.lead(s.Addr())
	url := "nats://" + front.addr()
	p := newServer(t, func(c *app.Config) { onJetStream(c, "S", 1, url) })
	stopServer(s)
	require.Eventually(t, func() bool { return !p.ready(t.Context()) }, time.Minute, 100*time.Millisecond, "it is ready without NATS")
	front.lead(startServer(t, serverOptions(dir)).Addr())
	require.Eventually(t, func() bool { return p.ready(t.Context()) }, time.Minute, 100*time.Millisecond, "it is not ready again")
}

package cluster

import (
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
	"github.com/wabastream/wabastream/server/internal/eventlog/natslog"
)

// The servers that the manifests make keep their word, and take what the log needs.
func TestConfigurationOfNATS(t *testing.T) {
	t.Setenv("POD_NAME", "nats-0")
	text, err := os.ReadFile("../deploy/nats/nats.conf")
	require.NoError(t, err)
	options := new(server.Options)
	// It names files with certificates that are not here: everything else is read.
	err = options.ProcessConfigString(string(text))
	require.ErrorContains(t, err, "/etc/nats/tls/")
	require.True(t, options.SyncAlways)
	require.Equal(t, "nats-0", options.ServerName)

	o := serverOptions(t.TempDir())
	o.MaxPayload, o.SyncAlways = options.MaxPayload, options.SyncAlways
	s := startServer(t, o)
	log, err := natslog.Open(t.Context(), on("S", 1, t.TempDir(), s.ClientURL()))
	require.NoError(t, err)
	require.NoError(t, log.Close())

	o = serverOptions(t.TempDir())
	o.MaxPayload = 1 << 20
	refused := on("S", 1, t.TempDir(), startServer(t, o).ClientURL())
	refused.StartWait = 5 * time.Second
	_, err = natslog.Open(t.Context(), refused)
	require.ErrorContains(t, err, "set max_payload")
}

package cluster

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"github.com/wabastream/wabastream/server/internal/eventlog"
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

// What the manual says that replicas need is enough to make a stream, fill it, purge it,
// and begin with what is left.
func TestRightsOfReplicas(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	_, list, found := strings.Cut(string(text), "A user of NATS for replicas alone may publish to")
	require.True(t, found)
	_, list, _ = strings.Cut(list, "```\n")
	list, _, found = strings.Cut(list, "```")
	require.True(t, found)
	o := serverOptions(t.TempDir())
	o.Users = []*server.User{
		{Username: "replica", Password: "p", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: strings.Fields(strings.ReplaceAll(list, "<stream>", "S"))},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
		}},
		{Username: "all", Password: "p"},
	}
	address := strings.TrimPrefix(startServer(t, o).ClientURL(), "nats://")
	p := &purger{T: t, url: "nats://all:p@" + address}
	options := func() natslog.Options {
		o := p.options()
		o.URL = "nats://replica:p@" + address
		o.Connect = append(o.Connect, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { t.Errorf("not permitted: %v", err) }))
		return o
	}
	log, state := p.open(options())
	for range 2 {
		p.append(log, 60)
		require.NoError(t, log.Trim(t.Context(), eventlog.Sequence(p.n-5)))
	}
	require.Greater(t, firstMessage(t, p.url, "S"), uint64(80))
	names, messages := p.objects()
	require.Len(t, names, 1)
	require.Equal(t, uint64(2), messages)
	begun, begunState := p.open(options())
	p.same(begun, begunState, eventlog.Sequence(p.n-5))
	p.same(log, state, eventlog.Sequence(p.n-5))
}

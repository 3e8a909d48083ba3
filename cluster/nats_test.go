package cluster

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/natslog"
)

// maxPayload is what deploy/nats.conf sets.
const maxPayload = 18 << 20

// full says that a campaign runs, and not a test of a change.
func full() bool { return os.Getenv("WABASTREAM_TEST_ROUNDS") == "full" }

func serverOptions(dir string) *server.Options {
	return &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT,
		NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: dir,
		MaxPayload: maxPayload, MaxPending: 256 << 20,
		// A test does not wait for what an operator would.
		PingInterval: time.Second, MaxPingsOut: 3,
	}
}

// startServer starts one server, which ends with the test.
func startServer(t *testing.T, options *server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(options)
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { stopServer(s) })
	require.True(t, s.ReadyForConnections(30*time.Second))
	return s
}

func stopServer(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// streams gives each test a stream of its own.
type streams struct{ n atomic.Int64 }

func (s *streams) name() string { return fmt.Sprintf("T%d", s.n.Add(1)) }

// replica is a stream and a folder of one replica.
type replica struct{ options natslog.Options }

// Open implements eventlogtest.Store.
func (r replica) Open(t *testing.T, now func() time.Time) eventlog.Log {
	t.Helper()
	return r.open(t, now)
}

func (r replica) open(t *testing.T, now func() time.Time) *natslog.Log {
	t.Helper()
	r.options.Now = now
	log, err := natslog.Open(t.Context(), r.options)
	require.NoError(t, err)
	return log
}

// on makes the options of a replica on servers.
func on(stream string, replicas int, dir string, urls ...string) natslog.Options {
	return natslog.Options{
		URL: strings.Join(urls, ","), Stream: stream, Replicas: replicas, Dir: dir,
		Connect: []nats.Option{nats.Timeout(2 * time.Second)},
	}
}

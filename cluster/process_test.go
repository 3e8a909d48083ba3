package cluster

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/wabastream/wabastream/server/internal/app"
)

// process is a server that is killed, stopped and started again, always on the same
// addresses and data. Its methods are for the test's goroutine.
type process struct {
	t      *testing.T
	config app.Config
	addrs  app.Addrs
	cmd    *exec.Cmd // nil while it is down
}

// newProcess starts a replica on the servers of a cluster.
func newProcess(t *testing.T, stream string, n *nodes) *process {
	t.Helper()
	return newServer(t, func(c *app.Config) { onJetStream(c, stream, 3, n.urls()...) })
}

func onJetStream(c *app.Config, stream string, replicas int, urls ...string) {
	c.Log, c.NATSURL, c.NATSStream, c.NATSReplicas, c.NATSDurability = "jetstream", strings.Join(urls, ","), stream, replicas, "synced"
}

// newServer starts a server; without a change its log is embedded.
func newServer(t *testing.T, change func(*app.Config)) *process {
	t.Helper()
	p := &process{t: t, config: app.DefaultConfig()}
	c := &p.config
	c.HTTPAddr, c.APIAddr, c.GRPCAddr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	c.DataDir, c.ShutdownTimeout = t.TempDir(), 10*time.Second
	change(c)
	p.start()
	t.Cleanup(p.kill)
	return p
}

func (p *process) start() {
	p.t.Helper()
	config, err := json.Marshal(p.config)
	require.NoError(p.t, err)
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), runAsReplica+"="+string(config))
	p.cmd.Stderr = &lines{t: p.t}
	out, err := p.cmd.StdoutPipe()
	require.NoError(p.t, err)
	require.NoError(p.t, p.cmd.Start())
	var addrs app.Addrs
	require.NoError(p.t, json.NewDecoder(out).Decode(&addrs), "the server does not start")
	if p.addrs == (app.Addrs{}) { // later it is the same, and clients read it
		p.addrs = addrs
		p.config.HTTPAddr, p.config.APIAddr, p.config.GRPCAddr = addrs.HTTP, addrs.API, addrs.GRPC
	}
	require.Equal(p.t, p.addrs, addrs)
	require.Eventually(p.t, func() bool { return p.ready(p.t.Context()) }, 30*time.Second, 20*time.Millisecond, "the server is not ready")
}

func (p *process) ready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addrs.API+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// kill ends it without a word, stop in order.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it was killed
	p.cmd = nil
}

func (p *process) stop() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(p.t, p.cmd.Wait())
	p.cmd = nil
}

// lines passes on what a process writes, while the test runs.
type lines struct {
	t  *testing.T
	mu sync.Mutex
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.t.Output().Write(b)
}

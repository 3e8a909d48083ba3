package cluster

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
)

// nodes are the servers of a cluster, each with a store of its own. They reach each
// other, and are reached, through proxies alone.
type nodes struct {
	t    *testing.T
	node []*node
}

type node struct {
	index   int
	options server.Options
	server  *server.Server // nil while it is down
	client  *proxy
	routes  map[int]*proxy // to the others
}

const clusterSize = 3

// startNodes starts a cluster, of servers that sync before they acknowledge, and waits
// until it can have streams.
func startNodes(t *testing.T) *nodes {
	t.Helper()
	n := &nodes{t: t}
	for i := range clusterSize {
		o := serverOptions(t.TempDir())
		o.ServerName = fmt.Sprint("n", i)
		o.SyncAlways = true
		// Nobody is told of an address that leads around a proxy.
		o.Cluster = server.ClusterOpts{
			Name: "c", Host: "127.0.0.1", Port: server.RANDOM_PORT, NoAdvertise: true, Advertise: "127.0.0.1:1",
			ConnectRetries: 1, PoolSize: -1,
		}
		n.node = append(n.node, &node{index: i, options: *o, routes: make(map[int]*proxy)})
	}
	for _, from := range n.node {
		from.client = newProxy(t)
		from.options.ClientAdvertise = from.client.addr()
		for _, to := range n.node {
			if to == from {
				continue
			}
			p := newProxy(t)
			from.routes[to.index] = p
			from.options.Routes = append(from.options.Routes, &url.URL{Scheme: "nats", Host: p.addr()})
		}
	}
	for i := range n.node {
		n.start(i)
	}
	t.Cleanup(func() {
		for i := range n.node {
			n.stop(i)
		}
	})
	n.awaitLeader()
	return n
}

func (n *nodes) start(i int) {
	n.t.Helper()
	options := n.node[i].options.Clone()
	s, err := server.NewServer(options)
	require.NoError(n.t, err)
	s.Start()
	n.node[i].server = s
	require.True(n.t, s.ReadyForConnections(30*time.Second))
	n.node[i].client.lead(s.Addr())
	for _, other := range n.node {
		if p := other.routes[i]; p != nil {
			p.lead(s.ClusterAddr())
		}
	}
}

func (n *nodes) stop(i int) {
	if s := n.node[i].server; s != nil {
		stopServer(s)
		n.node[i].server = nil
	}
}

// awaitLeader waits until the cluster has a leader and all its members are current.
func (n *nodes) awaitLeader() {
	n.t.Helper()
	require.Eventually(n.t, func() bool {
		for _, node := range n.node {
			if node.server != nil && node.server.JetStreamIsLeader() {
				return true
			}
		}
		return false
	}, 30*time.Second, 20*time.Millisecond, "the cluster has no leader")
}

// leaderOf is the node that leads a stream; -1 if none is known to.
func (n *nodes) leaderOf(stream string) int {
	for i, node := range n.node {
		if node.server != nil && node.server.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream) {
			return i
		}
	}
	return -1
}

// awaitHealthy waits until every server has everything of a stream, so that the loss of
// the next one is the loss of one.
func (n *nodes) awaitHealthy(stream string) {
	n.t.Helper()
	require.Eventually(n.t, func() bool {
		if n.leaderOf(stream) < 0 {
			return false
		}
		for _, node := range n.node {
			if node.server == nil || !node.server.JetStreamIsStreamCurrent(server.DEFAULT_GLOBAL_ACCOUNT, stream) {
				return false
			}
		}
		return true
	}, 60*time.Second, 50*time.Millisecond, "the cluster does not recover")
}

// cut takes a node off from the others and from its clients; join undoes it.
func (n *nodes) cut(i int) {
	for _, p := range n.around(i) {
		p.cut()
	}
}

func (n *nodes) join(i int) {
	for _, p := range n.around(i) {
		p.join()
	}
}

func (n *nodes) around(i int) []*proxy {
	all := []*proxy{n.node[i].client}
	for j, other := range n.node {
		if j != i {
			all = append(all, n.node[i].routes[j], other.routes[i])
		}
	}
	return all
}

// isolate takes a node off from the others, and leaves it its clients.
func (n *nodes) isolate(i int) (join func()) {
	between := n.around(i)[1:]
	for _, p := range between {
		p.cut()
	}
	return func() {
		for _, p := range between {
			p.join()
		}
	}
}

func (n *nodes) urls() []string {
	var all []string
	for _, node := range n.node {
		all = append(all, "nats://"+node.client.addr())
	}
	return all
}

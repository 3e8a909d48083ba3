package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/guarantees"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

const (
	// quietTime is how long all is well in the end, but for the load.
	quietTime = 4 * time.Second
	// tolerance is how late a frame may be on a busy machine.
	tolerance = 2 * time.Second
	// catchUpTime is how long subscribers may take to come to the head.
	catchUpTime = time.Minute
)

// TestReplicasCampaign runs two servers, as processes, on a cluster of three NATS
// servers, under load. Each NATS server is killed and started again, the leader, and
// each replica, by kill -9 and in order; a NATS server is cut off. Then it holds what
// subscribers recorded, who hop between the replicas, against every guarantee of the
// stream. While something is down or cut off, heartbeats may be late and say less;
// nothing else may.
func TestReplicasCampaign(t *testing.T) {
	t.Parallel()
	for seed := range rounds() {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			t.Parallel()
			newReplicasRound(t, uint64(seed)).run()
		})
	}
}

type replicasRound struct {
	t           *testing.T
	seed        uint64
	random      *rand.Rand
	nodes       *nodes
	replicas    []*process
	producers   []*producer
	subscribers []*subscriber
	goal        atomic.Uint64
	troubles    []guarantees.Span
}

func newReplicasRound(t *testing.T, seed uint64) *replicasRound {
	t.Helper()
	r := &replicasRound{t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 7)), nodes: startNodes(t)}
	for range 2 {
		r.replicas = append(r.replicas, newProcess(t, "S", r.nodes))
	}
	for i := range 3 {
		r.producers = append(r.producers, &producer{
			name: fmt.Sprint("producer", i), random: rand.New(rand.NewPCG(seed, uint64(10+i))), client: &http.Client{Transport: &http.Transport{}},
		})
	}
	for i, role := range []struct {
		name     string
		patience int
		filters  []*wabastreamv1.EventFilter
	}{
		{"everything", 0, nil},
		{"everything, hopping", 30, nil},
		{"one type", 20, []*wabastreamv1.EventFilter{{Types: []string{"phone_number_quality_update"}}}},
		{"one account", 10, []*wabastreamv1.EventFilter{{WabaIds: []string{"waba1"}}}},
		{"nobody", 0, []*wabastreamv1.EventFilter{{WabaIds: []string{"nobody"}}}},
	} {
		r.subscribers = append(r.subscribers, newSubscriber(t, role.name, role.patience, seed+uint64(i), &r.goal, r.replicas, role.filters...))
	}
	return r
}

func (r *replicasRound) run() {
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	enough, stop := context.WithCancel(ctx)
	var producing, subscribing errgroup.Group
	for _, p := range r.producers {
		producing.Go(func() error { return p.run(ctx, enough, r.replicas) })
	}
	for _, s := range r.subscribers {
		subscribing.Go(func() error { return s.run(ctx) })
	}
	r.torment()
	pause(ctx, quietTime)
	stop()
	require.NoError(r.t, producing.Wait())
	log := everything(r.t, r.replicas[0].addrs.GRPC)
	other := everything(r.t, r.replicas[1].addrs.GRPC)
	require.Len(r.t, other, len(log))
	for i := range log {
		require.True(r.t, proto.Equal(log[i], other[i]), "event %d differs between replicas", i)
	}
	r.goal.Store(log[len(log)-1].GetSequence())
	late := time.AfterFunc(catchUpTime, cancel)
	defer late.Stop()
	require.NoError(r.t, subscribing.Wait(), "a subscriber does not come to the head")
	r.validate(log)
}

// trouble does something bad and undoes it. It is over when all answer as if nothing
// had been.
func (r *replicasRound) trouble(do, undo func()) {
	pause(r.t.Context(), time.Duration(200+r.random.IntN(600))*time.Millisecond)
	from := time.Now()
	do()
	pause(r.t.Context(), time.Duration(200+r.random.IntN(1500))*time.Millisecond)
	undo()
	r.nodes.awaitHealthy("S")
	for _, replica := range r.replicas {
		r.await(replica)
	}
	r.troubles = append(r.troubles, guarantees.Span{From: from, To: time.Now()})
}

func (r *replicasRound) await(replica *process) {
	r.t.Helper()
	conn, err := grpc.NewClient(replica.addrs.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(r.t, err)
	defer conn.Close()
	api := wabastreamv1.NewEventServiceClient(conn)
	require.Eventually(r.t, func() bool {
		_, err := api.GetLogInfo(r.t.Context(), &wabastreamv1.GetLogInfoRequest{})
		return err == nil
	}, time.Minute, 50*time.Millisecond, "a replica does not come back")
}

func (r *replicasRound) torment() {
	node := func(i int) { r.trouble(func() { r.nodes.stop(i) }, func() { r.nodes.start(i) }) }
	for _, i := range r.random.Perm(clusterSize) {
		node(i)
	}
	node(r.nodes.leaderOf("S"))
	for _, i := range r.random.Perm(len(r.replicas)) {
		r.trouble(r.replicas[i].kill, r.replicas[i].start)
		r.trouble(r.replicas[i].stop, r.replicas[i].start)
	}
	cut := r.random.IntN(clusterSize)
	r.trouble(func() { r.nodes.cut(cut); pause(r.t.Context(), 3*time.Second) }, func() { r.nodes.join(cut) })
}

func (r *replicasRound) validate(log []*wabastreamv1.Event) {
	h := &guarantees.History{Log: log, Pauses: r.troubles, Tolerance: tolerance}
	for _, p := range r.producers {
		h.Callbacks = append(h.Callbacks, p.posted...)
	}
	for _, s := range r.subscribers {
		for _, record := range s.records {
			h.Streams = append(h.Streams, *record)
		}
	}
	counts := make(map[string]int)
	for _, v := range guarantees.All() {
		checked, err := v.Check(h)
		if err != nil {
			r.t.Errorf("seed %d: %v", r.seed, err)
		}
		counts[v.Name] = checked
	}
	r.t.Logf("seed %d: %d events, %d callbacks, %d streams, %d troubles; checked %v",
		r.seed, len(log), len(h.Callbacks), len(h.Streams), len(r.troubles), counts)
}

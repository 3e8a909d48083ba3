package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/natslog"
	"golang.org/x/sync/errgroup"
)

// rounds is how often a campaign does what a test does once.
func rounds() int {
	if full() {
		return 20
	}
	return 1
}

// TestClusterCampaign has two replicas append and read on three servers, which are
// killed, the leader among them, and cut off from everyone. What was answered is
// there once, on both replicas the same, and readers that go from one to the other
// read it in order and completely.
func TestClusterCampaign(t *testing.T) {
	t.Parallel()
	for seed := range rounds() {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			t.Parallel()
			clusterRound(t, uint64(seed))
		})
	}
}

// appended is what one writer was answered.
type appended struct {
	n  int
	at eventlog.Position
}

func clusterRound(t *testing.T, seed uint64) {
	t.Helper()
	n := startNodes(t)
	logs := openAll(t, on("S", 3, t.TempDir(), n.urls()...), on("S", 3, t.TempDir(), n.urls()...))
	enough, stop := context.WithCancel(t.Context())
	defer stop()
	const writers = 8
	answered := make([][]appended, writers)
	var writing errgroup.Group
	for w := range writers {
		writing.Go(func() (err error) {
			answered[w], err = write(enough, t.Context(), logs, w, rand.New(rand.NewPCG(seed, uint64(w))))
			return err
		})
	}
	readers := make([]hopper, 3)
	var goal atomic.Uint64
	var reading errgroup.Group
	for i := range readers {
		readers[i] = hopper{logs: logs, random: rand.New(rand.NewPCG(seed, uint64(100+i)))}
		reading.Go(func() error { return readers[i].run(t.Context(), &goal) })
	}
	torment(t, n, rand.New(rand.NewPCG(seed, 1000)))
	stop()
	require.NoError(t, writing.Wait())

	first, second := entriesOf(t, logs[0]), entriesOf(t, logs[1])
	require.Equal(t, first, second)
	head := first[len(first)-1].Position.Sequence
	goal.Store(uint64(head))
	require.NoError(t, reading.Wait())
	places := make(map[eventlog.ID]eventlog.Position)
	for i, e := range first {
		require.NotContains(t, places, e.ID, "stored twice")
		places[e.ID] = e.Position
		require.Equal(t, eventlog.Sequence(i+1), e.Position.Sequence)
		require.False(t, i > 0 && e.AppendTime.Before(first[i-1].AppendTime), "stamps do not go back")
	}
	total := 0
	for _, all := range answered {
		total += len(all)
		for _, a := range all {
			require.Equal(t, a.at, places[record(a.n).ID], "record %d was answered", a.n)
		}
	}
	for _, r := range readers {
		require.Len(t, r.seen, len(first))
	}
	t.Logf("seed %d: %d records answered, %d stored, %d hops", seed, total, len(first), readers[0].hops+readers[1].hops+readers[2].hops)
}

// write appends records, each on one replica and now and then on both, until one is
// answered, as the provider does.
func write(enough, ctx context.Context, logs []*natslog.Log, w int, random *rand.Rand) ([]appended, error) {
	var answered []appended
	for i := 0; enough.Err() == nil; i++ {
		n := w*1_000_000 + i
		for on := random.IntN(2); ; on = 1 - on {
			try, cancel := context.WithTimeout(ctx, 4*time.Second)
			got, err := logs[on].Append(try, []eventlog.Record{record(n)})
			cancel()
			if err == nil {
				answered = append(answered, appended{n, got[0].Position})
				break
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				return answered, fmt.Errorf("append record %d: %w", n, err)
			}
		}
		pause(ctx, time.Duration(random.IntN(5))*time.Millisecond)
	}
	return answered, nil
}

// hopper reads the log, sometimes on one replica and sometimes on the other.
type hopper struct {
	logs   []*natslog.Log
	random *rand.Rand
	seen   []eventlog.Sequence
	hops   int
}

func (h *hopper) run(ctx context.Context, goal *atomic.Uint64) error {
	var at eventlog.Position
	for log := h.logs[0]; goal.Load() == 0 || uint64(at.Sequence) < goal.Load(); {
		if ctx.Err() != nil {
			return fmt.Errorf("stands at %d: %w", at.Sequence, ctx.Err())
		}
		if h.random.IntN(20) == 0 {
			h.hops++
			log = h.logs[h.random.IntN(len(h.logs))]
			if err := h.arrive(ctx, log, at); err != nil {
				return err
			}
		}
		waiting, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		err := log.Wait(waiting, at.Sequence)
		cancel()
		if err != nil {
			continue // nothing comes, as from a replica that is cut off
		}
		page, err := log.Read(ctx, eventlog.Query{After: at.Sequence, Limit: 1 + h.random.IntN(50)})
		if err != nil {
			return fmt.Errorf("read after %d: %w", at.Sequence, err)
		}
		for _, e := range page.Entries {
			h.seen = append(h.seen, e.Position.Sequence)
		}
		at = page.Scanned
	}
	if !slices.IsSorted(h.seen) || len(slices.Compact(slices.Clone(h.seen))) != len(h.seen) {
		return errors.New("records came out of order, or twice")
	}
	return nil
}

// arrive is how a subscriber begins with a cursor: a replica that cannot tell says so.
func (h *hopper) arrive(ctx context.Context, log *natslog.Log, at eventlog.Position) error {
	for at.Sequence > 0 {
		err := log.Check(ctx, at)
		if err == nil {
			return nil
		}
		if !errors.Is(err, eventlog.ErrUnavailable) {
			return fmt.Errorf("check %d: %w", at.Sequence, err)
		}
	}
	return nil
}

// torment kills every node in turn, then the stream's leader, and cuts one off.
func torment(t *testing.T, n *nodes, random *rand.Rand) {
	t.Helper()
	lull := func() { pause(t.Context(), time.Duration(300+random.IntN(700))*time.Millisecond) }
	down := func(i int) {
		lull()
		n.stop(i)
		lull()
		n.start(i)
		n.awaitHealthy("S")
	}
	for _, i := range random.Perm(clusterSize) {
		down(i)
	}
	down(n.leaderOf("S"))
	for _, i := range []int{n.leaderOf("S"), random.IntN(clusterSize)} {
		lull()
		n.cut(i)
		pause(t.Context(), time.Duration(2+random.IntN(4))*time.Second)
		n.join(i)
		n.awaitHealthy("S")
	}
	lull()
}

// A server that leads the stream, and is taken off from the others, does not know for a
// while that there is another leader. A replica that has only it does not say that the log
// ends where it ended then.
func TestDeposedLeaderIsNotBelieved(t *testing.T) {
	t.Parallel()
	n := startNodes(t)
	first := replica{on("S", 3, t.TempDir(), n.urls()...)}.open(t, time.Now)
	require.NoError(t, first.Close())
	n.awaitHealthy("S")
	leader, urls := n.leaderOf("S"), n.urls()
	impatient := on("S", 3, t.TempDir(), urls[leader])
	impatient.SyncWait = 500 * time.Millisecond
	logs := openAll(t, impatient, on("S", 3, t.TempDir(), slices.Delete(urls, leader, leader+1)...))

	join := sync.OnceFunc(n.isolate(leader))
	t.Cleanup(join)
	head := appendUntilTaken(t, logs[1])
	for range 10 {
		bounds, err := logs[0].Bounds(t.Context())
		if err != nil {
			require.ErrorIs(t, err, eventlog.ErrUnavailable)
			continue
		}
		require.Equal(t, head, bounds.Head)
	}
	join()
	require.Eventually(t, func() bool {
		bounds, err := logs[0].Bounds(t.Context())
		return err == nil && bounds.Head == head
	}, time.Minute, 50*time.Millisecond, "the replica does not come back")
}

func appendUntilTaken(t *testing.T, log *natslog.Log) eventlog.Position {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	at, err := log.Append(ctx, []eventlog.Record{record(1)})
	require.NoError(t, err)
	return at[0].Position
}

// pause waits, or until the context ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

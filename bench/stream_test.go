package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"google.golang.org/protobuf/proto"
)

func quickBench(t *testing.T) *bench {
	t.Helper()
	return &bench{settings: settings{rounds: 1, quick: true}, data: t.TempDir(), progress: t.Output()}
}

// Every benchmark of the stream runs, and finds a figure for every contender.
func TestStreamBenchmarks(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"fanout", "paced", "latency", "stalled", "idle", "matching"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := quickBench(t)
			b.benchmark = name
			chosen, err := b.chosen()
			require.NoError(t, err)
			require.Len(t, chosen, 1)
			require.Positive(t, chosen[0].about())
			results, err := chosen[0].run(t.Context())
			require.NoError(t, err)
			require.NotEmpty(t, results)
			for _, found := range results {
				requireComplete(t, found)
			}
		})
	}
}

func requireComplete(t *testing.T, found result) {
	t.Helper()
	switch found := found.(type) {
	case *table:
		require.NotEmpty(t, found.rows)
		for _, r := range found.rows {
			require.Len(t, r.values, 1, "%s: %s", found.title, r.name)
		}
	case *sheet:
		require.NotEmpty(t, found.findings)
		for _, f := range found.findings {
			require.Len(t, f.values, 1, "%s: %s", found.title, f.name)
		}
	default:
		require.Failf(t, "a result of another kind", "%T", found)
	}
}

// A broker that loses an event, or a subscriber that is sent another's, must not
// go unnoticed.
func TestPublicationNoticesWhatIsMissing(t *testing.T) {
	t.Parallel()
	received := func(counts ...uint64) *publication {
		p := &publication{
			session:  &session{audience: audience{subscribers: len(counts), oneTaker: true}, failed: make(chan error, 1)},
			rotation: rotation{Accounts: uint64(len(counts))},
			first:    1, before: make([]uint64, len(counts)),
		}
		for i, n := range counts {
			r := &receiver{index: uint64(i)}
			r.received.Store(n)
			p.takers = append(p.takers, r)
		}
		return p
	}
	synctest.Test(t, func(t *testing.T) {
		// Events 1 to 7 are of accounts 1, 2, 0, 1, 2, 0, 1.
		require.NoError(t, received(2, 3, 2).settle(t.Context(), 7))
		require.ErrorContains(t, received(2, 2, 2).settle(t.Context(), 7), "subscriber 1 received 2 events of 3")
		require.ErrorContains(t, received(3, 3, 2).settle(t.Context(), 7), "subscriber 0 received 3 events of 2")
		lost := received(2, 2, 2)
		lost.failed <- errors.New("cut off")
		require.ErrorContains(t, lost.settle(t.Context(), 7), "cut off")
	})
}

// What may be published follows the slowest taker.
func TestPublicationWaitsForTheSlowest(t *testing.T) {
	t.Parallel()
	fast, slow := &receiver{}, &receiver{index: 1}
	fast.received.Store(70)
	slow.received.Store(12)
	p := &publication{session: &session{}, rotation: rotation{Accounts: 2}, takers: []*receiver{fast, slow}, before: []uint64{10, 10}}
	require.Equal(t, uint64(2), p.passed())
	p.oneTaker = true
	require.Equal(t, uint64(4), p.passed(), "two of each account")
}

func TestReceiverChecksOrderAndAccount(t *testing.T) {
	t.Parallel()
	r := &receiver{account: "1"}
	require.NoError(t, r.take(3, true))
	require.Error(t, r.take(3, true), "twice")
	require.Error(t, r.take(2, true), "out of order")
	require.Error(t, r.take(4, false), "another's")
	require.NoError(t, r.take(9, true))
	require.Equal(t, uint64(2), r.received.Load())
}

// What is looked for in the bytes is what the contract has there, and every
// contender's events have about the same length.
func TestWalkedEvents(t *testing.T) {
	t.Parallel()
	load := newStreamLoad(rotation{First: 7, Accounts: 3})
	event := load.event(4)
	b, err := proto.Marshal(event)
	require.NoError(t, err)
	require.InDelta(t, streamedBytes, len(b), 15)
	for _, decode := range []bool{false, true} {
		r := &receiver{account: account(8), decode: decode, failed: make(chan error, 1)}
		r.takeData(b)
		require.Equal(t, uint64(1), r.received.Load())
		require.Equal(t, uint64(5), r.last)
		require.Empty(t, r.failed)
		r = &receiver{account: account(7), decode: decode, failed: make(chan error, 1)}
		r.takeData(b)
		require.Len(t, r.failed, 1, "it is of another account")
	}
	at, err := timeIn(b, 12)
	require.NoError(t, err)
	require.True(t, at.Equal(event.GetOccurTime().AsTime()))
	_, err = timeIn(b, 13)
	require.Error(t, err)
	for n := range b {
		_, _, _ = walkEvent(b[:n]) // cut short, it must not panic
	}

	frame, err := proto.Marshal(&wabastreamv1.SubscribeResponse{Cursor: "c", Frame: &wabastreamv1.SubscribeResponse_Batch{
		Batch: &wabastreamv1.Batch{Events: []*wabastreamv1.Event{event, load.event(7)}},
	}})
	require.NoError(t, err)
	r := &receiver{}
	require.NoError(t, eachEvent(frame, r.takeWire))
	require.Equal(t, uint64(2), r.received.Load())
	require.Equal(t, uint64(8), r.last)
	ready, err := proto.Marshal(&wabastreamv1.SubscribeResponse{Cursor: "c", Frame: &wabastreamv1.SubscribeResponse_Ready{Ready: &wabastreamv1.Ready{LogId: "x"}}})
	require.NoError(t, err)
	require.NoError(t, eachEvent(ready, r.takeWire))
	require.Equal(t, uint64(2), r.received.Load())
}

func TestStreamedRecordsDiffer(t *testing.T) {
	t.Parallel()
	load := newStreamLoad(rotation{Accounts: 10})
	ids := make(map[eventlog.ID]bool)
	for _, r := range load.records(0, 5000) {
		ids[r.ID] = true
		require.Len(t, r.Payload, len(load.records(0, 1)[0].Payload))
	}
	require.Len(t, ids, 5000)
}

func TestMemoryLogHoldsTheNewest(t *testing.T) {
	t.Parallel()
	l, load := newMemoryLog(), newStreamLoad(rotation{Accounts: 2})
	const batch = 1 << 12
	for first := uint64(0); first < memoryKept+batch; first += batch {
		_, err := l.Append(t.Context(), load.records(first, batch))
		require.NoError(t, err)
	}
	_, err := l.Read(t.Context(), eventlog.Query{})
	require.ErrorIs(t, err, eventlog.ErrTrimmed)
	bounds, err := l.Bounds(t.Context())
	require.NoError(t, err)
	require.Equal(t, eventlog.Sequence(memoryKept+batch), bounds.Head.Sequence)
	filter := eventlog.NewMatcher([]eventlog.Filter{{WABAIDs: []string{account(1)}}})
	found := 0
	for after := bounds.Start.Sequence; ; {
		page, err := l.Read(t.Context(), eventlog.Query{After: after, Filter: filter, Limit: 100, Bytes: 1 << 20})
		require.NoError(t, err)
		for _, e := range page.Entries {
			require.Equal(t, account(1), e.WABAID)
		}
		found += len(page.Entries)
		if !page.More {
			require.Equal(t, bounds.Head, page.Scanned)
			break
		}
		after = page.Scanned.Sequence
	}
	require.InDelta(t, memoryKept/2, found, 1)
	require.NoError(t, l.Wait(t.Context(), bounds.Head.Sequence-1))
	waited := make(chan error, 1)
	go func() { waited <- l.Wait(t.Context(), bounds.Head.Sequence) }()
	require.NoError(t, l.Close())
	require.ErrorIs(t, <-waited, eventlog.ErrClosed)
}

func TestBeatIsEven(t *testing.T) {
	t.Parallel()
	const n = 50
	start, count := time.Now(), 0
	beat(1000, func(due time.Time) bool {
		require.False(t, time.Now().Before(due))
		count++
		return count <= n
	})
	require.GreaterOrEqual(t, time.Since(start), n*time.Millisecond)
}

// Nothing is published beyond what is allowed, and what fails ends the feed.
func TestFeedKeepsToItsCredit(t *testing.T) {
	t.Parallel()
	to := &countingBroker{took: make(chan uint64, 100)}
	c := streamContender{publishers: 2, batch: 4}
	f := startFeed(t.Context(), c, to, newStreamLoad(rotation{Accounts: 1}), 10, 0)
	f.allow(20)
	got := uint64(0)
	for got < 10 {
		got += <-to.took
	}
	require.Equal(t, uint64(10), got)
	next, err := f.end()
	require.NoError(t, err)
	require.Equal(t, uint64(20), next)
	require.Empty(t, to.took)

	to.err = errors.New("full")
	f = startFeed(t.Context(), c, to, newStreamLoad(rotation{Accounts: 1}), 20, 0)
	f.allow(unlimited)
	f.workers.Wait()
	_, err = f.end()
	require.ErrorContains(t, err, "full")
}

type countingBroker struct {
	broker
	took chan uint64
	mu   sync.Mutex
	err  error
}

func (b *countingBroker) publish(_ context.Context, _ *streamLoad, _, n uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.took <- n
	}
	return b.err
}

// An order that the other process cannot obey is an error here.
func TestRemoteTellsOfItsErrors(t *testing.T) {
	t.Parallel()
	b := quickBench(t)
	c, err := findStreamContender(jetStreamFront)
	require.NoError(t, err)
	r, err := b.remote(t.Context(), c, t.TempDir())
	require.NoError(t, err)
	_, err = r.ask(remoteOrder{Do: "dance"})
	require.ErrorContains(t, err, "dance")
	_, err = r.ask(remoteOrder{Do: orderPublish, Rotation: rotation{Accounts: 1}, UpTo: 1})
	require.NoError(t, err)
	for state := (remoteState{}); state.Published == 0; {
		state, err = r.ask(remoteOrder{Do: orderUsage})
		require.NoError(t, err)
	}
	_, err = r.ask(remoteOrder{Do: orderEnd})
	require.ErrorContains(t, err, "callbacks alone")
	require.NoError(t, r.close())
	_, err = findStreamContender("nobody")
	require.Error(t, err)
}

func TestGoalsOfTheStream(t *testing.T) {
	t.Parallel()
	b := &bench{settings: settings{rounds: 1}, progress: &strings.Builder{}}
	found := requireRows(t, b.pacedTable())
	for _, s := range b.fanoutSettings() {
		found += requireRows(t, s.table)
	}
	for _, s := range b.latencySettings() {
		found += requireRows(t, s.p50) + requireRows(t, s.p99)
	}
	require.Equal(t, 1+3*2+2+2, found)
}

// A subscriber that fails ends the benchmark, although the broker waits for it.
func TestSessionEndsWithASubscriberThatFails(t *testing.T) {
	t.Parallel()
	b := quickBench(t)
	for _, name := range []string{naiveStream, ours, natsCore} {
		c, err := findStreamContender(name)
		require.NoError(t, err)
		to := audience{subscribers: 2, perConnection: 2, heartbeat: quiet, prepare: func(r *receiver) {
			r.last = 1000 * r.index // what comes for the second is older than that
		}}
		err = b.withSession(t.Context(), c, to, func(ctx context.Context, s *session) error {
			_, err := s.toAll().measure(ctx, time.Minute, time.Minute)
			return err
		})
		require.ErrorContains(t, err, "after 1000", name)
	}
}

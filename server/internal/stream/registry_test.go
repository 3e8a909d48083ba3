package stream_test

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/stream"
)

func (h *harness) subscriptions() []*wabastreamv1.Subscription {
	h.tb.Helper()
	page, total, err := h.service.Subscriptions(context.Background(), 0, 0, 1000)
	require.NoError(h.tb, err)
	require.Len(h.tb, page, total)
	return page
}

func TestWhoIsListening(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		require.Empty(t, h.subscriptions())
		h.append()
		h.grant("billing", access.Everything())
		begin := time.Now()
		one := h.subscribeAs("billing", &wabastreamv1.SubscribeRequest{
			ClientLabel: "pod-7", HeartbeatInterval: quiet(),
			Filters: []*wabastreamv1.EventFilter{{WabaIds: []string{"w2"}, Types: []string{"a"}, BusinessPhones: []string{"+1 555"}}},
		})
		all := h.subscribe(&wabastreamv1.SubscribeRequest{HeartbeatInterval: quiet()})
		require.NotNil(t, one.recv().GetCaughtUp())
		require.NotNil(t, all.recv().GetCaughtUp())
		// What concerns one stream only has been gone through by both.
		p := h.append()
		require.Len(t, all.events(1), 1)
		allArrived()
		require.Empty(t, cmp.Diff([]*wabastreamv1.Subscription{{
			SubscriptionId: "1", Consumer: "billing", PeerAddress: "bufconn", ClientLabel: "pod-7",
			Filters:   []*wabastreamv1.EventFilter{{WabaIds: []string{"w2"}, Types: []string{"a"}, BusinessPhones: []string{"1555"}}},
			BeginTime: timestamppb.New(begin), Cursor: stream.Cursor(p), Sequence: 2, CaughtUp: true,
		}, {
			SubscriptionId: "2", PeerAddress: "bufconn",
			BeginTime: timestamppb.New(begin), Cursor: stream.Cursor(p), Sequence: 2, CaughtUp: true,
		}}, h.subscriptions(), protocmp.Transform()))
		one.cancel()
		synctest.Wait()
		require.Len(t, h.subscriptions(), 1)
	})
}

// TestWhoIsStalled: a client that does not read shows, with since when, and how far
// behind it is, and is well again once it reads.
func TestWhoIsStalled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		slow := h.subscribe(&wabastreamv1.SubscribeRequest{MaxBatchEvents: 1, HeartbeatInterval: quiet()})
		require.NotNil(t, slow.recv().GetCaughtUp())
		const many = 4000
		records := make([]eventlog.Record, many)
		for i := range records {
			records[i] = h.record()
		}
		_, err := h.log.Append(t.Context(), records)
		require.NoError(t, err)
		synctest.Wait()
		begin := time.Now()
		<-time.After(4 * time.Second)
		require.Nil(t, h.subscriptions()[0].GetStallTime(), "not yet")
		<-time.After(2 * time.Second)
		stalled := h.subscriptions()[0]
		require.WithinDuration(t, begin, stalled.GetStallTime().AsTime(), time.Second)
		require.False(t, stalled.GetCaughtUp())
		require.Greater(t, stalled.GetBehind(), uint64(many/2))
		require.Equal(t, uint64(many), stalled.GetBehind()+stalled.GetSequence())
		slow.events(many)
		allArrived()
		well := h.subscriptions()[0]
		require.Nil(t, well.GetStallTime())
		require.Zero(t, well.GetBehind())
	})
}

// TestSubscriptionsInPages: those furthest behind come first, and each once.
func TestSubscriptionsInPages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.appendMany(10)
		later := startTime(time.Now().Add(time.Hour))
		for range 3 {
			h.subscribe(&wabastreamv1.SubscribeRequest{Start: later, HeartbeatInterval: quiet()})
			h.append()
		}
		allArrived()
		for range 4 {
			h.subscribe(&wabastreamv1.SubscribeRequest{HeartbeatInterval: quiet()})
		}
		allArrived()
		var ids []string
		after, id := uint64(0), uint64(0)
		for {
			page, total, err := h.service.Subscriptions(t.Context(), after, id, 2)
			require.NoError(t, err)
			require.Equal(t, 7, total)
			if len(page) == 0 {
				break
			}
			for _, s := range page {
				require.GreaterOrEqual(t, s.GetSequence(), after)
				ids, after = append(ids, s.GetSubscriptionId()), s.GetSequence()
				id, err = strconv.ParseUint(s.GetSubscriptionId(), 10, 64)
				require.NoError(t, err)
			}
		}
		require.Len(t, ids, 7)
		require.ElementsMatch(t, []string{"1", "2", "3", "4", "5", "6", "7"}, ids)
	})
}

package stream_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/stream"
)

// TestEveryoneReceivesTheirs: whatever subscribers ask for, wherever they begin, and
// however little is held in memory, each receives exactly what the log has for it.
func TestEveryoneReceivesTheirs(t *testing.T) {
	t.Parallel()
	for _, recentBytes := range []int{1, 20 << 10, 0} {
		t.Run(fmt.Sprintf("%d bytes", recentBytes), func(t *testing.T) {
			t.Parallel()
			h := newHarnessWith(t, stream.Config{RecentBytes: recentBytes})
			everyoneReceivesTheirs(h)
		})
	}
}

// various are requests of every kind that is filed differently.
func various() []*wabastreamv1.SubscribeRequest {
	filters := [][]*wabastreamv1.EventFilter{
		nil,
		{{WabaIds: []string{"w1"}}},
		{{WabaIds: []string{"w2", "w3"}}, {WabaIds: []string{"w3"}, Types: []string{"a"}}},
		{{IncludeUnattributed: true}},
		{{WabaIds: []string{"w4"}, IncludeUnattributed: true, MinSeverity: wabastreamv1.Severity_SEVERITY_WARNING}},
		{{Types: []string{"a"}}},
		{{Types: []string{"a.b"}}, {BusinessPhones: []string{"2"}}},
		{{MinSeverity: wabastreamv1.Severity_SEVERITY_CRITICAL}},
		{{WabaIds: []string{"w5"}}, {MinSeverity: wabastreamv1.Severity_SEVERITY_CRITICAL}},
		{{WabaIds: []string{"nobody"}}},
	}
	var requests []*wabastreamv1.SubscribeRequest
	for i, f := range filters {
		for _, batch := range []int32{0, int32(1 + i)} {
			requests = append(requests,
				&wabastreamv1.SubscribeRequest{Filters: f, MaxBatchEvents: batch, IncludeRawJson: i%2 == 0, Start: earliest()},
				&wabastreamv1.SubscribeRequest{Filters: f, MaxBatchEvents: batch, IncludeRawJson: i%2 == 1},
			)
		}
	}
	return requests
}

func everyoneReceivesTheirs(h *harness) {
	h.tb.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	varied := func(r *eventlog.Record) {
		r.WABAID = []string{"", "w1", "w2", "w3", "w4", "w5", "w6"}[random.IntN(7)]
		r.Type = []string{"a", "a.b", "a.b.c", "ab", "c"}[random.IntN(5)]
		r.BusinessPhone = []string{"", "1", "2"}[random.IntN(3)]
		r.Severity = eventlog.Severity(1 + random.IntN(3))
	}
	h.appendMany(200, varied)
	received := make(chan error)
	var subscribers []*subscriber
	requests := various()
	for _, request := range requests {
		subscribers = append(subscribers, h.subscribe(request))
	}
	h.appendMany(600, varied)
	last := h.append(waba("w1")) // tells by its heartbeat, or by itself
	for i, s := range subscribers {
		go func() { received <- h.checkTheirs(requests[i], s, last.Sequence) }()
	}
	for range subscribers {
		require.NoError(h.tb, <-received)
	}
}

// checkTheirs reads what a subscriber was sent up to a place, and compares it with
// what the log says.
func (h *harness) checkTheirs(request *wabastreamv1.SubscribeRequest, s *subscriber, last eventlog.Sequence) error {
	cursor, err := stream.ParseCursorForTest(s.cursor)
	if err != nil {
		return err
	}
	var want []eventlog.Sequence
	for after := cursor.Sequence; after < last; {
		page, err := h.log.Read(context.Background(), eventlog.Query{After: after, Filter: stream.MatcherForTest(request.GetFilters())})
		if err != nil {
			return err
		}
		for _, e := range page.Entries {
			want = append(want, e.Position.Sequence)
		}
		after = page.Scanned.Sequence
	}
	var got []eventlog.Sequence
	for len(got) < len(want) {
		frame, err := s.stream.Recv()
		if err != nil {
			return err
		}
		if n := len(frame.GetBatch().GetEvents()); request.GetMaxBatchEvents() > 0 && n > int(request.GetMaxBatchEvents()) {
			return fmt.Errorf("%d events in a batch of at most %d", n, request.GetMaxBatchEvents())
		}
		for _, e := range frame.GetBatch().GetEvents() {
			if (len(e.GetRawJson()) > 0) != request.GetIncludeRawJson() {
				return fmt.Errorf("event %d: raw JSON is %q", e.GetSequence(), e.GetRawJson())
			}
			got = append(got, eventlog.Sequence(e.GetSequence()))
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("%v: received %v, want %v", request.GetFilters(), got, want)
	}
	return nil
}

// TestReplayTogether: readers that want everything read the log together, from
// wherever each began.
func TestReplayTogether(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.append()
	h.subscribe(&wabastreamv1.SubscribeRequest{}) // has the feed begin here, behind the others
	all := h.appendMany(1500)
	h.service.ForgetForTest()
	var group sync.WaitGroup
	for i := range 8 {
		s := h.subscribe(&wabastreamv1.SubscribeRequest{Start: after(stream.Cursor(all[i*100]))})
		group.Go(func() {
			got := 0
			for want := len(all) - 1 - i*100; got < want; {
				frame, err := s.stream.Recv()
				if err != nil {
					t.Errorf("reader %d: %v", i, err)
					return
				}
				for _, e := range frame.GetBatch().GetEvents() {
					if got++; eventlog.Sequence(e.GetSequence()) != all[i*100+got].Sequence {
						t.Errorf("reader %d: event %d came as number %d", i, e.GetSequence(), got)
					}
				}
			}
		})
	}
	group.Wait()
}

// TestStreamLimits: a caller's streams and all of them are bounded, and what ended
// makes room.
func TestStreamLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarnessWith(t, stream.Config{MaxStreams: 3, MaxStreamsPerCaller: 2})
		first := h.subscribe(&wabastreamv1.SubscribeRequest{})
		h.subscribe(&wabastreamv1.SubscribeRequest{})
		st := h.refused(&wabastreamv1.SubscribeRequest{})
		requireReason(t, st, codes.ResourceExhausted, "STREAM_LIMIT")
		require.Contains(t, st.Message(), "2 streams")
		first.cancel()
		synctest.Wait()
		h.subscribe(&wabastreamv1.SubscribeRequest{})

		h = newHarnessWith(t, stream.Config{MaxStreams: 1, MaxStreamsPerCaller: 2})
		h.subscribe(&wabastreamv1.SubscribeRequest{})
		requireReason(t, h.refused(&wabastreamv1.SubscribeRequest{}), codes.Unavailable, "OVERLOADED")
	})
}

// TestStreamAge: a stream ends as planned when it is about as old as it may get.
func TestStreamAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarnessWith(t, stream.Config{MaxStreamAge: time.Hour})
		begin, ages := time.Now(), map[time.Duration]bool{}
		var subscribers []*subscriber
		for range 4 {
			s := h.subscribe(&wabastreamv1.SubscribeRequest{HeartbeatInterval: durationpb.New(5 * time.Minute)})
			subscribers = append(subscribers, s)
		}
		h.append()
		var group sync.WaitGroup
		var mu sync.Mutex
		for _, s := range subscribers {
			group.Go(func() {
				closing, end := s.untilClosing()
				mu.Lock()
				defer mu.Unlock()
				ages[time.Since(begin)] = true
				requireReason(t, status.Convert(end), codes.Unavailable, "MAX_STREAM_AGE")
				require.Equal(t, "MAX_STREAM_AGE", closing.GetReason())
			})
		}
		group.Wait()
		require.Len(t, ages, 4, "not all at once")
		for age := range ages {
			require.InDelta(t, time.Hour, age, float64(6*time.Minute))
		}
	})
}

func (s *subscriber) untilClosing() (closing *wabastreamv1.Closing, end error) {
	for {
		frame, err := s.stream.Recv()
		if err != nil {
			return closing, err
		}
		closing = frame.GetClosing()
	}
}

// TestCaughtUpAtOnce: who begins at the head of a log that others follow is told so
// without waiting for an event or a heartbeat.
func TestCaughtUpAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.appendMany(3)
		begin := time.Now()
		for _, request := range various() {
			s := h.subscribe(request)
			for s.recv().GetCaughtUp() == nil { // what the log holds
			}
		}
		require.Less(t, time.Since(begin), time.Second)
	})
}

// TestRawBehindOthers: who wants the callbacks' JSON receives it also where memory
// holds the events without, from the beginning of a block and from inside one.
func TestRawBehindOthers(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	begin := h.append()
	plain := h.subscribe(&wabastreamv1.SubscribeRequest{})
	records := make([]eventlog.Record, 10)
	for i := range records {
		records[i] = h.record()
	}
	_, err := h.log.Append(t.Context(), records)
	require.NoError(t, err)
	events := plain.events(10)
	for i, cursor := range []string{stream.Cursor(begin), events[4].GetCursor()} {
		s := h.subscribe(&wabastreamv1.SubscribeRequest{Start: after(cursor), IncludeRawJson: true})
		for _, event := range s.events(10 - 5*i) {
			require.NotEmpty(t, event.GetRawJson())
		}
		s.cancel()
	}
}

// TestDrainReachesAReaderOfMemory: a reader that is slow, and for which everything is
// in memory, is told of the end when it comes and not after the last event.
func TestDrainReachesAReaderOfMemory(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	const many = 4000
	head := h.subscribe(&wabastreamv1.SubscribeRequest{})
	records := make([]eventlog.Record, many)
	for i := range records {
		records[i] = h.record()
	}
	_, err := h.log.Append(t.Context(), records)
	require.NoError(t, err)
	head.events(many)
	slow := h.subscribe(&wabastreamv1.SubscribeRequest{Start: earliest(), MaxBatchEvents: 1})
	slow.events(1)
	h.service.Drain()
	received, closing := 0, (*wabastreamv1.Closing)(nil)
	for {
		frame, err := slow.stream.Recv()
		if err != nil {
			requireReason(t, status.Convert(err), codes.Unavailable, "DRAINING")
			break
		}
		received += len(frame.GetBatch().GetEvents())
		closing = frame.GetClosing()
	}
	require.NotNil(t, closing)
	require.Less(t, received, many/2, "only what was on its way")
}

package stream_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func TestStarts(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	all := sequencesOf(h.appendMany(5))
	events, err := h.subscribe(&wabastreamv1.SubscribeRequest{Start: earliest(), Stop: atHead()}).rest()
	require.NoError(t, err)
	third := events[2]

	read := func(req *wabastreamv1.SubscribeRequest) []eventlog.Sequence {
		req.Stop = atHead()
		return h.read(req)
	}
	require.Equal(t, all, read(&wabastreamv1.SubscribeRequest{Start: earliest()}))
	require.Empty(t, read(&wabastreamv1.SubscribeRequest{}), "no start is latest")
	require.Empty(t, read(&wabastreamv1.SubscribeRequest{Start: &wabastreamv1.SubscribeRequest_Position{Position: wabastreamv1.StartPosition_START_POSITION_LATEST}}))
	require.Equal(t, all[3:], read(&wabastreamv1.SubscribeRequest{Start: &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: third.GetCursor()}}))
	require.Equal(t, all[3:], read(&wabastreamv1.SubscribeRequest{Start: &wabastreamv1.SubscribeRequest_AfterEventId{AfterEventId: third.GetId()}}))
	require.Equal(t, all, read(&wabastreamv1.SubscribeRequest{Start: startTime(time.Unix(0, 0))}))
	require.Equal(t, all, read(&wabastreamv1.SubscribeRequest{Start: startTime(events[0].GetReceiveTime().AsTime())}))
	require.Empty(t, read(&wabastreamv1.SubscribeRequest{Start: startTime(time.Now().Add(time.Hour))}))
	// Several events may share a stamp: all of them are at or after it.
	got := read(&wabastreamv1.SubscribeRequest{Start: startTime(third.GetReceiveTime().AsTime())})
	require.Contains(t, got, eventlog.Sequence(third.GetSequence()))
	require.NotContains(t, read(&wabastreamv1.SubscribeRequest{Start: startTime(third.GetReceiveTime().AsTime().Add(time.Microsecond))}), eventlog.Sequence(third.GetSequence()))
}

func startTime(at time.Time) *wabastreamv1.SubscribeRequest_StartTime {
	return &wabastreamv1.SubscribeRequest_StartTime{StartTime: timestamppb.New(at)}
}

func TestStops(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	all := sequencesOf(h.appendMany(5))
	events, err := h.subscribe(&wabastreamv1.SubscribeRequest{Start: earliest(), Stop: atHead()}).rest()
	require.NoError(t, err)
	third := events[2]

	stopCursor := &wabastreamv1.SubscribeRequest_StopCursor{StopCursor: third.GetCursor()}
	require.Equal(t, all[:3], h.read(&wabastreamv1.SubscribeRequest{Start: earliest(), Stop: stopCursor}), "the stop is inclusive")
	require.Empty(t, h.read(&wabastreamv1.SubscribeRequest{Stop: stopCursor}), "a stop before the start ends at once")
	require.Empty(t, h.read(&wabastreamv1.SubscribeRequest{
		Start: &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: third.GetCursor()}, Stop: stopCursor,
	}))
	past := &wabastreamv1.SubscribeRequest_StopTime{StopTime: events[0].GetReceiveTime()}
	require.Empty(t, h.read(&wabastreamv1.SubscribeRequest{Start: earliest(), Stop: past}), "the stop time is exclusive")

	bounded := h.subscribe(&wabastreamv1.SubscribeRequest{Start: earliest(), Stop: stopCursor, MaxBatchEvents: 1})
	_, err = bounded.rest()
	require.NoError(t, err)
	require.Equal(t, third.GetCursor(), bounded.cursor, "the last frame's cursor is the stop")
}

func TestEmptyLog(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for _, req := range []*wabastreamv1.SubscribeRequest{
		{Start: earliest(), Stop: atHead()},
		{Stop: atHead()},
		{Start: startTime(time.Unix(0, 0)), Stop: atHead()},
		{Start: startTime(time.Now().Add(time.Hour)), Stop: atHead()},
		{Start: earliest(), Stop: &wabastreamv1.SubscribeRequest_StopTime{StopTime: timestamppb.New(time.Unix(5, 0))}},
	} {
		s := h.subscribe(req)
		require.Equal(t, s.ready.GetEarliestCursor(), s.ready.GetHeadCursor())
		events, err := s.rest()
		require.NoError(t, err)
		require.Empty(t, events)
	}
	live := h.subscribe(&wabastreamv1.SubscribeRequest{Start: earliest()})
	require.NotNil(t, live.recv().GetCaughtUp())
	p := h.append()
	require.Equal(t, []eventlog.Sequence{p.Sequence}, sequences(live.events(1)))
}

func TestReadyTellsWhatTheStreamWillDo(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.append()
	s := h.subscribe(&wabastreamv1.SubscribeRequest{
		Start:             earliest(),
		Filters:           []*wabastreamv1.EventFilter{{WabaIds: []string{"w1", "typo"}, Types: []string{"account_update", "acount_update"}}},
		HeartbeatInterval: durationpb.New(2 * time.Second),
		MaxBatchEvents:    7,
	})
	require.Len(t, s.ready.GetLogId(), 16)
	require.Equal(t, 2*time.Second, s.ready.GetHeartbeatInterval().AsDuration())
	require.EqualValues(t, 7, s.ready.GetLimits().GetMaxBatchEvents())
	require.Equal(t, "test", s.ready.GetServerVersion())
	require.Equal(t, []string{
		`the log holds no event of WABA "typo"`,
		`the log holds no event of type "acount_update"`,
	}, s.ready.GetWarnings())
	require.False(t, s.ready.GetResumed())
	require.NotEqual(t, s.ready.GetEarliestCursor(), s.ready.GetHeadCursor())

	resumed := h.subscribe(&wabastreamv1.SubscribeRequest{Start: &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: s.ready.GetHeadCursor()}})
	require.True(t, resumed.ready.GetResumed())
	require.Equal(t, 15*time.Second, resumed.ready.GetHeartbeatInterval().AsDuration())
}

func TestFilters(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	ban := h.append(waba("w1"), typed("account_update.disabled_update.disable"), func(r *eventlog.Record) { r.Severity = eventlog.SeverityCritical }).Sequence
	deleted := h.append(waba("w2"), typed("account_update.account_deleted")).Sequence
	quality := h.append(waba("w2"), typed("phone_number_quality_update.flagged"), func(r *eventlog.Record) {
		r.Severity, r.BusinessPhone = eventlog.SeverityWarning, "4477"
	}).Sequence
	stop := h.append(waba(""), typed("user_preferences.marketing_messages.stop")).Sequence
	odd := h.append(waba("w3"), typed("account_updates")).Sequence

	for name, c := range map[string]struct {
		filters []*wabastreamv1.EventFilter
		want    []eventlog.Sequence
	}{
		"none":                    {nil, []eventlog.Sequence{ban, deleted, quality, stop, odd}},
		"waba":                    {[]*wabastreamv1.EventFilter{{WabaIds: []string{"w2"}}}, []eventlog.Sequence{deleted, quality}},
		"wabas":                   {[]*wabastreamv1.EventFilter{{WabaIds: []string{"w1", "w3"}}}, []eventlog.Sequence{ban, odd}},
		"type, first level":       {[]*wabastreamv1.EventFilter{{Types: []string{"account_update"}}}, []eventlog.Sequence{ban, deleted}},
		"type, second level":      {[]*wabastreamv1.EventFilter{{Types: []string{"account_update.disabled_update"}}}, []eventlog.Sequence{ban}},
		"type, third level":       {[]*wabastreamv1.EventFilter{{Types: []string{"account_update.disabled_update.disable"}}}, []eventlog.Sequence{ban}},
		"type, too deep":          {[]*wabastreamv1.EventFilter{{Types: []string{"account_update.disabled_update.disable.x"}}}, nil},
		"types":                   {[]*wabastreamv1.EventFilter{{Types: []string{"account_updates", "user_preferences"}}}, []eventlog.Sequence{stop, odd}},
		"severity":                {[]*wabastreamv1.EventFilter{{MinSeverity: wabastreamv1.Severity_SEVERITY_WARNING}}, []eventlog.Sequence{ban, quality}},
		"phone, as displayed":     {[]*wabastreamv1.EventFilter{{BusinessPhones: []string{"+44 (7)-7"}}}, []eventlog.Sequence{quality}},
		"unattributed":            {[]*wabastreamv1.EventFilter{{IncludeUnattributed: true}}, []eventlog.Sequence{stop}},
		"waba and unattributed":   {[]*wabastreamv1.EventFilter{{WabaIds: []string{"w1"}, IncludeUnattributed: true}}, []eventlog.Sequence{ban, stop}},
		"and":                     {[]*wabastreamv1.EventFilter{{WabaIds: []string{"w2"}, Types: []string{"account_update"}}}, []eventlog.Sequence{deleted}},
		"and, nothing":            {[]*wabastreamv1.EventFilter{{WabaIds: []string{"w1"}, Types: []string{"user_preferences"}}}, nil},
		"or":                      {[]*wabastreamv1.EventFilter{{WabaIds: []string{"w3"}}, {MinSeverity: wabastreamv1.Severity_SEVERITY_CRITICAL}}, []eventlog.Sequence{ban, odd}},
		"or, both match the same": {[]*wabastreamv1.EventFilter{{WabaIds: []string{"w1"}}, {Types: []string{"account_update"}}}, []eventlog.Sequence{ban, deleted}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := h.read(&wabastreamv1.SubscribeRequest{Filters: c.filters, Start: earliest(), Stop: atHead()})
			require.ElementsMatch(t, c.want, got)
			require.IsIncreasing(t, append([]eventlog.Sequence{0}, got...))
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.append()
	other := newHarness(t)
	other.append()
	foreign := other.subscribe(&wabastreamv1.SubscribeRequest{Start: earliest()}).ready.GetHeadCursor()
	own := h.subscribe(&wabastreamv1.SubscribeRequest{Start: earliest()})
	own.events(1)
	id := eventlog.ID{200}.String()

	afterCursor := func(c string) *wabastreamv1.SubscribeRequest {
		return &wabastreamv1.SubscribeRequest{Start: &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: c}}
	}
	filter := func(f *wabastreamv1.EventFilter) *wabastreamv1.SubscribeRequest {
		return &wabastreamv1.SubscribeRequest{Filters: []*wabastreamv1.EventFilter{{WabaIds: []string{"w1"}}, f}}
	}
	for name, c := range map[string]struct {
		req    *wabastreamv1.SubscribeRequest
		code   codes.Code
		reason string
		field  string
	}{
		"empty cursor":         {afterCursor(""), codes.InvalidArgument, "REQUEST_INVALID", "after_cursor"},
		"mistyped cursor":      {afterCursor("latest"), codes.InvalidArgument, "CURSOR_MALFORMED", "after_cursor"},
		"changed cursor":       {afterCursor(own.cursor[:20] + "AAAA" + own.cursor[24:]), codes.InvalidArgument, "CURSOR_MALFORMED", "after_cursor"},
		"another log's cursor": {afterCursor(foreign), codes.FailedPrecondition, "CURSOR_LOG_MISMATCH", ""},
		"empty event id":       {&wabastreamv1.SubscribeRequest{Start: &wabastreamv1.SubscribeRequest_AfterEventId{}}, codes.InvalidArgument, "REQUEST_INVALID", "after_event_id"},
		"mistyped event id":    {&wabastreamv1.SubscribeRequest{Start: &wabastreamv1.SubscribeRequest_AfterEventId{AfterEventId: strings.Repeat("z", 32)}}, codes.InvalidArgument, "REQUEST_INVALID", "after_event_id"},
		"unknown event id":     {&wabastreamv1.SubscribeRequest{Start: &wabastreamv1.SubscribeRequest_AfterEventId{AfterEventId: id}}, codes.NotFound, "EVENT_NOT_FOUND", ""},
		"no position":          {&wabastreamv1.SubscribeRequest{Start: &wabastreamv1.SubscribeRequest_Position{}}, codes.InvalidArgument, "REQUEST_INVALID", "position"},
		"unknown position":     {&wabastreamv1.SubscribeRequest{Start: &wabastreamv1.SubscribeRequest_Position{Position: 99}}, codes.InvalidArgument, "REQUEST_INVALID", "position"},
		"bad start time":       {&wabastreamv1.SubscribeRequest{Start: &wabastreamv1.SubscribeRequest_StartTime{StartTime: &timestamppb.Timestamp{Nanos: -1}}}, codes.InvalidArgument, "REQUEST_INVALID", "start_time"},
		"empty stop cursor":    {&wabastreamv1.SubscribeRequest{Stop: &wabastreamv1.SubscribeRequest_StopCursor{}}, codes.InvalidArgument, "REQUEST_INVALID", "stop_cursor"},
		"mistyped stop cursor": {&wabastreamv1.SubscribeRequest{Stop: &wabastreamv1.SubscribeRequest_StopCursor{StopCursor: "x"}}, codes.InvalidArgument, "CURSOR_MALFORMED", "stop_cursor"},
		"foreign stop cursor":  {&wabastreamv1.SubscribeRequest{Stop: &wabastreamv1.SubscribeRequest_StopCursor{StopCursor: foreign}}, codes.FailedPrecondition, "CURSOR_LOG_MISMATCH", ""},
		"stop at head, false":  {&wabastreamv1.SubscribeRequest{Stop: &wabastreamv1.SubscribeRequest_StopAtHead{}}, codes.InvalidArgument, "REQUEST_INVALID", "stop_at_head"},
		"bad stop time":        {&wabastreamv1.SubscribeRequest{Stop: &wabastreamv1.SubscribeRequest_StopTime{StopTime: &timestamppb.Timestamp{Seconds: -1 << 60}}}, codes.InvalidArgument, "REQUEST_INVALID", "stop_time"},
		"heartbeat too short":  {&wabastreamv1.SubscribeRequest{HeartbeatInterval: durationpb.New(time.Millisecond)}, codes.InvalidArgument, "REQUEST_INVALID", "heartbeat_interval"},
		"heartbeat too long":   {&wabastreamv1.SubscribeRequest{HeartbeatInterval: durationpb.New(time.Hour)}, codes.InvalidArgument, "REQUEST_INVALID", "heartbeat_interval"},
		"batch too large":      {&wabastreamv1.SubscribeRequest{MaxBatchEvents: 10_001}, codes.InvalidArgument, "REQUEST_INVALID", "max_batch_events"},
		"batch negative":       {&wabastreamv1.SubscribeRequest{MaxBatchEvents: -1}, codes.InvalidArgument, "REQUEST_INVALID", "max_batch_events"},
		"long label":           {&wabastreamv1.SubscribeRequest{ClientLabel: strings.Repeat("x", 129)}, codes.InvalidArgument, "REQUEST_INVALID", "client_label"},
		"unknown policy":       {&wabastreamv1.SubscribeRequest{ExpiredCursorPolicy: 9}, codes.InvalidArgument, "REQUEST_INVALID", "expired_cursor_policy"},
		"empty filter":         {filter(&wabastreamv1.EventFilter{}), codes.InvalidArgument, "FILTER_INVALID", "filters[1]"},
		"empty waba":           {filter(&wabastreamv1.EventFilter{WabaIds: []string{"w", ""}}), codes.InvalidArgument, "FILTER_INVALID", "filters[1].waba_ids[1]"},
		"long waba":            {filter(&wabastreamv1.EventFilter{WabaIds: []string{strings.Repeat("w", 257)}}), codes.InvalidArgument, "FILTER_INVALID", "filters[1].waba_ids[0]"},
		"many wabas":           {filter(&wabastreamv1.EventFilter{WabaIds: make([]string, 1001)}), codes.InvalidArgument, "FILTER_INVALID", "filters[1].waba_ids"},
		"upper-case type":      {filter(&wabastreamv1.EventFilter{Types: []string{"account_update.ACCOUNT_DELETED"}}), codes.InvalidArgument, "FILTER_INVALID", "filters[1].types[0]"},
		"type with a dot":      {filter(&wabastreamv1.EventFilter{Types: []string{"account_update."}}), codes.InvalidArgument, "FILTER_INVALID", "filters[1].types[0]"},
		"type with a star":     {filter(&wabastreamv1.EventFilter{Types: []string{"account_update.*"}}), codes.InvalidArgument, "FILTER_INVALID", "filters[1].types[0]"},
		"many types":           {filter(&wabastreamv1.EventFilter{Types: make([]string, 101)}), codes.InvalidArgument, "FILTER_INVALID", "filters[1].types"},
		"phone without digits": {filter(&wabastreamv1.EventFilter{BusinessPhones: []string{"+ -"}}), codes.InvalidArgument, "FILTER_INVALID", "filters[1].business_phones[0]"},
		"unknown severity":     {filter(&wabastreamv1.EventFilter{MinSeverity: 77}), codes.InvalidArgument, "FILTER_INVALID", "filters[1].min_severity"},
		"too many filters":     {&wabastreamv1.SubscribeRequest{Filters: make([]*wabastreamv1.EventFilter, 101)}, codes.InvalidArgument, "FILTER_INVALID", "filters"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			info := requireReason(t, h.refused(c.req), c.code, c.reason)
			require.Equal(t, c.field, info.GetMetadata()["field"])
		})
	}
}

func TestHandOverFromReplayToLive(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	const writers, each = 8, 100
	var group sync.WaitGroup
	for range writers {
		records := make([]eventlog.Record, each)
		for i := range records {
			records[i] = h.record()
		}
		group.Go(func() {
			for _, r := range records {
				if _, err := h.log.Append(context.Background(), []eventlog.Record{r}); err != nil {
					t.Errorf("append: %v", err)
				}
			}
		})
	}
	// Subscribers that begin anywhere in the middle of it see everything once.
	for range 5 {
		s := h.subscribe(&wabastreamv1.SubscribeRequest{Start: earliest(), MaxBatchEvents: 3})
		got := sequences(s.events(writers * each))
		require.IsIncreasing(t, got)
	}
	group.Wait()
}

func TestHeartbeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.append()
		s := h.subscribe(&wabastreamv1.SubscribeRequest{HeartbeatInterval: durationpb.New(10 * time.Second)})
		require.NotNil(t, s.recv().GetCaughtUp())
		begin := time.Now()
		for i := range 4 {
			require.NotNil(t, s.recv().GetProgress())
			require.Equal(t, time.Duration(i+1)*10*time.Second, time.Since(begin))
		}
	})
}

// A filter that discards a busy stream must not starve heartbeats, and their
// cursors move on.
func TestHeartbeatsUnderADiscardingFilter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		s := h.subscribe(&wabastreamv1.SubscribeRequest{
			HeartbeatInterval: durationpb.New(2 * time.Second),
			Filters:           []*wabastreamv1.EventFilter{{WabaIds: []string{"quiet"}}},
		})
		require.NotNil(t, s.recv().GetCaughtUp())
		stop := make(chan struct{})
		busy := make(chan struct{})
		go func() {
			defer close(busy)
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					h.append(waba("busy"))
				case <-stop:
					return
				}
			}
		}()
		begin, cursors := time.Now(), map[string]bool{}
		for i := range 5 {
			require.NotNil(t, s.recv().GetProgress())
			require.InDelta(t, float64((i+1)*2), time.Since(begin).Seconds(), 0.5)
			cursors[s.cursor] = true
		}
		require.Len(t, cursors, 5, "every heartbeat's cursor moved on")
		close(stop)
		<-busy
	})
}

func TestStopTimeInTheFuture(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.append()
		begin := time.Now()
		s := h.subscribe(&wabastreamv1.SubscribeRequest{
			Start: earliest(),
			Stop:  &wabastreamv1.SubscribeRequest_StopTime{StopTime: timestamppb.New(begin.Add(time.Minute))},
		})
		s.events(1)
		h.append()
		s.events(1)
		events, err := s.rest()
		require.NoError(t, err, "a quiet log ends it too")
		require.Empty(t, events)
		require.Equal(t, time.Minute, time.Since(begin))
		h.append()
		late := h.read(&wabastreamv1.SubscribeRequest{
			Start: earliest(), Stop: &wabastreamv1.SubscribeRequest_StopTime{StopTime: timestamppb.New(begin.Add(time.Minute))},
		})
		require.Len(t, late, 2)
	})
}

func TestDrain(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	s := h.subscribe(&wabastreamv1.SubscribeRequest{})
	require.NotNil(t, s.recv().GetCaughtUp())
	h.service.Drain()
	frame := s.recv()
	require.Equal(t, "DRAINING", frame.GetClosing().GetReason())
	require.Positive(t, frame.GetClosing().GetReconnectDelay().AsDuration())
	_, err := s.stream.Recv()
	requireReason(t, status.Convert(err), codes.Unavailable, "DRAINING")
	requireReason(t, h.refused(&wabastreamv1.SubscribeRequest{}), codes.Unavailable, "DRAINING")
}

func TestExpiredCursor(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	all := h.appendMany(6)
	s := h.subscribe(&wabastreamv1.SubscribeRequest{Start: earliest(), MaxBatchEvents: 1})
	old := s.events(1)[0].GetCursor()
	trimPoint := s.events(3)[2].GetCursor()
	require.NoError(t, h.log.Trim(t.Context(), all[3].Sequence))

	after := func(cursor string) *wabastreamv1.SubscribeRequest {
		return &wabastreamv1.SubscribeRequest{Start: &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: cursor}, Stop: atHead()}
	}
	info := requireReason(t, h.refused(after(old)), codes.OutOfRange, "CURSOR_EXPIRED")
	require.Equal(t, sequencesOf(all[4:]), h.read(after(info.GetMetadata()["earliest_cursor"])))
	require.Equal(t, sequencesOf(all[4:]), h.read(after(trimPoint)), "nothing after the trim point is missing")

	req := after(old)
	req.ExpiredCursorPolicy = wabastreamv1.ExpiredCursorPolicy_EXPIRED_CURSOR_POLICY_CONTINUE_WITH_GAP
	gapped := h.subscribe(req)
	require.False(t, gapped.ready.GetResumed())
	gap := gapped.recv().GetGap()
	require.Equal(t, old, gap.GetFromCursor())
	require.Equal(t, trimPoint, gap.GetToCursor())
	require.Equal(t, sequencesOf(all[4:]), sequences(gapped.events(2)))
}

// A reader that stops reading is overtaken by retention and told so.
func TestTrimUnderASlowReader(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]wabastreamv1.ExpiredCursorPolicy{
		"fail": wabastreamv1.ExpiredCursorPolicy_EXPIRED_CURSOR_POLICY_FAIL,
		"gap":  wabastreamv1.ExpiredCursorPolicy_EXPIRED_CURSOR_POLICY_CONTINUE_WITH_GAP,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			large := func(r *eventlog.Record) { r.Raw = make([]byte, 100<<10) }
			all := h.appendMany(60, large) // far more than flow control lets through
			s := h.subscribe(&wabastreamv1.SubscribeRequest{
				Start: earliest(), Stop: atHead(), IncludeRawJson: true, MaxBatchEvents: 1, ExpiredCursorPolicy: policy,
			})
			first := s.events(1)
			require.NoError(t, h.log.Trim(t.Context(), all[54].Sequence))
			var got []*wabastreamv1.Event
			var gap *wabastreamv1.Gap
			for {
				frame, err := s.stream.Recv()
				if policy == wabastreamv1.ExpiredCursorPolicy_EXPIRED_CURSOR_POLICY_FAIL && err != nil {
					requireReason(t, status.Convert(err), codes.OutOfRange, "CURSOR_EXPIRED")
					return
				}
				require.NoError(t, err)
				if g := frame.GetGap(); g != nil {
					require.Nil(t, gap, "one gap, told once")
					gap = g
				}
				got = append(got, frame.GetBatch().GetEvents()...)
				if frame.GetCaughtUp() != nil {
					break
				}
			}
			require.NotNil(t, gap)
			received := sequences(append(first, got...))
			require.IsIncreasing(t, received)
			require.Equal(t, sequencesOf(all[55:]), received[len(received)-5:])
		})
	}
}

func TestFellBehind(t *testing.T) {
	t.Parallel()
	h := newForgetfulHarness(t)
	s := h.subscribe(&wabastreamv1.SubscribeRequest{IncludeRawJson: true, MaxBatchEvents: 2})
	require.NotNil(t, s.recv().GetCaughtUp())
	h.appendMany(60, func(r *eventlog.Record) { r.Raw = make([]byte, 100<<10) })
	fell, caught, got := 0, 0, 0
	for caught == 0 {
		frame := s.recv()
		got += len(frame.GetBatch().GetEvents())
		if frame.GetFellBehind() != nil {
			fell++
		}
		if frame.GetCaughtUp() != nil && got == 60 {
			caught++
		}
	}
	require.Positive(t, fell)
}

func TestBatchesStayWithinTheirBytes(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.appendMany(9, func(r *eventlog.Record) { r.Raw = make([]byte, 300<<10) })
	largest := h.append(func(r *eventlog.Record) { r.Raw = make([]byte, eventlog.MaxRecordBytes-len(r.Payload)) })
	s := h.subscribe(&wabastreamv1.SubscribeRequest{Start: earliest(), IncludeRawJson: true})
	got := 0
	for got < 10 {
		batch := s.recv().GetBatch()
		require.NotEmpty(t, batch.GetEvents())
		if n := len(batch.GetEvents()); n > 1 {
			bytes := 0
			for _, e := range batch.GetEvents()[:n-1] {
				bytes += len(e.GetRawJson())
			}
			require.Less(t, bytes, 1<<20)
		}
		got += len(batch.GetEvents())
	}
	require.Equal(t, 10, got)
	require.NotZero(t, largest.Sequence)
}

func TestRawOnlyWhenAskedFor(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.append()
	require.Empty(t, h.subscribe(&wabastreamv1.SubscribeRequest{Start: earliest()}).events(1)[0].GetRawJson())
	require.JSONEq(t, `{"n":1}`, h.subscribe(&wabastreamv1.SubscribeRequest{Start: earliest(), IncludeRawJson: true}).events(1)[0].GetRawJson())
}

package stream_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/stream"
)

const (
	ban     = "account_update.disabled_update.disable"
	goOn    = wabastreamv1.ExpiredCursorPolicy_EXPIRED_CURSOR_POLICY_CONTINUE_WITH_GAP
	oldest  = wabastreamv1.ListOrder_LIST_ORDER_OLDEST_FIRST
	message = "messages"
)

// beforeSend calls the hook before each frame of each stream is sent, on the
// goroutine that sends: ready has number 1.
func beforeSend(hook func(frame int)) grpc.ServerOption {
	return grpc.ChainStreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		return handler(srv, &hookedStream{ServerStream: ss, hook: hook})
	})
}

type hookedStream struct {
	grpc.ServerStream
	hook func(int)
	sent int
}

func (s *hookedStream) SendMsg(m any) error {
	s.sent++
	s.hook(s.sent)
	return s.ServerStream.SendMsg(m)
}

// appendTypes appends an event for each letter: "m" a message, "b" a ban. The
// first has sequence 1.
func (h *harness) appendTypes(letters string) {
	h.tb.Helper()
	for i, letter := range letters {
		path := message
		if letter == 'b' {
			path = ban
		}
		require.EqualValues(h.tb, i+1, h.append(typed(path)).Sequence)
	}
}

// trimType may be called by a hook, whose goroutine must not be ended.
func (h *harness) trimType(path string, upTo eventlog.Sequence) {
	h.tb.Helper()
	if err := h.log.TrimType(context.Background(), path, upTo); err != nil {
		h.tb.Errorf("trim type %s up to %d: %v", path, upTo, err)
	}
}

// cursors returns the cursor after each event as a reader of everything gets it,
// by the event's sequence.
func (h *harness) cursors() map[eventlog.Sequence]string {
	h.tb.Helper()
	events, err := h.subscribe(&wabastreamv1.SubscribeRequest{Start: earliest(), Stop: atHead()}).rest()
	require.NoError(h.tb, err)
	cursors := map[eventlog.Sequence]string{}
	for _, e := range events {
		cursors[eventlog.Sequence(e.GetSequence())] = e.GetCursor()
	}
	return cursors
}

func after(cursor string) *wabastreamv1.SubscribeRequest_AfterCursor {
	return &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: cursor}
}

func onlyType(path string) []*wabastreamv1.EventFilter {
	return []*wabastreamv1.EventFilter{{Types: []string{path}}}
}

// story tells a stream's frames in short: events by sequence, gaps by the types
// that are gone, the end by its reason.
func (h *harness) story(req *wabastreamv1.SubscribeRequest) string {
	h.tb.Helper()
	s, err := h.client.Subscribe(context.Background(), req)
	require.NoError(h.tb, err)
	var words []string
	for {
		frame, err := s.Recv()
		if err != nil {
			if st := status.Convert(err); st.Code() == codes.OutOfRange {
				requireReason(h.tb, st, codes.OutOfRange, "CURSOR_EXPIRED")
				words = append(words, "expired")
			}
			return strings.Join(words, " ")
		}
		for _, e := range frame.GetBatch().GetEvents() {
			words = append(words, strconv.FormatUint(e.GetSequence(), 10))
		}
		if gap := frame.GetGap(); gap != nil {
			words = append(words, fmt.Sprint("gap", gap.GetTypes()))
		}
	}
}

func TestResumeBeforeATypeTrimFails(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.appendTypes("mbmmbm")
	cursors := h.cursors()
	h.trimType(message, 4)

	st := h.refused(&wabastreamv1.SubscribeRequest{Start: after(cursors[1])})
	info := requireReason(t, st, codes.OutOfRange, "CURSOR_EXPIRED")
	require.Contains(t, st.Message(), "events of type messages after the cursor")
	require.Contains(t, st.Message(), "CONTINUE_WITH_GAP")
	require.Equal(t, message, info.GetMetadata()["types"])
	require.Equal(t, cursors[1], info.GetMetadata()["cursor"])
	require.Equal(t, cursors[4], info.GetMetadata()["complete_cursor"])
	require.Equal(t, "2 5 6", h.story(&wabastreamv1.SubscribeRequest{Start: after(info.GetMetadata()["earliest_cursor"]), Stop: atHead()}),
		"what is still held and was not received yet")
	require.Equal(t, "5 6", h.story(&wabastreamv1.SubscribeRequest{Start: after(info.GetMetadata()["complete_cursor"]), Stop: atHead()}))

	ban := h.list(&wabastreamv1.ListEventsRequest{Order: oldest}).GetEvents()[0]
	requireReason(t, h.refused(&wabastreamv1.SubscribeRequest{
		Start: &wabastreamv1.SubscribeRequest_AfterEventId{AfterEventId: ban.GetId()},
	}), codes.OutOfRange, "CURSOR_EXPIRED")
}

func TestWhoASingleTypeTrimConcerns(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.appendTypes("mbmmbm")
	cursors := h.cursors()
	h.trimType(message, 4)
	for name, c := range map[string]struct {
		filters []*wabastreamv1.EventFilter
		start   eventlog.Sequence
		want    string
	}{
		"everything":              {nil, 3, "expired"},
		"everything, at the trim": {nil, 4, "5 6"},
		"everything, behind it":   {nil, 5, "6"},
		"the type":                {onlyType("messages"), 1, "expired"},
		"a type below it":         {onlyType("messages.text"), 1, "expired"},
		"an account":              {[]*wabastreamv1.EventFilter{{WabaIds: []string{"w1"}}}, 1, "expired"},
		"other types":             {onlyType("account_update"), 1, "2 5"},
		"a type of like name":     {onlyType("messages_2"), 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := *h
			h.tb = t
			require.Equal(t, c.want, h.story(&wabastreamv1.SubscribeRequest{
				Filters: c.filters, Start: after(cursors[c.start]), Stop: atHead(),
			}))
		})
	}
}

// The gap does not jump: what is still held inside it follows.
func TestGapOfTypes(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.appendTypes("mbmmbm")
	cursors := h.cursors()
	h.trimType(message, 4)
	s := h.subscribe(&wabastreamv1.SubscribeRequest{Start: after(cursors[1]), ExpiredCursorPolicy: goOn})
	require.False(t, s.ready.GetResumed())
	require.Equal(t, cursors[1], s.cursor)
	gap := s.recv().GetGap()
	require.Equal(t, cursors[1], gap.GetFromCursor())
	require.Equal(t, cursors[4], gap.GetToCursor())
	require.Equal(t, []string{message}, gap.GetTypes())
	require.Equal(t, cursors[1], s.cursor, "a client cut off here loses nothing")
	require.Equal(t, []eventlog.Sequence{2, 5, 6}, sequences(s.events(3)))
	require.NotNil(t, s.recv().GetCaughtUp())
}

func TestGapOfEverythingAndThenOfTypes(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.appendTypes("mbmmbmb")
	cursors := h.cursors()
	h.trimType(message, 4)
	require.NoError(t, h.log.Trim(t.Context(), 2))
	info := requireReason(t, h.refused(&wabastreamv1.SubscribeRequest{Start: after(cursors[1])}), codes.OutOfRange, "CURSOR_EXPIRED")
	require.NotContains(t, info.GetMetadata(), "types")
	require.Equal(t, "5 6 7", h.story(&wabastreamv1.SubscribeRequest{Start: after(info.GetMetadata()["earliest_cursor"]), Stop: atHead()}))

	s := h.subscribe(&wabastreamv1.SubscribeRequest{Start: after(cursors[1]), ExpiredCursorPolicy: goOn})
	all, some := s.recv(), s.recv()
	require.Empty(t, all.GetGap().GetTypes())
	require.Equal(t, cursors[2], all.GetGap().GetToCursor())
	require.Equal(t, cursors[2], all.GetCursor())
	require.Equal(t, []string{message}, some.GetGap().GetTypes())
	require.Equal(t, cursors[2], some.GetGap().GetFromCursor())
	require.Equal(t, []eventlog.Sequence{5, 6, 7}, sequences(s.events(3)))
}

// Whoever asks for what there is gets it, and resumes after any of its cursors.
func TestWhatIsHeldFromTheStart(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.appendTypes("bmbmmbmb")
	old := h.cursors()
	h.trimType(message, 5)
	info, err := h.client.GetLogInfo(t.Context(), &wabastreamv1.GetLogInfoRequest{})
	require.NoError(t, err)
	s := h.subscribe(&wabastreamv1.SubscribeRequest{Start: earliest(), Stop: atHead(), MaxBatchEvents: 1})
	for name, req := range map[string]*wabastreamv1.SubscribeRequest{
		"start time":                 {Start: startTime(info.GetEarliestTime().AsTime())},
		"earliest cursor":            {Start: after(info.GetEarliestCursor())},
		"earliest cursor of ready":   {Start: after(s.ready.GetEarliestCursor())},
		"cursor of ready":            {Start: after(s.cursor)},
		"and of one with one filter": {Start: after(h.subscribe(&wabastreamv1.SubscribeRequest{Start: earliest(), Filters: onlyType("messages")}).cursor)},
	} {
		req.Stop = atHead()
		require.Equal(t, "1 3 6 7 8", h.story(req), name)
	}
	events, err := s.rest()
	require.NoError(t, err)
	require.Equal(t, []eventlog.Sequence{1, 3, 6, 7, 8}, sequences(events))
	for i, e := range events {
		resumed := h.subscribe(&wabastreamv1.SubscribeRequest{Start: after(e.GetCursor()), Stop: atHead()})
		require.True(t, resumed.ready.GetResumed())
		rest, err := resumed.rest()
		require.NoError(t, err)
		require.Equal(t, sequences(events[i+1:]), sequences(rest))
	}
	require.Equal(t, old[6], events[2].GetCursor(), "behind the trim a cursor is like any other")
}

func TestStopsInsideAThinnedPart(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.appendTypes("bmbmmbmb")
	old := h.cursors()
	h.trimType(message, 5)
	stop := func(cursor string) *wabastreamv1.SubscribeRequest_StopCursor {
		return &wabastreamv1.SubscribeRequest_StopCursor{StopCursor: cursor}
	}
	require.Equal(t, "1 3", h.story(&wabastreamv1.SubscribeRequest{Start: earliest(), Stop: stop(old[4])}))
	require.Equal(t, "1 3", h.story(&wabastreamv1.SubscribeRequest{Start: earliest(), Stop: stop(old[5])}))
	require.Equal(t, "1 3 6", h.story(&wabastreamv1.SubscribeRequest{Start: earliest(), Stop: stop(old[6])}))
	s := h.subscribe(&wabastreamv1.SubscribeRequest{Start: earliest(), Stop: stop(old[4])})
	_, err := s.rest()
	require.NoError(t, err)
	require.Equal(t, "6 7 8", h.story(&wabastreamv1.SubscribeRequest{Start: after(s.cursor), Stop: atHead()}), "its last cursor remembers")
}

// TestTypeTrimUnderAReader trims before the frame given is sent; ready is the
// first, and each event has a frame of its own.
func TestTypeTrimUnderAReader(t *testing.T) {
	t.Parallel()
	type trim struct {
		path string
		upTo eventlog.Sequence
	}
	for name, c := range map[string]struct {
		log     string
		first   eventlog.Sequence // trimmed before the stream begins
		trims   map[int]trim
		filters []*wabastreamv1.EventFilter
		fail    string
		goOn    string
	}{
		"that reads everything": {
			log: "mbmbmbm", trims: map[int]trim{2: {message, 3}},
			fail: "1 expired", goOn: "1 gap[messages] 2 4 5 6 7",
		},
		"twice": {
			log: "mbmbmbm", trims: map[int]trim{2: {message, 3}, 4: {message, 5}},
			fail: "1 expired", goOn: "1 gap[messages] 2 gap[messages] 4 6 7",
		},
		"of another type meanwhile": {
			log: "mbmbbmb", trims: map[int]trim{2: {message, 6}, 3: {"account_update", 4}},
			fail: "1 expired", goOn: "1 gap[messages] gap[account_update] 5 7",
		},
		"with filters of other types": {
			log: "mbmbmbm", trims: map[int]trim{2: {message, 3}, 4: {message, 5}}, filters: onlyType("account_update"),
			fail: "2 4 6", goOn: "2 4 6",
		},
		"that is already past it": {
			log: "mbmbmbm", trims: map[int]trim{5: {message, 3}},
			fail: "1 2 3 4 5 6 7", goOn: "1 2 3 4 5 6 7",
		},
		"that began with what is held, and has not come to the end of that": {
			log: "bmbmmbmb", first: 5, trims: map[int]trim{2: {message, 7}},
			fail: "1 3 6 8", goOn: "1 3 6 8",
		},
		"that began with what is held, and is past that": {
			log: "bmbmmbmb", first: 5, trims: map[int]trim{4: {message, 7}},
			fail: "1 3 6 expired", goOn: "1 3 6 gap[messages] 8",
		},
	} {
		for policy, want := range map[wabastreamv1.ExpiredCursorPolicy]string{goOn: c.goOn, 0: c.fail} {
			t.Run(name+" "+policy.String(), func(t *testing.T) {
				t.Parallel()
				var h *harness
				h = newHarness(t, beforeSend(func(frame int) {
					if trim, ok := c.trims[frame]; ok {
						h.trimType(trim.path, trim.upTo)
					}
				}))
				h.appendTypes(c.log)
				if c.first != 0 {
					h.trimType(message, c.first)
				}
				require.Equal(t, want, h.story(&wabastreamv1.SubscribeRequest{
					Start: earliest(), Stop: atHead(), MaxBatchEvents: 1, Filters: c.filters, ExpiredCursorPolicy: policy,
				}))
			})
		}
	}
}

// A live reader that has seen what is trimmed does not notice.
func TestTypeTrimBehindALiveReader(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.appendTypes("mbm")
	s := h.subscribe(&wabastreamv1.SubscribeRequest{})
	require.NotNil(t, s.recv().GetCaughtUp())
	h.trimType(message, 3)
	next := h.append(typed(message)).Sequence
	require.Equal(t, []eventlog.Sequence{next}, sequences(s.events(1)))
}

func TestTypeTrimsAreTold(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.appendTypes("mbmbmb")
	old := h.cursors()
	h.trimType(message, 3)
	h.trimType("account_update", 2)
	info, err := h.client.GetLogInfo(t.Context(), &wabastreamv1.GetLogInfoRequest{})
	require.NoError(t, err)
	require.Len(t, info.GetTypeTrims(), 2)
	require.Equal(t, "account_update", info.GetTypeTrims()[0].GetType())
	messages := info.GetTypeTrims()[1]
	require.Equal(t, message, messages.GetType())
	require.Equal(t, old[3], messages.GetUpToCursor())
	require.EqualValues(t, 3, messages.GetUpToSequence())
	ready := h.subscribe(&wabastreamv1.SubscribeRequest{Filters: onlyType("messages.text")}).ready
	require.Len(t, ready.GetTypeTrims(), 1)
	require.Equal(t, message, ready.GetTypeTrims()[0].GetType())

	require.NoError(t, h.log.Trim(t.Context(), 3))
	info, err = h.client.GetLogInfo(t.Context(), &wabastreamv1.GetLogInfoRequest{})
	require.NoError(t, err)
	require.Empty(t, info.GetTypeTrims())
	require.Equal(t, old[3], info.GetEarliestCursor())
}

// Whoever takes what is held, and comes to a record that cannot be read, goes on
// behind it as it began.
func TestContinueBehindCorruptionInAThinnedPart(t *testing.T) {
	t.Parallel()
	fake := &fakeLog{head: eventlog.Position{Sequence: 9}, trims: []eventlog.TypeTrim{{Path: message, UpTo: eventlog.Position{Sequence: 8}}}}
	fake.read = func(_ context.Context, query eventlog.Query) (eventlog.Page, error) {
		require.True(t, query.Held)
		if query.After == 0 {
			return eventlog.Page{}, &eventlog.CorruptError{First: 3, Last: 5}
		}
		require.EqualValues(t, 5, query.After)
		return eventlog.Page{}, eventlog.ErrClosed
	}
	service := newService(t, stream.Config{Log: fake})
	err := service.Subscribe(&wabastreamv1.SubscribeRequest{Start: earliest()}, &frames{ctx: anyone(t.Context())})
	info := requireReason(t, status.Convert(err), codes.DataLoss, "LOG_CORRUPT")
	err = service.Subscribe(&wabastreamv1.SubscribeRequest{Start: after(info.GetMetadata()["continue_cursor"])}, &frames{ctx: anyone(t.Context())})
	requireReason(t, status.Convert(err), codes.Unavailable, "LOG_UNAVAILABLE")
}

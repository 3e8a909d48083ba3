package stream_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/stream"
)

// A client that is cut off after ready and before the gap frame is told of the
// gap the next time.
func TestGapIsNotLostBehindReady(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	all := h.appendMany(4)
	old := h.subscribe(&wabastreamv1.SubscribeRequest{Start: earliest(), MaxBatchEvents: 1}).events(1)[0].GetCursor()
	require.NoError(t, h.log.Trim(t.Context(), all[2].Sequence))
	cursor := old
	for range 2 {
		s := h.subscribe(&wabastreamv1.SubscribeRequest{
			Start:               &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: cursor},
			ExpiredCursorPolicy: wabastreamv1.ExpiredCursorPolicy_EXPIRED_CURSOR_POLICY_CONTINUE_WITH_GAP,
		})
		cursor = s.cursor // as of ready
		require.Equal(t, old, s.recv().GetGap().GetFromCursor())
		s.cancel()
	}
}

func TestStartTimeInTheFuture(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		s := h.subscribe(&wabastreamv1.SubscribeRequest{Start: startTime(time.Now().Add(time.Hour))})
		require.NotNil(t, s.recv().GetCaughtUp())
		h.append()
		<-time.After(2 * time.Hour)
		p := h.append()
		require.Equal(t, []eventlog.Sequence{p.Sequence}, sequences(s.events(1)))
	})
}

func TestStopTimeLongAgo(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.append()
	require.Empty(t, h.read(&wabastreamv1.SubscribeRequest{
		Start: earliest(), Stop: &wabastreamv1.SubscribeRequest_StopTime{StopTime: timestamppb.New(time.Time{})},
	}))
}

// Two events that do not fit one batch travel in two.
func TestBatchClosesBeforeItsLimit(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	large := func(r *eventlog.Record) { r.Raw = make([]byte, 900<<10) }
	h.appendMany(2, large)
	s := h.subscribe(&wabastreamv1.SubscribeRequest{Start: earliest(), IncludeRawJson: true})
	for got := 0; got < 2; {
		frame := s.recv()
		require.Less(t, proto.Size(frame), 1<<20)
		got += len(frame.GetBatch().GetEvents())
	}
	for _, order := range []wabastreamv1.ListOrder{wabastreamv1.ListOrder_LIST_ORDER_NEWEST_FIRST, wabastreamv1.ListOrder_LIST_ORDER_OLDEST_FIRST} {
		page := h.list(&wabastreamv1.ListEventsRequest{IncludeRawJson: true, Order: order})
		require.Len(t, page.GetEvents(), 1)
		page = h.list(&wabastreamv1.ListEventsRequest{IncludeRawJson: true, Order: order, PageToken: page.GetNextPageToken()})
		require.Len(t, page.GetEvents(), 1)
		require.Empty(t, page.GetNextPageToken())
	}
}

// A page token that is ahead of the log, as after a restore from an older copy,
// is refused: it would skip what came since.
func TestPageTokenAheadOfTheLog(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.appendMany(5)
	var tokens []*wabastreamv1.ListEventsRequest
	for _, order := range []wabastreamv1.ListOrder{wabastreamv1.ListOrder_LIST_ORDER_NEWEST_FIRST, wabastreamv1.ListOrder_LIST_ORDER_OLDEST_FIRST} {
		page := h.list(&wabastreamv1.ListEventsRequest{PageSize: 2, Order: order})
		tokens = append(tokens, &wabastreamv1.ListEventsRequest{PageToken: page.GetNextPageToken(), Order: order})
	}
	fake := &fakeLog{head: eventlog.Position{Log: h.logID(), Sequence: 1}}
	for _, req := range tokens {
		_, err := newService(t, stream.Config{Log: fake}).ListEvents(anyone(t.Context()), req)
		requireReason(t, status.Convert(err), codes.OutOfRange, "CURSOR_AHEAD_OF_LOG")
	}
}

func (h *harness) logID() eventlog.LogID {
	bounds, err := h.log.Bounds(context.Background())
	require.NoError(h.tb, err)
	return bounds.Head.Log
}

// fakeLog is a log in a state that the real one does not get into at will.
type fakeLog struct {
	stream.Reader
	head  eventlog.Position
	trims []eventlog.TypeTrim
	read  func(ctx context.Context, query eventlog.Query) (eventlog.Page, error)
}

// newService makes a service that is closed when the test ends.
func newService(t *testing.T, config stream.Config) *stream.Service {
	t.Helper()
	service := stream.New(config)
	t.Cleanup(service.Close)
	return service
}

func (f *fakeLog) Wait(ctx context.Context, _ eventlog.Sequence) error {
	<-ctx.Done()
	return ctx.Err()
}

func (f *fakeLog) Bounds(context.Context) (eventlog.Bounds, error) {
	return eventlog.Bounds{Start: eventlog.Position{Log: f.head.Log}, Head: f.head, TypeTrims: f.trims}, nil
}

func (f *fakeLog) Check(_ context.Context, p eventlog.Position) error {
	if p.Sequence > f.head.Sequence {
		return eventlog.ErrAhead
	}
	return nil
}

func (f *fakeLog) Read(ctx context.Context, query eventlog.Query) (eventlog.Page, error) {
	return f.read(ctx, query)
}

func TestWhatOnlyTheOperatorCanMendIsLoggedWithItsCause(t *testing.T) {
	t.Parallel()
	var lines bytes.Buffer
	fake := &fakeLog{head: eventlog.Position{Sequence: 9}}
	service := newService(t, stream.Config{Log: fake, Logger: slog.New(slog.NewTextHandler(&lines, nil))})

	fake.read = func(context.Context, eventlog.Query) (eventlog.Page, error) {
		return eventlog.Page{}, errors.New("block 7 is gone")
	}
	_, err := service.ListEvents(anyone(t.Context()), &wabastreamv1.ListEventsRequest{})
	requireReason(t, status.Convert(err), codes.Internal, "INTERNAL")
	require.NotContains(t, err.Error(), "block 7")
	require.Contains(t, lines.String(), "block 7 is gone")

	fake.read = func(context.Context, eventlog.Query) (eventlog.Page, error) {
		return eventlog.Page{}, &eventlog.CorruptError{First: 3, Last: 5, Cause: errors.New("checksum")}
	}
	_, err = service.ListEvents(anyone(t.Context()), &wabastreamv1.ListEventsRequest{})
	info := requireReason(t, status.Convert(err), codes.DataLoss, "LOG_CORRUPT")
	require.Equal(t, "3", info.GetMetadata()["first_sequence"])
	require.Equal(t, "5", info.GetMetadata()["last_sequence"])
	require.NotEmpty(t, info.GetMetadata()["continue_cursor"])
	require.Contains(t, lines.String(), "checksum")
}

// frames collects what a subscription is sent, without a connection.
type frames struct {
	grpc.ServerStreamingServer[wabastreamv1.SubscribeResponse]
	ctx  context.Context //nolint:containedctx // gRPC asks a stream for its context
	sent []any
}

func (f *frames) Context() context.Context                            { return f.ctx }
func (f *frames) SendHeader(metadata.MD) error                        { return nil }
func (f *frames) Send(response *wabastreamv1.SubscribeResponse) error { return f.SendMsg(response) }
func (f *frames) SendMsg(frame any) error                             { f.sent = append(f.sent, frame); return nil }

// A hint about unseen values never refuses a subscription that could be served.
func TestUnreadableRecordsDoNotRefuseWhoNeedNotReadThem(t *testing.T) {
	t.Parallel()
	fake := &fakeLog{head: eventlog.Position{Sequence: 9}}
	fake.read = func(_ context.Context, query eventlog.Query) (eventlog.Page, error) {
		require.True(t, query.Reverse, "nothing but the hint is read")
		return eventlog.Page{}, &eventlog.CorruptError{First: 3, Last: 5}
	}
	out := &frames{ctx: anyone(t.Context())}
	require.NoError(t, newService(t, stream.Config{Log: fake}).Subscribe(&wabastreamv1.SubscribeRequest{
		Filters: []*wabastreamv1.EventFilter{{WabaIds: []string{"w"}}}, Stop: atHead(),
	}, out))
	require.NotEmpty(t, out.sent)
}

// A shutdown that comes while a subscription is being opened says so.
func TestDrainWhileOpening(t *testing.T) {
	t.Parallel()
	fake := &fakeLog{}
	service := newService(t, stream.Config{Log: fake})
	fake.read = func(ctx context.Context, _ eventlog.Query) (eventlog.Page, error) {
		service.Drain()
		<-ctx.Done()
		return eventlog.Page{}, ctx.Err()
	}
	err := service.Subscribe(&wabastreamv1.SubscribeRequest{
		Filters: []*wabastreamv1.EventFilter{{WabaIds: []string{"w"}}},
	}, &frames{ctx: anyone(t.Context())})
	requireReason(t, status.Convert(err), codes.Unavailable, "DRAINING")
}

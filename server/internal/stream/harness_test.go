package stream_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
	"github.com/wabastream/wabastream/server/internal/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is the service over the real log, spoken to over a real connection in
// memory.
type harness struct {
	tb      testing.TB
	log     *pebblelog.Log
	service *stream.Service
	client  wabastreamv1.EventServiceClient
	next    int
	// sessions are of callers that name themselves; others may everything.
	sessions map[string]*access.Session
}

// callerKey is the metadata that names a caller of a test.
const callerKey = "test-caller"

// grant makes a caller known that may so much, before it calls.
func (h *harness) grant(name string, grant access.Grant) *access.Session {
	h.sessions[name] = access.NewSession(access.Caller{Name: name, Grant: grant})
	return h.sessions[name]
}

// as is the context of a caller's call.
func as(ctx context.Context, name string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, callerKey, name)
}

// anyone is the context of a call that comes from a caller who may everything.
func anyone(ctx context.Context) context.Context {
	return access.NewContext(ctx, access.NewSession(access.Caller{Grant: access.Everything()}))
}

func (h *harness) admitted(ctx context.Context) context.Context {
	names := metadata.ValueFromIncomingContext(ctx, callerKey)
	if len(names) == 0 {
		return anyone(ctx)
	}
	if session, ok := h.sessions[names[0]]; ok {
		return access.NewContext(ctx, session)
	}
	return ctx
}

func (h *harness) admitUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	return handler(h.admitted(ctx), req)
}

func (h *harness) admitStream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(srv, admittedStream{ss, h.admitted(ss.Context())})
}

type admittedStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // gRPC asks a stream for its context
}

func (s admittedStream) Context() context.Context { return s.ctx }

func newHarness(tb testing.TB, options ...grpc.ServerOption) *harness {
	tb.Helper()
	return newHarnessWith(tb, stream.Config{}, options...)
}

// newForgetfulHarness is one whose readers find hardly anything in memory.
func newForgetfulHarness(tb testing.TB) *harness {
	tb.Helper()
	return newHarnessWith(tb, stream.Config{RecentBytes: 1})
}

func newHarnessWith(tb testing.TB, config stream.Config, options ...grpc.ServerOption) *harness {
	tb.Helper()
	logger := slog.New(slog.NewTextHandler(tb.Output(), nil))
	log, err := pebblelog.Open(context.Background(), "log", pebblelog.Options{FS: vfs.NewMem(), Logger: logger})
	require.NoError(tb, err)
	config.Log, config.Version, config.Logger = log, "test", logger
	h := &harness{tb: tb, log: log, service: stream.New(config), sessions: make(map[string]*access.Session)}

	server := grpc.NewServer(append(options, stream.ServerOption(),
		grpc.ChainUnaryInterceptor(h.admitUnary), grpc.ChainStreamInterceptor(h.admitStream))...)
	h.service.Register(server)
	listener := bufconn.Listen(64 << 10)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	require.NoError(tb, err)
	h.client = wabastreamv1.NewEventServiceClient(conn)
	tb.Cleanup(func() {
		require.NoError(tb, conn.Close())
		h.service.Drain()
		server.Stop()
		require.NoError(tb, <-served)
		h.service.Close()
		require.NoError(tb, log.Close())
	})
	return h
}

// record makes a deliverable record; edits change its header.
func (h *harness) record(edits ...func(*eventlog.Record)) eventlog.Record {
	h.next++
	payload, err := proto.Marshal(&wabastreamv1.Event{
		Provider: wabastreamv1.Provider_PROVIDER_NXCLOUD,
		Payload:  &wabastreamv1.Event_Unrecognized{Unrecognized: &wabastreamv1.Unrecognized{Json: strconv.Itoa(h.next)}},
	})
	require.NoError(h.tb, err)
	r := eventlog.Record{
		Header: eventlog.Header{
			ID: eventlog.ID{byte(h.next >> 16), byte(h.next >> 8), byte(h.next), 1}, Source: "nxcloud",
			Type: "account_update.account_deleted", Severity: eventlog.SeverityInfo,
			WABAID: "w1", WABASource: eventlog.WABAPayload, BusinessPhone: "1555",
		},
		Payload: payload, Raw: []byte(`{"n":1}`), Horizon: time.Hour,
	}
	for _, edit := range edits {
		edit(&r)
	}
	return r
}

func waba(id string) func(*eventlog.Record) {
	return func(r *eventlog.Record) {
		r.WABAID = id
		if id == "" {
			r.WABASource = eventlog.WABAUnknown
		}
	}
}

func typed(t string) func(*eventlog.Record) { return func(r *eventlog.Record) { r.Type = t } }

func (h *harness) append(edits ...func(*eventlog.Record)) eventlog.Position {
	h.tb.Helper()
	appended, err := h.log.Append(context.Background(), []eventlog.Record{h.record(edits...)})
	require.NoError(h.tb, err)
	return appended[0].Position
}

func (h *harness) appendMany(n int, edits ...func(*eventlog.Record)) []eventlog.Position {
	h.tb.Helper()
	positions := make([]eventlog.Position, n)
	for i := range positions {
		positions[i] = h.append(edits...)
	}
	return positions
}

// subscriber reads one stream's frames.
type subscriber struct {
	tb     testing.TB
	stream grpc.ServerStreamingClient[wabastreamv1.SubscribeResponse]
	cancel context.CancelFunc
	ready  *wabastreamv1.Ready
	cursor string
}

func (h *harness) subscribe(req *wabastreamv1.SubscribeRequest) *subscriber {
	h.tb.Helper()
	return h.subscribeIn(context.Background(), req)
}

func (h *harness) subscribeAs(name string, req *wabastreamv1.SubscribeRequest) *subscriber {
	h.tb.Helper()
	return h.subscribeIn(as(context.Background(), name), req)
}

func (h *harness) subscribeIn(ctx context.Context, req *wabastreamv1.SubscribeRequest) *subscriber {
	h.tb.Helper()
	ctx, cancel := context.WithCancel(ctx)
	h.tb.Cleanup(cancel)
	s, err := h.client.Subscribe(ctx, req)
	require.NoError(h.tb, err)
	sub := &subscriber{tb: h.tb, stream: s, cancel: cancel}
	first := sub.recv()
	require.NotNil(h.tb, first.GetReady(), "the first frame is %v", first)
	sub.ready = first.GetReady()
	return sub
}

func (s *subscriber) recv() *wabastreamv1.SubscribeResponse {
	s.tb.Helper()
	frame, err := s.stream.Recv()
	require.NoError(s.tb, err)
	require.NotEmpty(s.tb, frame.GetCursor(), "every frame has a cursor")
	s.cursor = frame.GetCursor()
	return frame
}

// events receives batches until n events have come.
func (s *subscriber) events(n int) []*wabastreamv1.Event {
	s.tb.Helper()
	var events []*wabastreamv1.Event
	for len(events) < n {
		events = append(events, s.recv().GetBatch().GetEvents()...)
	}
	require.Len(s.tb, events, n)
	return events
}

// rest receives until the stream ends.
func (s *subscriber) rest() (events []*wabastreamv1.Event, end error) {
	for {
		frame, err := s.stream.Recv()
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return events, err
		}
		s.cursor = frame.GetCursor()
		events = append(events, frame.GetBatch().GetEvents()...)
	}
}

// read runs a bounded subscription to its end.
func (h *harness) read(req *wabastreamv1.SubscribeRequest) []eventlog.Sequence {
	h.tb.Helper()
	events, err := h.subscribe(req).rest()
	require.NoError(h.tb, err)
	return sequences(events)
}

// refused runs a subscription that must fail before its first frame.
func (h *harness) refused(req *wabastreamv1.SubscribeRequest) *status.Status {
	h.tb.Helper()
	return h.refusedIn(context.Background(), req)
}

func (h *harness) refusedIn(ctx context.Context, req *wabastreamv1.SubscribeRequest) *status.Status {
	h.tb.Helper()
	s, err := h.client.Subscribe(ctx, req)
	require.NoError(h.tb, err)
	_, err = s.Recv()
	require.Error(h.tb, err)
	return status.Convert(err)
}

func requireReason(tb testing.TB, st *status.Status, code codes.Code, reason string) *errdetails.ErrorInfo {
	tb.Helper()
	require.Equal(tb, code, st.Code(), st.Message())
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			require.Equal(tb, "wabastream", info.GetDomain())
			require.Equal(tb, reason, info.GetReason(), st.Message())
			return info
		}
	}
	require.Fail(tb, "no ErrorInfo", st.Message())
	return nil
}

func sequences(events []*wabastreamv1.Event) []eventlog.Sequence {
	out := make([]eventlog.Sequence, len(events))
	for i, e := range events {
		out[i] = eventlog.Sequence(e.GetSequence())
	}
	return out
}

func sequencesOf(positions []eventlog.Position) []eventlog.Sequence {
	out := make([]eventlog.Sequence, len(positions))
	for i, p := range positions {
		out[i] = p.Sequence
	}
	return out
}

func earliest() *wabastreamv1.SubscribeRequest_Position {
	return &wabastreamv1.SubscribeRequest_Position{Position: wabastreamv1.StartPosition_START_POSITION_EARLIEST}
}

func atHead() *wabastreamv1.SubscribeRequest_StopAtHead {
	return &wabastreamv1.SubscribeRequest_StopAtHead{StopAtHead: true}
}

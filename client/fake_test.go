package client_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// script is one stream of a fake server.
type script func(*wabastreamv1.SubscribeRequest, sender) error

type sender = grpc.ServerStreamingServer[wabastreamv1.SubscribeResponse]

// call is what the fake server saw of one Subscribe.
type call struct {
	request *wabastreamv1.SubscribeRequest
	header  metadata.MD
	at      time.Time
}

// fake plays one script a stream, then refuses.
type fake struct {
	wabastreamv1.UnimplementedEventServiceServer
	scripts []script

	mu    sync.Mutex // guards calls
	calls []call
}

func (f *fake) Subscribe(request *wabastreamv1.SubscribeRequest, stream sender) error {
	header, _ := metadata.FromIncomingContext(stream.Context())
	f.mu.Lock()
	n := len(f.calls)
	f.calls = append(f.calls, call{request: proto.CloneOf(request), header: header, at: time.Now()})
	f.mu.Unlock()
	if n >= len(f.scripts) {
		return refusal(codes.FailedPrecondition, "SCRIPT_OVER")
	}
	return f.scripts[n](request, stream)
}

func (f *fake) seen() []call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]call(nil), f.calls...)
}

// starts are the cursors that streams after the first resumed from.
func (f *fake) starts() []string {
	var cursors []string
	for _, c := range f.seen()[1:] {
		cursors = append(cursors, c.request.GetAfterCursor())
	}
	return cursors
}

// serve starts a fake server and a client of it, both gone when the test ends.
func serve(t *testing.T, scripts ...script) (*fake, *client.Client) {
	t.Helper()
	f := &fake{scripts: scripts}
	return f, connect(t, f)
}

func connect(t *testing.T, service wabastreamv1.EventServiceServer, opts ...client.Option) *client.Client {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	// As the real server permits; grpc-go's own minimum of five minutes would break
	// the connections of tests that let hours pass.
	server := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
		MinTime: 5 * time.Second, PermitWithoutStream: true,
	}))
	wabastreamv1.RegisterEventServiceServer(server, service)
	if accounts, ok := service.(wabastreamv1.AccountServiceServer); ok {
		wabastreamv1.RegisterAccountServiceServer(server, accounts)
	}
	if admin, ok := service.(wabastreamv1.AdminServiceServer); ok {
		wabastreamv1.RegisterAdminServiceServer(server, admin)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	opts = append([]client.Option{
		client.WithInsecure(),
		client.WithDialOptions(grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return listener.DialContext(ctx)
		})),
	}, opts...)
	c, err := client.New("passthrough:///fake", opts...)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, c.Close())
		server.Stop()
		require.NoError(t, <-served)
	})
	return c
}

// play sends frames, then ends with err.
func play(err error, frames ...*wabastreamv1.SubscribeResponse) script {
	return func(_ *wabastreamv1.SubscribeRequest, stream sender) error {
		for _, frame := range frames {
			if err := stream.Send(frame); err != nil {
				return err
			}
		}
		return err
	}
}

// hang sends frames, then nothing until the client is gone.
func hang(frames ...*wabastreamv1.SubscribeResponse) script {
	return func(request *wabastreamv1.SubscribeRequest, stream sender) error {
		if err := play(nil, frames...)(request, stream); err != nil {
			return err
		}
		<-stream.Context().Done()
		return stream.Context().Err()
	}
}

func ready(cursor string) *wabastreamv1.SubscribeResponse {
	return &wabastreamv1.SubscribeResponse{Cursor: cursor, Frame: &wabastreamv1.SubscribeResponse_Ready{
		Ready: &wabastreamv1.Ready{HeadCursor: "head", HeartbeatInterval: durationpb.New(10 * time.Second)},
	}}
}

func event(sequence uint64) *wabastreamv1.Event {
	return &wabastreamv1.Event{Sequence: sequence, Cursor: fmt.Sprint("c", sequence), Id: fmt.Sprint("id", sequence)}
}

func batch(sequences ...uint64) *wabastreamv1.SubscribeResponse {
	b := &wabastreamv1.Batch{}
	for _, sequence := range sequences {
		b.Events = append(b.Events, event(sequence))
	}
	return &wabastreamv1.SubscribeResponse{
		Cursor: b.Events[len(b.Events)-1].GetCursor(),
		Frame:  &wabastreamv1.SubscribeResponse_Batch{Batch: b},
	}
}

func progress(cursor string) *wabastreamv1.SubscribeResponse {
	return &wabastreamv1.SubscribeResponse{Cursor: cursor, Frame: &wabastreamv1.SubscribeResponse_Progress{Progress: &wabastreamv1.Progress{}}}
}

func caughtUp(cursor string) *wabastreamv1.SubscribeResponse {
	return &wabastreamv1.SubscribeResponse{Cursor: cursor, Frame: &wabastreamv1.SubscribeResponse_CaughtUp{CaughtUp: &wabastreamv1.CaughtUp{}}}
}

// gapOf is a gap of some types, whose cursor stays.
func gapOf(from, to string, types ...string) *wabastreamv1.SubscribeResponse {
	return &wabastreamv1.SubscribeResponse{Cursor: from, Frame: &wabastreamv1.SubscribeResponse_Gap{Gap: &wabastreamv1.Gap{FromCursor: from, ToCursor: to, Types: types}}}
}

func gap(from, to string) *wabastreamv1.SubscribeResponse {
	return &wabastreamv1.SubscribeResponse{Cursor: to, Frame: &wabastreamv1.SubscribeResponse_Gap{Gap: &wabastreamv1.Gap{FromCursor: from, ToCursor: to}}}
}

func closing(cursor string, delay time.Duration) *wabastreamv1.SubscribeResponse {
	return &wabastreamv1.SubscribeResponse{Cursor: cursor, Frame: &wabastreamv1.SubscribeResponse_Closing{
		Closing: &wabastreamv1.Closing{Reason: "DRAINING", ReconnectDelay: durationpb.New(delay)},
	}}
}

func unavailable() error { return status.Error(codes.Unavailable, "gone") }

// refusal is an error as a wabastream server makes it.
func refusal(code codes.Code, reason string) error {
	s, err := status.New(code, "words for people").WithDetails(&errdetails.ErrorInfo{
		Domain: "wabastream", Reason: reason, Metadata: map[string]string{"earliest_cursor": "c7"},
	})
	if err != nil {
		return err
	}
	return s.Err()
}

func retryIn(delay time.Duration) error {
	s, err := status.New(codes.Unavailable, "busy").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(delay)})
	if err != nil {
		return err
	}
	return s.Err()
}

// drain ranges to the end and returns the sequences and the last error.
func drain(c *client.Client, request *wabastreamv1.SubscribeRequest, opts ...client.SubscribeOption) ([]uint64, error) {
	return drainContext(context.Background(), c, request, opts...)
}

func drainContext(ctx context.Context, c *client.Client, request *wabastreamv1.SubscribeRequest, opts ...client.SubscribeOption) ([]uint64, error) {
	var sequences []uint64
	var last error
	for event, err := range c.Subscribe(ctx, request, opts...) {
		last = err
		if err == nil {
			sequences = append(sequences, event.GetSequence())
		}
	}
	return sequences, last
}

func untilHead() *wabastreamv1.SubscribeRequest {
	return &wabastreamv1.SubscribeRequest{Stop: &wabastreamv1.SubscribeRequest_StopAtHead{StopAtHead: true}}
}

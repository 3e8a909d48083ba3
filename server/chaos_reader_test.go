package main

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/guarantees"
)

// goal is the sequence that every reader has to come to in the end; zero while it
// is not known.
type goal struct{ sequence atomic.Uint64 }

func (g *goal) known() bool { return g.sequence.Load() > 0 }

// reached reports whether a reader that holds the cursor has nothing left to read.
func (g *goal) reached(cursor string) bool {
	sequence, err := guarantees.SequenceOf(cursor)
	return g.known() && err == nil && sequence >= g.sequence.Load()
}

// reader is one client with a network of its own. It belongs to one goroutine.
type reader struct {
	role
	recorder

	t      *testing.T
	link   *link
	random *rand.Rand
	goal   *goal
	api    wabastreamv1.EventServiceClient

	cursors []string // of frames
	events  []*wabastreamv1.Event
	// earliest is where to go on instead: what the server said when a cursor had
	// expired.
	earliest string
	done     bool
}

func newReader(t *testing.T, role role, l *link, random *rand.Rand, g *goal) *reader {
	t.Helper()
	role.request.HeartbeatInterval = durationpb.New(time.Second)
	role.request.ClientLabel = role.name
	r := &reader{role: role, recorder: recorder{reader: role.name}, t: t, link: l, random: random, goal: g}
	conn, err := grpc.NewClient(l.addr(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStreamInterceptor(r.intercept),
		grpc.WithInitialWindowSize(64<<10), grpc.WithInitialConnWindowSize(64<<10), // so that who does not read is felt
		grpc.WithConnectParams(quickConnect()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	r.api = wabastreamv1.NewEventServiceClient(conn)
	return r
}

// run reads until the reader has come to the goal or the context ends.
func (r *reader) run(ctx context.Context) {
	switch r.through {
	case throughPages:
		r.pages(ctx)
	case throughSDK:
		r.subscribe(ctx)
	default:
		r.streams(ctx)
	}
}

// streams reads stream after stream.
func (r *reader) streams(ctx context.Context) {
	for !r.done && ctx.Err() == nil {
		if received := r.read(ctx, r.next()); !received || r.request.GetStop() != nil {
			pause(ctx, 10*time.Millisecond) // the server is away, or there is little new
		}
	}
}

func (r *reader) next() *wabastreamv1.SubscribeRequest {
	next := proto.CloneOf(r.request)
	switch {
	case r.earliest != "":
		next.Start = after(r.earliest)
	case r.restart != nil:
		r.restart(r, next)
	case len(r.cursors) > 0:
		next.Start = after(r.cursors[len(r.cursors)-1])
	}
	return next
}

// read reads one stream, and reports whether something was received.
func (r *reader) read(parent context.Context, request *wabastreamv1.SubscribeRequest) bool {
	ctx, leave := context.WithCancel(parent)
	defer leave()
	s, err := r.api.Subscribe(ctx, request)
	if err != nil {
		return false
	}
	frames := 0
	for ; r.patience == 0 || frames < r.patience || r.goal.known(); frames++ {
		frame, err := s.Recv()
		if err != nil {
			r.refused(err)
			return frames > 0
		}
		r.earliest = ""
		r.cursors = append(r.cursors, frame.GetCursor())
		r.events = append(r.events, frame.GetBatch().GetEvents()...)
		if r.done = r.goal.reached(frame.GetCursor()); r.done && request.GetStop() == nil {
			return true
		}
		if r.dawdle > 0 && frames%20 == 19 && !r.goal.known() {
			pause(ctx, time.Duration(r.random.Int64N(int64(r.dawdle))))
		}
	}
	return true
}

func (r *reader) refused(err error) {
	if reason, metadata := reasonOf(err); reason == "CURSOR_EXPIRED" {
		r.earliest = metadata["earliest_cursor"]
	}
}

// pages lists instead of subscribing: page after page, waiting at the head.
func (r *reader) pages(ctx context.Context) {
	var record *guarantees.Stream
	cursor := ""
	for !r.done && ctx.Err() == nil {
		if record == nil {
			record = r.begin(" pages")
			record.Joined, record.Request = true, proto.CloneOf(r.request)
			if cursor != "" {
				record.Request.Start = after(cursor)
			}
		}
		asked := time.Now()
		page, err := r.api.ListEvents(ctx, &wabastreamv1.ListEventsRequest{
			Order: wabastreamv1.ListOrder_LIST_ORDER_OLDEST_FIRST, Filters: r.request.GetFilters(),
			AfterCursor: cursor, PageSize: 1 + r.random.Int32N(200), Wait: durationpb.New(200 * time.Millisecond),
		})
		if err != nil {
			record.End = endOf(asked, err)
			record = nil
			if reason, metadata := reasonOf(err); reason == "CURSOR_EXPIRED" {
				cursor = metadata["earliest_cursor"]
			}
			pause(ctx, 10*time.Millisecond)
			continue
		}
		cursor = page.GetCursor()
		record.Frames = append(record.Frames, guarantees.Frame{
			Asked: asked, Received: time.Now(), Kind: guarantees.KindPage,
			Cursor: cursor, Events: guarantees.ReceiptsOf(page.GetEvents()),
		})
		r.done = r.goal.reached(cursor)
	}
}

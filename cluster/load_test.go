package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/guarantees"
	"github.com/wabastream/wabastream/server/internal/translate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// producer posts callbacks as the provider does behind a load balancer: each again,
// to another replica, until it is answered 200, and now and then one that was. It
// belongs to one goroutine.
type producer struct {
	name   string
	random *rand.Rand
	client *http.Client
	posted []guarantees.Callback
}

func (p *producer) run(ctx, enough context.Context, replicas []*process) error {
	defer p.client.CloseIdleConnections()
	for n := 0; enough.Err() == nil; n++ {
		body := p.body(n)
		events, err := translate.Callback("nxcloud", body)
		if err != nil {
			return fmt.Errorf("translate a callback: %w", err)
		}
		c := guarantees.Callback{Name: fmt.Sprint(p.name, "/", n), Answered: true}
		for i := range events {
			c.EventIDs = append(c.EventIDs, eventlog.ID(events[i].ID).String())
		}
		for range 1 + p.random.IntN(5)/4 {
			c.Answered = p.deliver(ctx, replicas, body) && c.Answered
		}
		p.posted = append(p.posted, c)
		pause(enough, time.Duration(p.random.IntN(8))*time.Millisecond)
	}
	return nil
}

func (p *producer) deliver(ctx context.Context, replicas []*process, body []byte) bool {
	for on := p.random.IntN(len(replicas)); ctx.Err() == nil; on = (on + 1) % len(replicas) {
		if p.post(ctx, replicas[on].addrs.HTTP, body) {
			return true
		}
		pause(ctx, 10*time.Millisecond)
	}
	return false
}

func (p *producer) post(ctx context.Context, addr string, body []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/webhooks/nxcloud", bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err == nil && resp.StatusCode == http.StatusOK
}

func (p *producer) body(n int) []byte {
	waba, phone, unique := fmt.Sprint("waba", p.random.IntN(5)), fmt.Sprint("1555010", p.random.IntN(4)), fmt.Sprint(p.name, "-", n)
	switch p.random.IntN(3) {
	case 0:
		return fmt.Appendf(nil, `{"field":"account_update","value":{"event":"ACCOUNT_DELETED","business_phone":%q,"time":1757450905,"wabaId":%q,"n":%q}}`, phone, waba, unique)
	case 1:
		return fmt.Appendf(nil, `{"field":"phone_number_quality_update","value":{"event":"FLAGGED","business_phone":%q,"time":1761103022,"n":%q}}`, phone, unique)
	default:
		return fmt.Appendf(nil, `{"field":"user_preferences","value":{"metadata":{"display_phone_number":%q},"user_preferences":[{"wa_id":%q,"category":"marketing_messages","value":"stop","timestamp":1753407219},{"wa_id":%q,"category":"marketing_messages","value":"resume","timestamp":1753407219}]}}`, phone, unique, unique)
	}
}

// subscriber reads one stream after another, each after the last cursor of the one
// before and most on another replica. It belongs to one goroutine.
type subscriber struct {
	name    string
	request *wabastreamv1.SubscribeRequest
	// patience is after how many frames it hops; zero is never.
	patience int
	random   *rand.Rand
	goal     *atomic.Uint64 // the sequence to come to in the end; zero is not known
	apis     []wabastreamv1.EventServiceClient
	records  []*guarantees.Stream
	cursor   string
}

func newSubscriber(t *testing.T, name string, patience int, seed uint64, goal *atomic.Uint64, replicas []*process, filters ...*wabastreamv1.EventFilter) *subscriber {
	t.Helper()
	s := &subscriber{name: name, patience: patience, goal: goal, random: rand.New(rand.NewPCG(seed, 5)), request: &wabastreamv1.SubscribeRequest{
		Start:             &wabastreamv1.SubscribeRequest_Position{Position: wabastreamv1.StartPosition_START_POSITION_EARLIEST},
		HeartbeatInterval: durationpb.New(time.Second), ClientLabel: name, Filters: filters,
	}}
	for _, r := range replicas {
		conn, err := grpc.NewClient(r.addrs.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond}, MinConnectTimeout: time.Second,
		}))
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		s.apis = append(s.apis, wabastreamv1.NewEventServiceClient(conn))
	}
	return s
}

func (s *subscriber) done() bool {
	at, err := guarantees.SequenceOf(s.cursor)
	goal := s.goal.Load()
	return goal > 0 && err == nil && at >= goal
}

func (s *subscriber) run(ctx context.Context) error {
	for !s.done() && ctx.Err() == nil {
		if !s.read(ctx) {
			pause(ctx, 20*time.Millisecond) // that replica is away
		}
	}
	return ctx.Err()
}

func (s *subscriber) read(parent context.Context) (received bool) {
	ctx, leave := context.WithCancel(parent)
	defer leave()
	request := proto.CloneOf(s.request)
	if s.cursor != "" {
		request.Start = &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: s.cursor}
	}
	stream, err := s.apis[s.random.IntN(len(s.apis))].Subscribe(ctx, request)
	if err != nil {
		return false
	}
	record := &guarantees.Stream{Name: fmt.Sprint(s.name, "/", len(s.records)), Request: request}
	s.records = append(s.records, record)
	for n := 0; !s.done() && (s.patience == 0 || n < s.patience); n++ {
		asked := time.Now()
		frame, err := stream.Recv()
		if err != nil {
			record.End = guarantees.End{Asked: asked, At: time.Now(), OK: errors.Is(err, io.EOF), Reason: reasonOf(err)}
			return n > 0
		}
		record.Frames = append(record.Frames, guarantees.FrameOf(asked, time.Now(), frame))
		s.cursor = frame.GetCursor()
	}
	return true
}

func reasonOf(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == "wabastream" {
			return info.GetReason()
		}
	}
	return ""
}

// everything reads all events up to the head of a replica.
func everything(t *testing.T, addr string) []*wabastreamv1.Event {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	stream, err := wabastreamv1.NewEventServiceClient(conn).Subscribe(t.Context(), &wabastreamv1.SubscribeRequest{
		Start:          &wabastreamv1.SubscribeRequest_Position{Position: wabastreamv1.StartPosition_START_POSITION_EARLIEST},
		Stop:           &wabastreamv1.SubscribeRequest_StopAtHead{StopAtHead: true},
		IncludeRawJson: true,
	}, grpc.WaitForReady(true))
	require.NoError(t, err)
	var all []*wabastreamv1.Event
	for {
		frame, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		all = append(all, frame.GetBatch().GetEvents()...)
	}
}

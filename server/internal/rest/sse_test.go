package rest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// frames are a stream's, each under its cursor.
func frames() []*wabastreamv1.SubscribeResponse {
	return []*wabastreamv1.SubscribeResponse{
		{Cursor: "c0", Frame: &wabastreamv1.SubscribeResponse_Ready{Ready: &wabastreamv1.Ready{LogId: "log"}}},
		{Cursor: "c2", Frame: &wabastreamv1.SubscribeResponse_Batch{Batch: &wabastreamv1.Batch{Events: []*wabastreamv1.Event{
			{Id: "1", Cursor: "c1", Type: "a\r\nb"}, {Id: "2", Cursor: "c2"},
		}}}},
		{Cursor: "c3", Frame: &wabastreamv1.SubscribeResponse_CaughtUp{CaughtUp: &wabastreamv1.CaughtUp{}}},
		{Cursor: "c4", Frame: &wabastreamv1.SubscribeResponse_Progress{Progress: &wabastreamv1.Progress{}}},
		{Cursor: "c5", Frame: &wabastreamv1.SubscribeResponse_FellBehind{FellBehind: &wabastreamv1.FellBehind{}}},
		{Cursor: "c6", Frame: &wabastreamv1.SubscribeResponse_Gap{Gap: &wabastreamv1.Gap{FromCursor: "c5"}}},
		{Cursor: "c7", Frame: &wabastreamv1.SubscribeResponse_Closing{Closing: &wabastreamv1.Closing{Reason: "DRAINING", ReconnectDelay: durationpb.New(time.Hour)}}},
	}
}

const wantFrames = `retry: N

event: ready
id: c0
data: {"logId":"log"}

id: c1
data: {"id":"1","cursor":"c1","type":"a\r\nb"}

id: c2
data: {"id":"2","cursor":"c2"}

event: caught_up
id: c3
data: {}

: heartbeat
id: c4

event: fell_behind
id: c5
data: {}

event: gap
id: c6
data: {"fromCursor":"c5"}

retry: N

event: closing
id: c7
data: {"reason":"DRAINING","reconnectDelay":"3600s"}

event: error
data: {"code":14,"message":"bye","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"DRAINING","domain":"wabastream"}]}

`

// Every event is a message under its own cursor, everything else has a name.
func TestServerSentEvents(t *testing.T) {
	t.Parallel()
	r := newRig(t, scripted{subscribe: func(_ *wabastreamv1.SubscribeRequest, stream grpc.ServerStreamingServer[wabastreamv1.SubscribeResponse]) error {
		for _, f := range frames() {
			require.NoError(t, stream.Send(f))
		}
		return reasoned(codes.Unavailable, "DRAINING", "bye").Err()
	}})
	got := r.do(t, http.MethodGet, "/v1/events:sse", "")
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "text/event-stream", got.header.Get("Content-Type"))
	require.Equal(t, "no-store", got.header.Get("Cache-Control"))
	require.Equal(t, "no", got.header.Get("X-Accel-Buffering"))
	text := regexp.MustCompile(`retry: \d{4,7}`).ReplaceAllString(got.body, "retry: N")
	require.Equal(t, wantFrames, compact(t, text))
}

// compact takes out the spaces that protojson adds at random.
func compact(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	for line := range strings.Lines(text) {
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			out.WriteString(line)
			continue
		}
		out.WriteString("data: ")
		require.NoError(t, json.Compact(&out, []byte(data)))
		out.WriteByte('\n')
	}
	return out.String()
}

// A bounded stream ends without an error.
func TestServerSentEventsThatEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, scripted{subscribe: func(_ *wabastreamv1.SubscribeRequest, stream grpc.ServerStreamingServer[wabastreamv1.SubscribeResponse]) error {
		return stream.Send(frames()[0])
	}})
	got := r.do(t, http.MethodGet, "/v1/events:sse", "")
	require.Contains(t, got.body, "event: ready")
	require.NotContains(t, got.body, "event: error")
}

// What a stream does not begin for has a status, but for a browser that is to come
// again: any status would end it for good.
func TestServerSentEventsThatDoNotBegin(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		accept string
		status int
	}{
		"mistake":             {reasoned(codes.InvalidArgument, "CURSOR_MALFORMED", "x").Err(), "text/event-stream", 400},
		"not allowed":         {reasoned(codes.PermissionDenied, "WABA_NOT_ALLOWED", "x").Err(), "text/event-stream", 403},
		"on its way out":      {reasoned(codes.Unavailable, "DRAINING", "x").Err(), "*/*", 503},
		"and for EventSource": {reasoned(codes.Unavailable, "DRAINING", "x").Err(), "text/event-stream", 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, scripted{subscribe: func(*wabastreamv1.SubscribeRequest, grpc.ServerStreamingServer[wabastreamv1.SubscribeResponse]) error {
				return c.err
			}})
			got := r.do(t, http.MethodGet, "/v1/events:sse", "", "Accept", c.accept)
			if c.status != http.StatusOK {
				got.requireStatus(t, c.status, reasonOf(status.Convert(c.err)))
				return
			}
			require.Equal(t, c.status, got.status)
			require.Regexp(t, `(?s)^retry: \d{4}\n\nevent: error\ndata: .*DRAINING.*\n\n$`, got.body)
		})
	}
}

func TestQueriesOfServerSentEvents(t *testing.T) {
	t.Parallel()
	after := func(cursor string) *wabastreamv1.SubscribeRequest {
		return &wabastreamv1.SubscribeRequest{Start: &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: cursor}}
	}
	from := func(p wabastreamv1.StartPosition) *wabastreamv1.SubscribeRequest {
		return &wabastreamv1.SubscribeRequest{Start: &wabastreamv1.SubscribeRequest_Position{Position: p}}
	}
	for name, c := range map[string]struct {
		query  string
		header []string
		want   *wabastreamv1.SubscribeRequest // nil if it is refused
	}{
		"nothing":             {"", nil, &wabastreamv1.SubscribeRequest{}},
		"filter":              {"waba_id=1&type=a.b&waba_id=2", nil, &wabastreamv1.SubscribeRequest{Filters: []*wabastreamv1.EventFilter{{WabaIds: []string{"1", "2"}, Types: []string{"a.b"}}}}},
		"earliest":            {"from=earliest", nil, from(wabastreamv1.StartPosition_START_POSITION_EARLIEST)},
		"latest":              {"from=latest", nil, from(wabastreamv1.StartPosition_START_POSITION_LATEST)},
		"cursor":              {"after_cursor=c1", nil, after("c1")},
		"resumed":             {"after_cursor=c1", []string{"Last-Event-ID", "c2"}, after("c2")},
		"resumed, from":       {"from=earliest", []string{"Last-Event-ID", "c2"}, after("c2")},
		"lost cursor":         {"after_cursor=", nil, after("")}, // which the stream refuses
		"lost id":             {"", []string{"Last-Event-ID", ""}, after("")},
		"two ids":             {"", []string{"Last-Event-ID", "c1", "Last-Event-ID", "c2"}, nil},
		"two cursors":         {"after_cursor=c1&after_cursor=c2", nil, nil},
		"cursor and from":     {"after_cursor=c1&from=latest", nil, nil},
		"from somewhere":      {"from=here", nil, nil},
		"from nowhere":        {"from=", nil, nil},
		"unknown":             {"afterCursor=c1", nil, nil},
		"token":               {"token=wst_x", nil, nil},
		"not UTF-8":           {"waba_id=%ff", nil, nil},
		"not to be read":      {"after_cursor=%", nil, nil},
		"semicolon":           {"waba_id=1;after_cursor=c1", nil, nil},
		"unknown, not a name": {"%ff=1", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := make(chan *wabastreamv1.SubscribeRequest, 1)
			r := newRig(t, scripted{subscribe: func(req *wabastreamv1.SubscribeRequest, stream grpc.ServerStreamingServer[wabastreamv1.SubscribeResponse]) error {
				asked <- req
				return stream.Send(frames()[0])
			}})
			got := r.do(t, http.MethodGet, "/v1/events:sse?"+c.query, "", c.header...)
			if c.want == nil {
				got.requireStatus(t, http.StatusBadRequest, "REQUEST_INVALID")
				require.NotContains(t, got.body, "wst_x")
				return
			}
			require.Equal(t, http.StatusOK, got.status, got.body)
			c.want.ClientLabel = sseLabel
			c.want.ExpiredCursorPolicy = wabastreamv1.ExpiredCursorPolicy_EXPIRED_CURSOR_POLICY_CONTINUE_WITH_GAP
			require.Empty(t, cmp.Diff(c.want, <-asked, protocmp.Transform()))
		})
	}
}

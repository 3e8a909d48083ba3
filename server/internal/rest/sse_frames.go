package rest

import (
	"math/rand/v2"
	"strconv"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// The names of what is no event. "error" is also what an EventSource calls a lost
// connection; only this one has data.
const (
	sseReady      = "ready"
	sseCaughtUp   = "caught_up"
	sseFellBehind = "fell_behind"
	sseGap        = "gap"
	sseClosing    = "closing"
	sseError      = "error"
	// sseMessage is the name that an EventSource has for what has none.
	sseMessage = ""
)

// minRetry and maxRetry bound after which time a browser comes again that lost its
// connection: not all of them at once, and not ever faster as long as nobody is there,
// because a browser that is given a time keeps to it.
const (
	minRetry = time.Second
	maxRetry = 3 * time.Second
)

func someRetry() time.Duration {
	return minRetry + rand.N(maxRetry-minRetry) //nolint:gosec // no secret
}

// frame adds what a frame tells, under the cursor that resumes after it.
func (s *sseWriter) frame(response *wabastreamv1.SubscribeResponse) {
	cursor := response.GetCursor()
	switch f := response.GetFrame().(type) {
	case *wabastreamv1.SubscribeResponse_Batch:
		for _, event := range f.Batch.GetEvents() {
			s.message(sseMessage, event.GetCursor(), event)
		}
	case *wabastreamv1.SubscribeResponse_Progress:
		// A comment is nothing to a page, but the id is what it resumes after.
		s.buffer.WriteString(": heartbeat\n")
		s.field("id", cursor)
		s.buffer.WriteByte('\n')
	case *wabastreamv1.SubscribeResponse_Ready:
		s.message(sseReady, cursor, f.Ready)
	case *wabastreamv1.SubscribeResponse_CaughtUp:
		s.message(sseCaughtUp, cursor, f.CaughtUp)
	case *wabastreamv1.SubscribeResponse_FellBehind:
		s.message(sseFellBehind, cursor, f.FellBehind)
	case *wabastreamv1.SubscribeResponse_Gap:
		s.message(sseGap, cursor, f.Gap)
	case *wabastreamv1.SubscribeResponse_Closing:
		s.retry(f.Closing.GetReconnectDelay().AsDuration() + someRetry())
		s.message(sseClosing, cursor, f.Closing)
	}
}

// error adds why the stream ends. It has no id: what was received stays received.
func (s *sseWriter) error(st *status.Status) {
	s.message(sseError, "", st.Proto())
}

// retry tells a browser when to come again after a lost connection.
func (s *sseWriter) retry(after time.Duration) {
	s.field("retry", strconv.FormatInt(after.Milliseconds(), 10))
	s.buffer.WriteByte('\n')
}

func (s *sseWriter) message(name, id string, data proto.Message) {
	if name != "" {
		s.field("event", name)
	}
	if id != "" {
		s.field("id", id)
	}
	text, err := protojson.Marshal(data)
	if err != nil { // everything in the log marshals
		text = []byte("{}")
	}
	s.field("data", string(text)) // of one line: protojson escapes line breaks
	s.buffer.WriteByte('\n')
}

func (s *sseWriter) field(name, value string) {
	s.buffer.WriteString(name)
	s.buffer.WriteString(": ")
	s.buffer.WriteString(value)
	s.buffer.WriteByte('\n')
}

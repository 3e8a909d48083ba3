package guarantees

import (
	"fmt"
	"hash/fnv"
	"time"

	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// History is what was recorded of one log. All times are by one clock, that of
// the server.
type History struct {
	// Log is every event that the log ever held and did not lose: what it holds at
	// the end, and what was removed from it on purpose, in any order.
	Log []*wabastreamv1.Event
	// Trims is what was removed on purpose, in any order.
	Trims []Trim
	// Streams is what clients received, in any order.
	Streams []Stream
	// Callbacks is what producers posted, in any order.
	Callbacks []Callback
	// Pauses are times in which the machine itself stood still.
	Pauses []Span
	// Tolerance is how late a frame may be, beyond its interval, for what the
	// machine does besides.
	Tolerance time.Duration
}

// Trim says that the events of a type were removed, up to a sequence.
type Trim struct {
	// Path is a type path as of EventFilter.types; empty stands for every type.
	Path string
	// UpTo is inclusive.
	UpTo uint64
}

// Span is a stretch of time.
type Span struct{ From, To time.Time }

// Callback is one body that a producer posted, again and again if need be.
type Callback struct {
	// Name tells it from others.
	Name string
	// EventIDs are the ids of the events that it makes, in order; at least one.
	EventIDs []string
	// Answered says that it was answered 200.
	Answered bool
}

// Stream is what one client received of one call. The pages of a listing, or what
// an SDK shows of a row of streams, are recorded as one as well: see Joined.
type Stream struct {
	// Name tells it from others, best with the reader's name and its number.
	Name string
	// Request is what was asked for. That of a listing is what would have asked for
	// the same as a stream.
	Request *wabastreamv1.SubscribeRequest
	// Joined says that this was put together from several calls: its frames are
	// at nobody's pace, and some may be ready frames again.
	Joined bool
	// Frames were received, in this order.
	Frames []Frame
	// End is how it ended.
	End End
	// Stalls are times in which the network between the two held everything back.
	Stalls []Span
}

// Kind says what a frame tells.
type Kind string

// The kinds of frames, and of pages, which no stream has.
const (
	KindReady      Kind = "ready"
	KindBatch      Kind = "batch"
	KindProgress   Kind = "progress"
	KindCaughtUp   Kind = "caught_up"
	KindFellBehind Kind = "fell_behind"
	KindGap        Kind = "gap"
	KindClosing    Kind = "closing"
	KindPage       Kind = "page"
)

// Frame is one frame as it was received.
type Frame struct {
	// Asked is when the client began to wait for it, Received when it had it.
	Asked, Received time.Time
	// Kind says which of the fields below are set.
	Kind Kind
	// Cursor is that of the frame.
	Cursor string
	// Events are those of a batch or page.
	Events []Receipt
	// Ready and Gap are the frames of these kinds.
	Ready *wabastreamv1.Ready
	Gap   *wabastreamv1.Gap
}

// FrameOf records a frame.
func FrameOf(asked, received time.Time, response *wabastreamv1.SubscribeResponse) Frame {
	f := Frame{Asked: asked, Received: received, Cursor: response.GetCursor()}
	switch content := response.GetFrame().(type) {
	case *wabastreamv1.SubscribeResponse_Ready:
		f.Kind, f.Ready = KindReady, content.Ready
	case *wabastreamv1.SubscribeResponse_Batch:
		f.Kind, f.Events = KindBatch, ReceiptsOf(content.Batch.GetEvents())
	case *wabastreamv1.SubscribeResponse_Progress:
		f.Kind = KindProgress
	case *wabastreamv1.SubscribeResponse_CaughtUp:
		f.Kind = KindCaughtUp
	case *wabastreamv1.SubscribeResponse_FellBehind:
		f.Kind = KindFellBehind
	case *wabastreamv1.SubscribeResponse_Gap:
		f.Kind, f.Gap = KindGap, content.Gap
	case *wabastreamv1.SubscribeResponse_Closing:
		f.Kind = KindClosing
	}
	return f
}

// End is how a stream ended.
type End struct {
	// Asked is when the client began to wait for what turned out to be the end, At
	// when it had it.
	Asked, At time.Time
	// OK says that it ended without an error: its stop was reached.
	OK bool
	// Reason is the one that the server gave with its error; empty when the stream
	// was cut off, or left by the client.
	Reason string
}

// Receipt is what is kept of an event that was received.
type Receipt struct {
	Sequence   uint64
	ID, Cursor string

	// What filters go by.
	Type, WABA, Phone string
	Severity          wabastreamv1.Severity
	ReceiveTime       time.Time
	// Raw says that it came with its raw JSON.
	Raw bool
	// Digest is of everything in it but its cursor and the raw JSON.
	Digest uint64
}

// ReceiptsOf records events in their order.
func ReceiptsOf(events []*wabastreamv1.Event) []Receipt {
	receipts := make([]Receipt, len(events))
	for i, e := range events {
		receipts[i] = ReceiptOf(e)
	}
	return receipts
}

// ReceiptOf records an event.
func ReceiptOf(e *wabastreamv1.Event) Receipt {
	return Receipt{
		Sequence: e.GetSequence(), ID: e.GetId(), Cursor: e.GetCursor(),
		Type: e.GetType(), WABA: e.GetWabaId(), Phone: e.GetBusinessPhone(), Severity: e.GetSeverity(),
		ReceiveTime: e.GetReceiveTime().AsTime(),
		Raw:         e.GetRawJson() != "",
		Digest:      digestOf(e),
	}
}

// digestOf leaves out what depends on who reads: the raw JSON, and the cursor,
// which also says how its stream began.
func digestOf(e *wabastreamv1.Event) uint64 {
	cursor, raw := e.GetCursor(), e.GetRawJson()
	bare := proto.CloneOf(e)
	bare.Cursor, bare.RawJson = "", ""
	hash := fnv.New64a()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(bare)
	if err != nil {
		// It cannot have been received. Deliverable tells of one in the log.
		fmt.Fprint(hash, cursor, raw, err)
	}
	_, _ = hash.Write(b) // never returns an error
	return hash.Sum64()
}

func (r *Receipt) String() string {
	waba := "no WABA"
	if r.WABA != "" {
		waba = "WABA " + r.WABA
	}
	return fmt.Sprintf("event %d (%s, %s, id %s)", r.Sequence, r.Type, waba, r.ID)
}

func (s *Stream) String() string { return fmt.Sprintf("stream %q", s.Name) }

// at names the frame with the index.
func (s *Stream) at(i int) string {
	return fmt.Sprintf("stream %q, frame %d (%s)", s.Name, i, s.Frames[i].Kind)
}

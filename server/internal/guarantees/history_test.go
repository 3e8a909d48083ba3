package guarantees

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

const (
	deleted  = "account_update.account_deleted"
	messages = "messages.text"
)

// second is so many seconds after the beginning of the recording.
func second(s float64) time.Time {
	return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC).Add(time.Duration(s * float64(time.Second)))
}

func cursorAt(sequence uint64) string { return makeCursor(0x70, sequence, uint32(sequence)*7) }

func heldAt(sequence uint64) string { return makeCursor(0x71, sequence, uint32(sequence)*7) }

func makeCursor(kind byte, sequence uint64, fingerprint uint32) string {
	b := make([]byte, cursorBytes)
	b[0] = kind
	copy(b[1:9], "thelogid")
	binary.BigEndian.PutUint64(b[9:], sequence)
	binary.BigEndian.PutUint32(b[17:], fingerprint)
	return base64.RawURLEncoding.EncodeToString(b)
}

// event is the one with the sequence: deletions of WABA w1 and messages of w2 in
// turn, stored one a second.
func event(sequence uint64) *wabastreamv1.Event {
	e := &wabastreamv1.Event{
		Id: fmt.Sprintf("%032d", sequence), Cursor: cursorAt(sequence), Sequence: sequence,
		Type: deleted, Severity: wabastreamv1.Severity_SEVERITY_CRITICAL, WabaId: "w1", BusinessPhone: "15550100",
		Provider: wabastreamv1.Provider_PROVIDER_NXCLOUD, Source: "nxcloud",
		ReceiveTime: timestamppb.New(second(float64(sequence))),
		Payload:     &wabastreamv1.Event_Unrecognized{Unrecognized: &wabastreamv1.Unrecognized{Json: "{}"}},
	}
	if sequence%2 == 0 {
		e.Type, e.Severity, e.WabaId, e.BusinessPhone = messages, wabastreamv1.Severity_SEVERITY_INFO, "w2", ""
	}
	return e
}

func batch(at float64, cursor string, sequences ...uint64) Frame {
	events := make([]*wabastreamv1.Event, len(sequences))
	for i, s := range sequences {
		events[i] = event(s)
	}
	return frame(at, cursor, &wabastreamv1.SubscribeResponse{
		Frame: &wabastreamv1.SubscribeResponse_Batch{Batch: &wabastreamv1.Batch{Events: events}},
	})
}

func ready(at float64, cursor string, resumed bool) Frame {
	return frame(at, cursor, &wabastreamv1.SubscribeResponse{Frame: &wabastreamv1.SubscribeResponse_Ready{
		Ready: &wabastreamv1.Ready{HeadCursor: cursorAt(6), Resumed: resumed, HeartbeatInterval: durationpb.New(time.Second)},
	}})
}

func progress(at float64, sequence uint64) Frame {
	return frame(at, cursorAt(sequence), &wabastreamv1.SubscribeResponse{Frame: &wabastreamv1.SubscribeResponse_Progress{}})
}

func caughtUp(at float64, sequence uint64) Frame {
	return frame(at, cursorAt(sequence), &wabastreamv1.SubscribeResponse{Frame: &wabastreamv1.SubscribeResponse_CaughtUp{}})
}

func gap(at float64, cursor string, from, to uint64, types ...string) Frame {
	return frame(at, cursor, &wabastreamv1.SubscribeResponse{Frame: &wabastreamv1.SubscribeResponse_Gap{
		Gap: &wabastreamv1.Gap{FromCursor: cursorAt(from), ToCursor: cursorAt(to), Types: types},
	}})
}

// frame is received at the second and was waited for half of one.
func frame(at float64, cursor string, response *wabastreamv1.SubscribeResponse) Frame {
	response.Cursor = cursor
	return FrameOf(second(at-0.5), second(at), response)
}

func left(at float64) End { return End{Asked: second(at - 0.5), At: second(at)} }

func refused(at float64, reason string) End {
	return End{Asked: second(at - 0.5), At: second(at), Reason: reason}
}

func after(cursor string) *wabastreamv1.SubscribeRequest {
	return &wabastreamv1.SubscribeRequest{Start: &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: cursor}}
}

func fromEarliest() *wabastreamv1.SubscribeRequest {
	return &wabastreamv1.SubscribeRequest{Start: &wabastreamv1.SubscribeRequest_Position{
		Position: wabastreamv1.StartPosition_START_POSITION_EARLIEST,
	}}
}

func under(req *wabastreamv1.SubscribeRequest, filters ...*wabastreamv1.EventFilter) *wabastreamv1.SubscribeRequest {
	req.Filters = filters
	return req
}

// The streams of the good history.
const (
	early   = iota // before anything was removed, from the start of the log
	held           // from the earliest when some of it was gone
	narrow         // one WABA, after the last frame of held, and on
	gapped         // after the first event, over everything that is gone
	expired        // the same without a wish for gaps
	bounded        // the deletions, to the head
	listing        // pages
)

// good is a history in which every guarantee held. Events 1 and 2 were removed,
// then messages up to 4.
func good() *History {
	h := &History{
		Trims:     []Trim{{UpTo: 2}, {Path: "messages", UpTo: 4}},
		Tolerance: 500 * time.Millisecond,
		Callbacks: []Callback{
			{Name: "both", EventIDs: []string{event(5).GetId(), event(6).GetId()}, Answered: true},
			{Name: "one", EventIDs: []string{event(7).GetId()}, Answered: true},
			{Name: "lost", EventIDs: []string{"never", "neither"}},
		},
	}
	for sequence := range uint64(8) {
		h.Log = append(h.Log, event(sequence+1))
	}
	h.Streams = []Stream{
		early: {Name: "early", Request: fromEarliest(), End: refused(3, "DRAINING"), Frames: []Frame{
			ready(1, makeCursor(0x70, 0, 0), false), batch(2, cursorAt(2), 1, 2),
		}},
		held: {Name: "held", Request: fromEarliest(), End: left(7), Frames: []Frame{
			ready(4, heldAt(2), false), batch(5, cursorAt(4), 3), batch(6.1, cursorAt(6), 5, 6), caughtUp(6.2, 6),
		}},
		narrow: {
			Name: "narrow", Request: under(after(cursorAt(6)), &wabastreamv1.EventFilter{WabaIds: []string{"w1"}}), End: left(11),
			Frames: []Frame{ready(6.5, cursorAt(6), true), caughtUp(6.6, 6), batch(7.1, cursorAt(7), 7), progress(8.1, 8), progress(9.1, 8)},
		},
		gapped: {Name: "gapped", Request: after(cursorAt(1)), End: left(7), Frames: []Frame{
			ready(5, cursorAt(1), false), gap(5.1, cursorAt(2), 1, 2), gap(5.2, cursorAt(2), 2, 4, "messages"),
			batch(5.3, cursorAt(5), 3, 5), batch(6.1, cursorAt(6), 6),
		}},
		expired: {Name: "expired", Request: after(cursorAt(1)), End: refused(5, "CURSOR_EXPIRED")},
		bounded: {
			Name: "bounded", Request: under(fromEarliest(), &wabastreamv1.EventFilter{Types: []string{"account_update"}}), End: left(7),
			Frames: []Frame{ready(6.2, cursorAt(2), false), batch(6.3, cursorAt(5), 3, 5), caughtUp(6.4, 6)},
		},
		listing: {Name: "listing", Request: fromEarliest(), Joined: true, End: left(9), Frames: []Frame{
			{Kind: KindPage, Cursor: cursorAt(5), Events: receipts(3, 5)}, {Kind: KindPage, Cursor: cursorAt(8), Events: receipts(6, 7, 8)},
		}},
	}
	h.Streams[bounded].Request.Stop = &wabastreamv1.SubscribeRequest_StopAtHead{StopAtHead: true}
	h.Streams[bounded].End.OK = true
	return h
}

func receipts(sequences ...uint64) []Receipt {
	return batch(0, "", sequences...).Events
}

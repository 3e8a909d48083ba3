package guarantees

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// breaks are histories in which something went wrong, and what is said of them.
func breaks() []struct {
	guarantee, name string
	spoil           func(*History)
	want            string
} {
	return []struct {
		guarantee, name string
		spoil           func(*History)
		want            string
	}{
		{"ordered", "events swapped", func(h *History) {
			slices.Reverse(h.Streams[gapped].Frames[3].Events)
		}, `stream "gapped", frame 3 (batch): event 3 (account_update.account_deleted, WABA w1, id 00000000000000000000000000000003) came after an event at 5`},
		{"ordered", "event before the cursor", func(h *History) {
			h.Streams[held].Frames[2] = batch(6.1, cursorAt(6), 4, 5, 6)
		}, `frame 2 (batch): event 4 (messages.text, WABA w2, id 00000000000000000000000000000004) came after a frame's cursor at 4`},
		{"ordered", "event before the start", func(h *History) {
			h.Streams[listing].Request = after(cursorAt(3))
		}, `frame 0 (page): event 3 (account_update.account_deleted, WABA w1, id 00000000000000000000000000000003) came after the start at 3`},
		{"ordered", "cursor goes back", func(h *History) {
			h.Streams[narrow].Frames[4].Cursor = cursorAt(7)
		}, `frame 4 (progress): its cursor stands at 7, and a frame's cursor before it at 8`},
		{"ordered", "cursor before its own events", func(h *History) {
			h.Streams[held].Frames[2].Cursor = cursorAt(5)
		}, `frame 2 (batch): its cursor stands at 5, and an event before it at 6`},
		{"ordered", "no cursor", func(h *History) {
			h.Streams[held].Frames[2].Cursor = ""
		}, `frame 2 (batch): its cursor "" is not a cursor`},
		{"ordered", "event with another's cursor", func(h *History) {
			h.Streams[held].Frames[2].Events[0].Cursor = cursorAt(6)
		}, `event 5 (account_update.account_deleted, WABA w1, id 00000000000000000000000000000005) has a cursor that does not stand there`},
		{"ordered", "stamps go back", func(h *History) {
			h.Log[4].ReceiveTime = timestamppb.New(second(1))
		}, `the log: event 5 (account_update.account_deleted, WABA w1, id 00000000000000000000000000000005) is stamped 2026-03-04 05:06:08`},

		{"unique", "event again on a stream", func(h *History) {
			h.Streams[held].Frames = append(h.Streams[held].Frames, batch(6.3, cursorAt(6), 5))
		}, `stream "held", frame 4 (batch): event 5 (account_update.account_deleted, WABA w1, id 00000000000000000000000000000005) is there a second time`},
		{"unique", "content again on a stream", func(h *History) {
			h.Streams[held].Frames[2].Events[1].ID = event(5).GetId()
		}, `frame 2 (batch): event 6 (messages.text, WABA w2, id 00000000000000000000000000000005) is there a second time, first at 5`},
		{"unique", "content again in the log", func(h *History) {
			h.Log[7].Id = event(5).GetId()
		}, `the log: event 8 (messages.text, WABA w2, id 00000000000000000000000000000005) is there a second time, first at 5`},

		{"complete", "event passed over", func(h *History) {
			h.Streams[held].Frames[2] = batch(6.1, cursorAt(6), 6)
		}, `stream "held", frame 2 (batch): event 5 (account_update.account_deleted, WABA w1, id 00000000000000000000000000000005) matches and was passed over: it was never removed`},
		{"complete", "progress passes over an event", func(h *History) {
			h.Streams[narrow].Frames[2] = progress(7.1, 7)
		}, `stream "narrow", frame 2 (progress): event 7 (account_update.account_deleted, WABA w1, id 00000000000000000000000000000007) matches and was passed over`},
		{"complete", "first page passes over an event", func(h *History) {
			h.Streams[listing].Frames[0].Events = receipts(5)
		}, `stream "listing", frame 0 (page): event 3`},
		{"complete", "silent about a removal", func(h *History) {
			h.Streams[gapped].Frames = slices.Delete(h.Streams[gapped].Frames, 2, 3)
		}, `stream "gapped", frame 2 (batch): event 4 (messages.text, WABA w2, id 00000000000000000000000000000004) matches and was passed over: it was removed, and no gap has told of it`},
		{"complete", "told too late", func(h *History) {
			f := h.Streams[gapped].Frames
			f[2], f[3] = f[3], f[2]
		}, `event 4 (messages.text, WABA w2, id 00000000000000000000000000000004) matches and was passed over: it was removed, and no gap has told of it`},
		{"complete", "told of another type", func(h *History) {
			h.Streams[gapped].Frames[2].Gap.Types = []string{"calls"}
		}, `frame 2 (gap): it tells that events after 2 are gone, types ["calls"], and none was removed`},
		{"complete", "gap over what is held", func(h *History) {
			h.Streams[gapped].Frames[1] = gap(5.1, cursorAt(3), 1, 3)
			h.Streams[gapped].Frames[3] = batch(5.3, cursorAt(5), 5)
		}, `frame 1 (gap): event 3 (account_update.account_deleted, WABA w1, id 00000000000000000000000000000003) matches and was passed over: it was never removed`},
		{"complete", "gap of nothing", func(h *History) {
			h.Streams[gapped].Frames[1].Gap.ToCursor = cursorAt(1)
		}, `frame 1 (gap): it tells of nothing, from 1 to 1`},
		{"complete", "held cursor passes over what is held", func(h *History) {
			h.Streams[held].Frames[1] = progress(5, 4)
		}, `stream "held", frame 1 (progress): event 3`},
		{"complete", "begins too late", func(h *History) {
			h.Streams[bounded].Frames[0].Cursor = cursorAt(3)
			h.Streams[bounded].Frames[1] = batch(6.3, cursorAt(5), 5)
		}, `stream "bounded", frame 0 (ready): it begins after 3, and event 3 (account_update.account_deleted, WABA w1, id 00000000000000000000000000000003) before was never removed`},
		{"complete", "begins after the start time", func(h *History) {
			s := &h.Streams[held]
			s.Request.Start = &wabastreamv1.SubscribeRequest_StartTime{StartTime: timestamppb.New(second(5))}
			s.Frames[0].Cursor = heldAt(5)
			s.Frames = s.Frames[:1]
		}, `stream "held", frame 0 (ready): it begins after 5, and event 5`},
		{"complete", "latest is not the latest", func(h *History) {
			h.Streams[held].Request = &wabastreamv1.SubscribeRequest{}
		}, `stream "held", frame 0 (ready): it was to begin at the head, 6, and stands at 2`},
		{"complete", "begins without ready", func(h *History) {
			h.Streams[held].Frames = h.Streams[held].Frames[1:]
		}, `stream "held", frame 0 (batch): the first frame is not ready`},
		{"complete", "ends before its stop", func(h *History) {
			h.Streams[bounded].Frames = h.Streams[bounded].Frames[:2]
		}, `stream "bounded": it ended as if at its stop 6, and had come to 5`},
		{"complete", "ends without a stop", func(h *History) {
			h.Streams[held].End.OK = true
		}, `stream "held": it ended as if at its stop, and had none`},
		{"complete", "expired for nothing", func(h *History) {
			h.Streams[narrow].End.Reason = "CURSOR_EXPIRED"
		}, `stream "narrow": it ended with CURSOR_EXPIRED at 8, and nothing after that which it may ask for was removed`},
		{"complete", "ends with a fault", func(h *History) {
			h.Streams[narrow].End.Reason = "LOG_CORRUPT"
		}, `stream "narrow": it ended with LOG_CORRUPT`},

		{"resumable", "goes on elsewhere", func(h *History) {
			h.Streams[narrow].Frames[0].Cursor = cursorAt(7)
		}, `stream "narrow", frame 0 (ready): it was to go on after 6 and stands at 7`},
		{"resumable", "goes on with the next but one", func(h *History) {
			h.Streams[narrow].Frames[2] = progress(7.1, 7)
		}, `stream "narrow", frame 2 (progress): after 6 the next that matches is event 7`},
		{"resumable", "goes on in the middle of a frame", func(h *History) {
			h.Streams[gapped].Request = after(cursorAt(3))
			h.Streams[gapped].Frames = []Frame{ready(5, cursorAt(3), true), batch(6.1, cursorAt(6), 6)}
		}, `stream "gapped", frame 1 (batch): after 3 the next that matches is event 4 (messages.text, WABA w2, id 00000000000000000000000000000004), and it did not come: it was removed, and no gap has told of it`},
		{"resumable", "refused", func(h *History) {
			h.Streams[expired].Request, h.Streams[expired].End.Reason = after(cursorAt(6)), "CURSOR_AHEAD_OF_LOG"
		}, `stream "expired": going on after 6 was refused with CURSOR_AHEAD_OF_LOG`},
		{"resumable", "expired for nothing", func(h *History) {
			h.Streams[expired].Request = after(cursorAt(4))
		}, `stream "expired": going on after 4 was refused with CURSOR_EXPIRED`},
		{"resumable", "event not found", func(h *History) {
			h.Streams[expired].Request = &wabastreamv1.SubscribeRequest{Start: &wabastreamv1.SubscribeRequest_AfterEventId{AfterEventId: event(5).GetId()}}
			h.Streams[expired].End.Reason = "EVENT_NOT_FOUND"
		}, `stream "expired": going on after 5 was refused with EVENT_NOT_FOUND`},
		{"resumable", "tells of a loss that was none", func(h *History) {
			h.Streams[narrow].Frames[0].Ready.Resumed = false
		}, `stream "narrow", frame 0 (ready): it says that something after 6 is missing, and nothing was removed`},

		{"progressing", "silent", func(h *History) {
			h.Streams[narrow].Frames[3].Asked = second(6.4)
		}, `stream "narrow", frame 3 (progress): it was waited for 1.7s, the interval is 1s`},
		{"progressing", "silent to the end", func(h *History) {
			h.Streams[narrow].End.Asked = second(9.1)
		}, `stream "narrow": it was silent for 1.9s until it ended, the interval is 1s`},
		{"progressing", "excused for another time", func(h *History) {
			h.Streams[narrow].Frames[3].Asked = second(6.4)
			h.Streams[narrow].Stalls = []Span{{second(4), second(6.3)}}
			h.Pauses = []Span{{second(8.2), second(9)}}
		}, `stream "narrow", frame 3 (progress): it was waited for 1.7s, the interval is 1s`},
		{"progressing", "cursor stands still", func(h *History) {
			h.Streams[narrow].Frames[3].Cursor = cursorAt(7)
			h.Streams[narrow].Frames[4] = progress(9.6, 7)
		}, `stream "narrow", frame 4 (progress): its cursor stands at 7, and 1.5s before the head was at 8`},

		{"filtered", "another WABA", func(h *History) {
			h.Streams[narrow].Frames[3] = batch(8.1, cursorAt(8), 8)
		}, `stream "narrow", frame 3 (batch): event 8 (messages.text, WABA w2, id 00000000000000000000000000000008) was not asked for`},
		{"filtered", "another type", func(h *History) {
			h.Streams[bounded].Frames[1] = batch(6.3, cursorAt(5), 3, 4, 5)
		}, `stream "bounded", frame 1 (batch): event 4 (messages.text, WABA w2, id 00000000000000000000000000000004) was not asked for`},
		{"filtered", "after the stop", func(h *History) {
			h.Streams[bounded].Frames[2] = batch(7.2, cursorAt(7), 7)
		}, `stream "bounded", frame 2 (batch): event 7 (account_update.account_deleted, WABA w1, id 00000000000000000000000000000007) is after the stop at 6`},
		{"filtered", "before the start time", func(h *History) {
			h.Streams[held].Request.Start = &wabastreamv1.SubscribeRequest_StartTime{StartTime: timestamppb.New(second(4))}
		}, `stream "held", frame 1 (batch): event 3 (account_update.account_deleted, WABA w1, id 00000000000000000000000000000003) was not asked for`},
		{"filtered", "large batch", func(h *History) {
			h.Streams[gapped].Request.MaxBatchEvents = 1
		}, `stream "gapped", frame 3 (batch): it holds 2 events, at most 1 were asked for`},
		{"filtered", "raw JSON", func(h *History) {
			h.Streams[gapped].Frames[3].Events[0].Raw = true
		}, `stream "gapped", frame 3 (batch): event 3 (account_update.account_deleted, WABA w1, id 00000000000000000000000000000003) came with raw JSON, which was not asked for`},

		{"durable", "event unsaid", func(h *History) {
			h.Log = h.Log[:7]
		}, `stream "listing", frame 1 (page): event 8 (messages.text, WABA w2, id 00000000000000000000000000000008) was sent and is not in the log`},
		{"durable", "another event in its place", func(h *History) {
			h.Log[7].Id = event(9).GetId()
		}, `event 8 (messages.text, WABA w2, id 00000000000000000000000000000008) was sent, and the log holds event 8 (messages.text, WABA w2, id 00000000000000000000000000000009) there`},
		{"durable", "event changed", func(h *History) {
			h.Log[7].BusinessPhone = "1"
		}, `event 8 (messages.text, WABA w2, id 00000000000000000000000000000008) is not as it was sent`},
		{"durable", "cursor unsaid", func(h *History) {
			h.Streams[narrow].Frames[4].Cursor = cursorAt(9)
		}, `stream "narrow", frame 4 (progress): a cursor stands at 9, where the log has no event`},
		{"durable", "head unsaid", func(h *History) {
			h.Streams[narrow].Frames[0].Ready.HeadCursor = cursorAt(12)
		}, `stream "narrow", frame 0 (ready): a cursor stands at 12, where the log has no event`},
		{"durable", "cursor at another event", func(h *History) {
			h.Streams[narrow].Frames[4].Cursor = makeCursor(0x70, 8, 5)
		}, `stream "narrow", frame 4 (progress): a cursor stands at 8, at another event than event 8`},
		{"durable", "answered and lost", func(h *History) {
			h.Callbacks[1].EventIDs = []string{"gone"}
		}, `callback one: it was answered 200, and its event gone is not in the log`},
		{"durable", "half a callback", func(h *History) {
			h.Callbacks[2].EventIDs[1] = event(8).GetId()
		}, `callback lost: some of its events are in the log and some are not: 00000000000000000000000000000008 is one of them`},
		{"durable", "callback torn apart", func(h *History) {
			h.Callbacks[0].EventIDs[1] = event(7).GetId()
		}, `callback both: its events are not one after the other in the log: 00000000000000000000000000000007 is at 7`},

		{"deliverable", "not UTF-8", func(h *History) {
			h.Log[4].BusinessPhone = "\xff"
		}, `the log: event 5 (account_update.account_deleted, id 00000000000000000000000000000005): marshal: `},
		{"deliverable", "not JSON", func(h *History) {
			h.Log[4].ReceiveTime.Seconds = 1 << 50
		}, `the log: event 5 (account_update.account_deleted, id 00000000000000000000000000000005): marshal to JSON: `},
		{"deliverable", "too large", func(h *History) {
			h.Log[4].RawJson = strings.Repeat("x", maxEventBytes)
		}, `event 5 (account_update.account_deleted, id 00000000000000000000000000000005): it takes 2097`},
		{"deliverable", "no payload", func(h *History) {
			h.Log[4].Payload = nil
		}, `it has no payload`},
		{"deliverable", "no type", func(h *History) {
			h.Log[4].Type = ""
		}, `it has no type`},
		{"deliverable", "no severity", func(h *History) {
			h.Log[4].Severity = wabastreamv1.Severity_SEVERITY_UNSPECIFIED
		}, `it has no severity`},
		{"deliverable", "no source", func(h *History) {
			h.Log[4].Source = ""
		}, `it does not say where it came from`},
		{"deliverable", "no id", func(h *History) {
			h.Log[4].Id = ""
		}, `its id has 0 characters, not 32`},
	}
}

func TestGoodHistoryPasses(t *testing.T) {
	t.Parallel()
	want := map[string]int{
		"ordered": 16, "unique": 16, "complete": 22, "resumable": 3, "progressing": 2, "filtered": 3, "durable": 18, "deliverable": 8,
	}
	for _, v := range All() {
		checked, err := v.Check(good())
		require.NoError(t, err, v.Name)
		require.Equal(t, want[v.Name], checked, v.Name)
	}
	require.Len(t, All(), len(want))
}

func TestEachBreakIsFoundAndNamed(t *testing.T) {
	t.Parallel()
	found := make(map[string]int)
	for _, b := range breaks() {
		found[b.guarantee]++
		t.Run(b.guarantee+"/"+b.name, func(t *testing.T) {
			t.Parallel()
			h := good()
			b.spoil(h)
			_, err := checkOf(t, b.guarantee)(h)
			require.ErrorContains(t, err, b.want)
		})
	}
	for _, v := range All() {
		require.GreaterOrEqual(t, found[v.Name], 3, "breaks of %s", v.Name)
	}
}

func checkOf(t *testing.T, guarantee string) func(*History) (int, error) {
	t.Helper()
	for _, v := range All() {
		if v.Name == guarantee {
			return v.Check
		}
	}
	require.Fail(t, "no such guarantee", guarantee)
	return nil
}

// A guarantee never holds because nothing happened.
func TestEmptyHistoryFails(t *testing.T) {
	t.Parallel()
	for _, v := range All() {
		checked, err := v.Check(&History{})
		require.Zero(t, checked)
		require.EqualError(t, err, v.Name+": the history holds nothing that could show it")
	}
}

func TestManyBreaksAreCounted(t *testing.T) {
	t.Parallel()
	h := good()
	for _, e := range h.Log {
		e.Severity, e.Payload = 0, nil
	}
	h.Log = append(h.Log, h.Log...)
	_, err := Deliverable(h)
	require.Len(t, strings.Split(err.Error(), "\n"), maxBreaks+1)
	require.ErrorContains(t, err, "deliverable: 6 more")
}

// What the machine or the network held up is nobody's fault, and no longer than it
// lasted.
func TestExcuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		excuses []Span
		want    bool
	}{
		"none":               {nil, true},
		"during":             {[]Span{{second(1), second(9)}}, false},
		"over before":        {[]Span{{second(-2), second(-1)}}, true},
		"after the deadline": {[]Span{{second(3), second(9)}}, true},
		"one after another":  {[]Span{{second(4), second(9)}, {second(1), second(5)}}, false},
		"too short":          {[]Span{{second(1), second(3)}}, true},
	} {
		require.Equal(t, c.want, late(second(0), second(10), 2*time.Second, c.excuses), name)
	}
	excuses := []Span{{second(4), second(9)}, {second(1), second(3)}, {second(11), second(12)}, {second(-5), second(-2)}}
	require.Equal(t, second(-1), backdate(second(10), 2*time.Second, excuses))
	require.Equal(t, second(8), backdate(second(10), 2*time.Second, nil))
}

func TestFilters(t *testing.T) {
	t.Parallel()
	e := ReceiptOf(event(1))
	unknown := e
	unknown.WABA = ""
	for name, c := range map[string]struct {
		filter       *wabastreamv1.EventFilter
		known, other bool
	}{
		"WABA":                {&wabastreamv1.EventFilter{WabaIds: []string{"w2", "w1"}}, true, false},
		"other WABA":          {&wabastreamv1.EventFilter{WabaIds: []string{"w2"}}, false, false},
		"unattributed":        {&wabastreamv1.EventFilter{IncludeUnattributed: true}, false, true},
		"WABA, unattributed":  {&wabastreamv1.EventFilter{WabaIds: []string{"w1"}, IncludeUnattributed: true}, true, true},
		"type":                {&wabastreamv1.EventFilter{Types: []string{deleted}}, true, true},
		"path":                {&wabastreamv1.EventFilter{Types: []string{"account_update"}}, true, true},
		"no path":             {&wabastreamv1.EventFilter{Types: []string{"account"}}, false, false},
		"phone":               {&wabastreamv1.EventFilter{BusinessPhones: []string{"+1 (555) 0100"}}, true, true},
		"other phone":         {&wabastreamv1.EventFilter{BusinessPhones: []string{"1"}}, false, false},
		"severity":            {&wabastreamv1.EventFilter{MinSeverity: wabastreamv1.Severity_SEVERITY_CRITICAL}, true, true},
		"type of other WABA":  {&wabastreamv1.EventFilter{WabaIds: []string{"w2"}, Types: []string{deleted}}, false, false},
		"phone and more type": {&wabastreamv1.EventFilter{BusinessPhones: []string{"15550100"}, Types: []string{"account_update.account_deleted.x"}}, false, false},
	} {
		req := under(fromEarliest(), c.filter)
		require.Equal(t, c.known, selects(req, &e), name)
		require.Equal(t, c.other, selects(req, &unknown), name)
	}
}

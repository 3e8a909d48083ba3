package main

import (
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// role is what a reader does.
type role struct {
	name string
	// request is what each stream asks for, but for where it starts: the first as
	// the request says, each later one as restart chooses.
	request *wabastreamv1.SubscribeRequest
	// through is how it reads.
	through way
	// restart makes the request of the next stream; nil goes on after the last
	// cursor.
	restart func(r *reader, next *wabastreamv1.SubscribeRequest)
	// patience is how many frames it reads of a stream before it leaves; zero does
	// not. dawdle is the longest that it does not read, after some frames.
	patience int
	dawdle   time.Duration
	// calm is a reader whose network is in order.
	calm bool
}

// way is a way to read.
type way int

const (
	throughStreams way = iota
	throughPages
	throughSDK
)

// roles are a reader of every kind. Those who get nothing wait in peace, to hear
// heartbeats.
func roles() []role {
	const goOn = wabastreamv1.ExpiredCursorPolicy_EXPIRED_CURSOR_POLICY_CONTINUE_WITH_GAP
	all := func(edit func(*wabastreamv1.SubscribeRequest)) *wabastreamv1.SubscribeRequest {
		req := fromEarliest()
		edit(req)
		return req
	}
	only := func(filters ...*wabastreamv1.EventFilter) *wabastreamv1.SubscribeRequest {
		return all(func(req *wabastreamv1.SubscribeRequest) { req.Filters = filters })
	}
	overGaps := func(req *wabastreamv1.SubscribeRequest) { req.ExpiredCursorPolicy = goOn }
	toHead := func(req *wabastreamv1.SubscribeRequest) {
		req.Stop = &wabastreamv1.SubscribeRequest_StopAtHead{StopAtHead: true}
	}
	several := only(
		&wabastreamv1.EventFilter{WabaIds: []string{"waba1"}, IncludeUnattributed: true, Types: []string{"phone_number_quality_update", "messages"}},
		&wabastreamv1.EventFilter{BusinessPhones: []string{"+1 555 0101"}},
		&wabastreamv1.EventFilter{MinSeverity: wabastreamv1.Severity_SEVERITY_CRITICAL, WabaIds: []string{"waba2", "waba3"}},
	)
	overGaps(several)
	return []role{
		{name: "everything", request: fromEarliest()},
		{name: "latest", request: &wabastreamv1.SubscribeRequest{MaxBatchEvents: 3, ExpiredCursorPolicy: goOn}},
		{name: "one type", request: only(&wabastreamv1.EventFilter{Types: []string{"account_update.disabled_update"}})},
		{name: "several filters", request: several},
		{name: "from anywhere", request: all(overGaps), restart: fromAnywhere, patience: 12},
		{
			name: "from anywhere, messages", request: only(&wabastreamv1.EventFilter{Types: []string{"messages"}}),
			restart: fromAnywhere, patience: 12,
		},
		{name: "from a time", request: &wabastreamv1.SubscribeRequest{}, restart: fromATime, patience: 8},
		{name: "again and again", request: all(toHead), restart: fromTheStart},
		{name: slow, dawdle: 1500 * time.Millisecond, request: all(func(req *wabastreamv1.SubscribeRequest) {
			overGaps(req)
			req.IncludeRawJson, req.MaxBatchEvents = true, 10
		})},
		{name: "nobody", request: only(&wabastreamv1.EventFilter{WabaIds: []string{"nobody"}}), calm: true},
		{name: "nothing", request: only(&wabastreamv1.EventFilter{Types: []string{"account_update"}, BusinessPhones: []string{"1"}}), calm: true},
		{name: "lister", request: fromEarliest(), through: throughPages},
		{name: "sdk everything", request: all(overGaps), through: throughSDK},
		{name: "sdk one WABA", request: only(&wabastreamv1.EventFilter{WabaIds: []string{"waba0"}}), through: throughSDK},
		{name: "sdk again and again", request: all(toHead), through: throughSDK},
	}
}

// slow is the reader that is late by its own fault.
const slow = "slow"

func after(cursor string) *wabastreamv1.SubscribeRequest_AfterCursor {
	return &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: cursor}
}

// fromTheStart starts as the request says, each time.
func fromTheStart(*reader, *wabastreamv1.SubscribeRequest) {}

// fromATime starts a little while ago.
func fromATime(r *reader, next *wabastreamv1.SubscribeRequest) {
	ago := time.Duration(r.random.IntN(800)) * time.Millisecond
	next.Start = &wabastreamv1.SubscribeRequest_StartTime{StartTime: timestamppb.New(time.Now().Add(-ago))}
}

// fromAnywhere goes on after a frame or event that was received before, often not
// the last; in the end after the last frame.
func fromAnywhere(r *reader, next *wabastreamv1.SubscribeRequest) {
	switch {
	case len(r.cursors) == 0:
	case r.goal.known():
		next.Start = after(r.cursors[len(r.cursors)-1])
	case len(r.events) == 0 || r.random.IntN(2) == 0:
		next.Start = after(lately(r.random, r.cursors, 40))
	case r.random.IntN(2) == 0:
		next.Start = after(lately(r.random, r.events, 200).GetCursor())
	default:
		next.Start = &wabastreamv1.SubscribeRequest_AfterEventId{AfterEventId: lately(r.random, r.events, 200).GetId()}
	}
}

// lately returns one of the last so many.
func lately[T any](random *rand.Rand, all []T, last int) T {
	return all[len(all)-1-random.IntN(min(len(all), last))]
}

package main

import (
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// selection is which events to receive, as the flags of tail say.
type selection struct {
	filters
	from, since        string
	noFollow, allowGap bool
	heartbeat          time.Duration
}

// request turns the flags into a request. Its errors are usage errors.
func (s *selection) request(now time.Time) (*wabastreamv1.SubscribeRequest, error) {
	filter, err := s.filter()
	if err != nil {
		return nil, err
	}
	request := &wabastreamv1.SubscribeRequest{Filters: filter, IncludeRawJson: s.raw, ClientLabel: "wabastream tail"}
	if err := s.setStart(request, now); err != nil {
		return nil, err
	}
	if s.noFollow {
		request.Stop = &wabastreamv1.SubscribeRequest_StopAtHead{StopAtHead: true}
	}
	if s.allowGap {
		request.ExpiredCursorPolicy = wabastreamv1.ExpiredCursorPolicy_EXPIRED_CURSOR_POLICY_CONTINUE_WITH_GAP
	}
	if s.heartbeat != 0 {
		if s.heartbeat < time.Second || s.heartbeat > 5*time.Minute {
			return nil, usagef("--heartbeat %v: want 1s to 5m", s.heartbeat)
		}
		request.HeartbeatInterval = durationpb.New(s.heartbeat)
	}
	return request, nil
}

// setStart leaves the start unset, which is latest, unless the flags say
// otherwise. Whoever does not want to follow wants what there is, so then it is
// earliest.
func (s *selection) setStart(request *wabastreamv1.SubscribeRequest, now time.Time) error {
	switch {
	case s.from != "" && s.since != "":
		return usagef("--from and --since exclude each other")
	case s.since != "":
		begin, err := parseTime("since", s.since, now)
		request.Start = &wabastreamv1.SubscribeRequest_StartTime{StartTime: timestamppb.New(begin)}
		return err
	case s.from != "":
		return setFrom(request, s.from)
	case s.noFollow:
		setPosition(request, wabastreamv1.StartPosition_START_POSITION_EARLIEST)
	}
	return nil
}

func setPosition(request *wabastreamv1.SubscribeRequest, position wabastreamv1.StartPosition) {
	request.Start = &wabastreamv1.SubscribeRequest_Position{Position: position}
}

func setFrom(request *wabastreamv1.SubscribeRequest, from string) error {
	kind, value, prefixed := strings.Cut(from, ":")
	switch {
	case from == "earliest":
		setPosition(request, wabastreamv1.StartPosition_START_POSITION_EARLIEST)
	case from == "latest":
		setPosition(request, wabastreamv1.StartPosition_START_POSITION_LATEST)
	case prefixed && value == "":
		return usagef("--from %q: nothing follows the colon", from)
	case prefixed && kind == "event":
		request.Start = &wabastreamv1.SubscribeRequest_AfterEventId{AfterEventId: value}
	case prefixed && kind == "cursor":
		request.Start = &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: value}
	case prefixed:
		return badFrom(from)
	case looksLikeCursor(from):
		request.Start = &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: from}
	case looksLikeEventID(from):
		return usagef("--from %q looks like an event id: write --from event:%s", from, from)
	default:
		return badFrom(from)
	}
	return nil
}

func badFrom(from string) error {
	return usagef("--from %q: want earliest, latest, cursor:CURSOR, event:ID, or a cursor as it was printed", from)
}

// Cursors and ids of events have the same length; only a cursor's first character
// is always the same. An id that begins with it is taken for a cursor, and the
// server then says that it is none.
const printedLength = 32

func looksLikeCursor(text string) bool {
	const urlSafe = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return len(text) == printedLength && text[0] == 'c' && strings.Trim(text, urlSafe) == ""
}

func looksLikeEventID(text string) bool {
	return len(text) == printedLength && strings.Trim(text, "0123456789abcdefghijklmnopqrstuv") == ""
}

// parseTime reads the value of a flag: a time, or how long before now it was, in Go's
// durations and in days, or the beginning of a day. Days are local.
func parseTime(flag, text string, now time.Time) (time.Time, error) {
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	switch text {
	case "today":
		return midnight, nil
	case "yesterday":
		return midnight.AddDate(0, 0, -1), nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(n)), nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	return time.Time{}, usagef("--%s %q: want how long ago, such as 30m, 2h or 7d, today, yesterday, or a time such as 2026-01-31T09:00:00Z", flag, text)
}

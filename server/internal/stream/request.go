package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/apierror"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Bounds and defaults of a subscription, as the contract states them.
const (
	minHeartbeat          = time.Second
	maxHeartbeat          = 5 * time.Minute
	defaultHeartbeat      = 15 * time.Second
	maxBatchEventsLimit   = 10_000
	defaultMaxBatchEvents = 3_000
	maxBatchBytes         = 1 << 20
	maxEventBytes         = 2 << 20
	maxClientLabelBytes   = 128
)

// subscription is a request that was checked, resolved against the log.
type subscription struct {
	permit
	requested   []eventlog.Filter // the filters asked for
	wantsRaw    bool
	heartbeat   time.Duration
	batchEvents int
	skipGaps    bool
	label       string

	bounds   eventlog.Bounds
	position eventlog.Position // everything up to here was scanned
	// resumed is not set where retention has overtaken the start. The gap is told
	// after ready: until then the position stays before it, so that a client cut
	// off in between is told of it the next time.
	resumed bool
	thinned thinned
	// notBefore leaves out events stored earlier: a start time that was still to
	// come when the stream began.
	notBefore time.Time

	// stopAt ends the stream, inclusive, when bounded; stopTime becomes stopAt
	// once the clock has passed it.
	bounded  bool
	stopAt   eventlog.Sequence
	stopTime *time.Time
}

// open checks the request and finds its start and stop in the log.
func (s *Service) open(ctx context.Context, caller access.Caller, req *wabastreamv1.SubscribeRequest) (*subscription, error) {
	sub := &subscription{label: req.GetClientLabel(), wantsRaw: req.GetIncludeRawJson()}
	var err error
	if sub.requested, err = filtersOf(req.GetFilters()); err != nil {
		return nil, err
	}
	if sub.permit, err = permitFor(caller, sub.requested, sub.wantsRaw); err != nil {
		return nil, err
	}
	if err := sub.setOptions(req); err != nil {
		return nil, err
	}
	if sub.bounds, err = s.log.Bounds(ctx); err != nil {
		return nil, s.logError(err)
	}
	if err := s.resolveStart(ctx, sub, req); err != nil {
		return nil, err
	}
	if err := s.resolveStop(ctx, sub, req); err != nil {
		return nil, err
	}
	return sub, nil
}

func (sub *subscription) setOptions(req *wabastreamv1.SubscribeRequest) error {
	var err error
	if sub.heartbeat, err = heartbeatOf(req.GetHeartbeatInterval()); err != nil {
		return err
	}
	sub.batchEvents = int(req.GetMaxBatchEvents())
	switch {
	case sub.batchEvents == 0:
		sub.batchEvents = defaultMaxBatchEvents
	case sub.batchEvents < 0 || sub.batchEvents > maxBatchEventsLimit:
		return apierror.Invalid(reasonRequestInvalid, "max_batch_events", fmt.Sprintf("%d is outside 1 to %d", sub.batchEvents, maxBatchEventsLimit))
	}
	if n := len(sub.label); n > maxClientLabelBytes {
		return apierror.Invalid(reasonRequestInvalid, "client_label", fmt.Sprintf("%d bytes, at most %d are allowed", n, maxClientLabelBytes))
	}
	switch p := req.GetExpiredCursorPolicy(); p {
	case wabastreamv1.ExpiredCursorPolicy_EXPIRED_CURSOR_POLICY_UNSPECIFIED, wabastreamv1.ExpiredCursorPolicy_EXPIRED_CURSOR_POLICY_FAIL:
	case wabastreamv1.ExpiredCursorPolicy_EXPIRED_CURSOR_POLICY_CONTINUE_WITH_GAP:
		sub.skipGaps = true
	default:
		return apierror.Invalid(reasonRequestInvalid, "expired_cursor_policy", fmt.Sprintf("%d is not a policy", p))
	}
	return nil
}

func heartbeatOf(d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return defaultHeartbeat, nil
	}
	if err := d.CheckValid(); err != nil || d.AsDuration() < minHeartbeat || d.AsDuration() > maxHeartbeat {
		return 0, apierror.Invalid(reasonRequestInvalid, "heartbeat_interval", fmt.Sprintf("outside %v to %v", minHeartbeat, maxHeartbeat))
	}
	return d.AsDuration(), nil
}

func (s *Service) resolveStart(ctx context.Context, sub *subscription, req *wabastreamv1.SubscribeRequest) error {
	var err error
	switch start := req.GetStart().(type) {
	case nil:
		sub.position = sub.bounds.Head
	case *wabastreamv1.SubscribeRequest_AfterCursor:
		if start.AfterCursor == "" {
			return apierror.Invalid(reasonRequestInvalid, "after_cursor", "set but empty; leave it out and set position to choose where to begin")
		}
		return s.startAfter(ctx, sub, start.AfterCursor)
	case *wabastreamv1.SubscribeRequest_AfterEventId:
		entry, err := s.lookup(ctx, &sub.scope, "after_event_id", start.AfterEventId)
		if err != nil {
			return err
		}
		return sub.resume(entry.Position)
	case *wabastreamv1.SubscribeRequest_StartTime:
		sub.notBefore = start.StartTime.AsTime()
		sub.thinned = heldOf(sub.bounds, sub.matcher)
		sub.position, err = s.seek(ctx, "start_time", start.StartTime)
		return err
	case *wabastreamv1.SubscribeRequest_Position:
		sub.thinned = heldOf(sub.bounds, sub.matcher)
		sub.position, err = positionOf(start.Position, sub.bounds)
		return err
	}
	return nil
}

func positionOf(p wabastreamv1.StartPosition, bounds eventlog.Bounds) (eventlog.Position, error) {
	switch p {
	case wabastreamv1.StartPosition_START_POSITION_EARLIEST:
		return bounds.Start, nil
	case wabastreamv1.StartPosition_START_POSITION_LATEST:
		return bounds.Head, nil
	default:
		return eventlog.Position{}, apierror.Invalid(reasonRequestInvalid, "position", "set START_POSITION_EARLIEST or START_POSITION_LATEST, or leave it out")
	}
}

// startAfter resumes a cursor. A trimmed one is an error, or a gap if the
// request says so.
func (s *Service) startAfter(ctx context.Context, sub *subscription, cursor string) error {
	t, err := parseToken(kindCursor, cursor)
	if err != nil {
		return malformedCursor("after_cursor")
	}
	if t.held {
		sub.thinned = heldOf(sub.bounds, sub.matcher)
	}
	err = s.log.Check(ctx, t.at)
	if errors.Is(err, eventlog.ErrTrimmed) && sub.skipGaps {
		sub.position = t.at
		return nil
	}
	if err != nil {
		return s.cursorError(ctx, err, "after_cursor", t.at, sub.matcher)
	}
	return sub.resume(t.at)
}

// resume begins after a position that passed Check. Types trimmed after it are
// an error, or a gap if the request says so, unless the reader takes what is
// held.
func (sub *subscription) resume(p eventlog.Position) error {
	sub.position = p
	complete := p.Sequence >= sub.bounds.StartFor(sub.matcher).Sequence
	sub.resumed = complete || sub.thinned.holds(p)
	if !sub.resumed && !sub.skipGaps {
		return expired(p, sub.bounds, sub.matcher)
	}
	return nil
}

func (s *Service) resolveStop(ctx context.Context, sub *subscription, req *wabastreamv1.SubscribeRequest) error {
	switch stop := req.GetStop().(type) {
	case *wabastreamv1.SubscribeRequest_StopCursor:
		return s.stopAfter(ctx, sub, stop.StopCursor)
	case *wabastreamv1.SubscribeRequest_StopTime:
		if err := stop.StopTime.CheckValid(); err != nil {
			return apierror.Invalid(reasonRequestInvalid, "stop_time", "not a valid time")
		}
		at := stop.StopTime.AsTime()
		sub.stopTime = &at
	case *wabastreamv1.SubscribeRequest_StopAtHead:
		if !stop.StopAtHead {
			return apierror.Invalid(reasonRequestInvalid, "stop_at_head", "set but false; leave it out to receive events without end")
		}
		sub.bounded, sub.stopAt = true, sub.bounds.Head.Sequence
	}
	return nil
}

func (s *Service) stopAfter(ctx context.Context, sub *subscription, cursor string) error {
	if cursor == "" {
		return apierror.Invalid(reasonRequestInvalid, "stop_cursor", "set but empty; leave it out to receive events without end")
	}
	t, err := parseToken(kindCursor, cursor)
	if err != nil {
		return malformedCursor("stop_cursor")
	}
	// A trimmed stop is no error: nothing up to it is left to send.
	if err := s.log.Check(ctx, t.at); err != nil && !errors.Is(err, eventlog.ErrTrimmed) {
		return s.cursorError(ctx, err, "stop_cursor", t.at, sub.matcher)
	}
	sub.bounded, sub.stopAt = true, t.at.Sequence
	return nil
}

// cursorError reads the bounds anew: the error names them.
func (s *Service) cursorError(ctx context.Context, err error, field string, p eventlog.Position, matcher *eventlog.Matcher) error {
	bounds, boundsErr := s.log.Bounds(ctx)
	if boundsErr != nil {
		return s.logError(boundsErr)
	}
	return s.cursorErrorIn(bounds, err, field, p, matcher)
}

func (s *Service) seek(ctx context.Context, field string, t *timestamppb.Timestamp) (eventlog.Position, error) {
	if err := t.CheckValid(); err != nil {
		return eventlog.Position{}, apierror.Invalid(reasonRequestInvalid, field, "not a valid time")
	}
	p, err := s.log.Seek(ctx, t.AsTime())
	if err != nil {
		return p, s.logError(err)
	}
	return p, nil
}

// lookup finds an event that is granted. One that is not is answered as one that is
// not there, after the same work.
func (s *Service) lookup(ctx context.Context, granted *scope, field, text string) (eventlog.Entry, error) {
	id, err := eventlog.ParseID(text)
	if err != nil {
		return eventlog.Entry{}, apierror.Invalid(reasonRequestInvalid, field, "want an event's id: 32 characters of 0-9 and a-v")
	}
	entry, err := s.log.Lookup(ctx, id)
	if err != nil && !errors.Is(err, eventlog.ErrNotFound) {
		return eventlog.Entry{}, s.logError(err)
	}
	if err != nil || !granted.permits(&entry.Header) {
		return eventlog.Entry{}, eventNotFound(text)
	}
	return entry, nil
}

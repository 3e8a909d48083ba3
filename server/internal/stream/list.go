package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/apierror"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Bounds of a page, as the contract states them.
const (
	defaultPageSize = 100
	maxPageSize     = 1000
	maxListWait     = time.Minute
)

// listing is a ListEventsRequest that was checked.
type listing struct {
	query     eventlog.Query
	view      viewKind
	at        eventlog.Position // where the next read begins
	thinned   thinned
	size      int
	tokenKind tokenKind
	wait      time.Duration
	fromStart bool // of whatever the log holds, so nothing can be missing
}

// ListEvents implements EventService.
func (s *Service) ListEvents(ctx context.Context, req *wabastreamv1.ListEventsRequest) (response *wabastreamv1.ListEventsResponse, err error) {
	lease, begin := newLease(ctx), time.Now()
	defer lease.release()
	err = lease.while(ctx, func(ctx context.Context) error {
		caller, err := lease.caller()
		if err == nil {
			response, err = s.list(ctx, caller, req, begin)
		}
		return err
	})
	return response, err
}

// list answers with a page for a caller as it stands when it begins.
func (s *Service) list(ctx context.Context, caller access.Caller, req *wabastreamv1.ListEventsRequest, begin time.Time) (*wabastreamv1.ListEventsResponse, error) {
	l, err := s.listing(ctx, caller, req)
	if err != nil {
		return nil, err
	}
	page, err := s.fill(ctx, l, begin)
	if err != nil {
		return nil, err
	}
	response := &wabastreamv1.ListEventsResponse{Events: make([]*wabastreamv1.Event, len(page.Entries))}
	for i := range page.Entries {
		e := &page.Entries[i]
		if response.Events[i], err = decodeEvent(s.eventIn(l.view, e, l.thinned.cursor(e.Position)), e.Position.Sequence); err != nil {
			return nil, s.logError(err)
		}
	}
	if page.More {
		response.NextPageToken = token{kind: l.tokenKind, at: page.Scanned, held: l.thinned.holds(page.Scanned)}.String()
	}
	if l.tokenKind == kindOldestFirst {
		response.Cursor = l.thinned.cursor(page.Scanned)
	}
	return response, nil
}

func (s *Service) listing(ctx context.Context, caller access.Caller, req *wabastreamv1.ListEventsRequest) (*listing, error) {
	l := &listing{size: int(req.GetPageSize()), tokenKind: kindNewestFirst}
	if err := l.setScope(caller, req); err != nil {
		return nil, err
	}
	switch {
	case l.size == 0:
		l.size = defaultPageSize
	case l.size < 0 || l.size > maxPageSize:
		return nil, apierror.Invalid(reasonRequestInvalid, "page_size", fmt.Sprintf("%d is outside 1 to %d", l.size, maxPageSize))
	}
	switch req.GetOrder() {
	case wabastreamv1.ListOrder_LIST_ORDER_UNSPECIFIED, wabastreamv1.ListOrder_LIST_ORDER_NEWEST_FIRST:
		l.query.Reverse = true
	case wabastreamv1.ListOrder_LIST_ORDER_OLDEST_FIRST:
		l.tokenKind = kindOldestFirst
	default:
		return nil, apierror.Invalid(reasonRequestInvalid, "order", fmt.Sprintf("%d is not an order", req.GetOrder()))
	}
	if err := l.setWait(req); err != nil {
		return nil, err
	}
	return l, s.setListStart(ctx, l, req)
}

// setScope decides what is listed for a caller that may ask for it.
func (l *listing) setScope(caller access.Caller, req *wabastreamv1.ListEventsRequest) error {
	requested, err := filtersOf(req.GetFilters())
	if err != nil {
		return err
	}
	granted, err := permitFor(caller, requested, req.GetIncludeRawJson())
	if err != nil {
		return err
	}
	l.view, l.query.Filter, l.query.Raw = granted.view, granted.matcher, granted.view == viewRaw
	return nil
}

func (l *listing) setWait(req *wabastreamv1.ListEventsRequest) error {
	if req.GetWait() == nil {
		return nil
	}
	if l.query.Reverse {
		return apierror.Invalid(reasonRequestInvalid, "wait", "only with order LIST_ORDER_OLDEST_FIRST")
	}
	l.wait = req.GetWait().AsDuration()
	if err := req.GetWait().CheckValid(); err != nil || l.wait < 0 || l.wait > maxListWait {
		return apierror.Invalid(reasonRequestInvalid, "wait", fmt.Sprintf("outside 0 to %v", maxListWait))
	}
	return nil
}

func (s *Service) setListStart(ctx context.Context, l *listing, req *wabastreamv1.ListEventsRequest) error {
	pageToken, cursor := req.GetPageToken(), req.GetAfterCursor()
	if pageToken == "" && cursor == "" && l.query.Reverse {
		return nil // from the head
	}
	bounds, err := s.log.Bounds(ctx)
	if err != nil {
		return s.logError(err)
	}
	switch {
	case pageToken != "" && cursor != "":
		return apierror.Invalid(reasonRequestInvalid, "after_cursor", "not together with page_token")
	case cursor != "" && l.query.Reverse:
		return apierror.Invalid(reasonRequestInvalid, "after_cursor", "only with order LIST_ORDER_OLDEST_FIRST")
	case pageToken != "":
		return s.continuePage(ctx, l, pageToken, bounds)
	case cursor != "":
		t, err := parseToken(kindCursor, cursor)
		if err != nil {
			return malformedCursor("after_cursor")
		}
		if err := s.log.Check(ctx, t.at); err != nil {
			return s.cursorError(ctx, err, "after_cursor", t.at, l.query.Filter)
		}
		l.startAfter(t, bounds)
	default:
		l.fromStart = true
		l.startAfter(token{at: bounds.Start, held: true}, bounds)
	}
	return nil
}

func (l *listing) startAfter(t token, bounds eventlog.Bounds) {
	l.at = t.at
	if t.held {
		l.thinned = heldOf(bounds, l.query.Filter)
	}
}

func (s *Service) continuePage(ctx context.Context, l *listing, pageToken string, bounds eventlog.Bounds) error {
	t, err := parseToken(l.tokenKind, pageToken)
	if err != nil {
		return apierror.Invalid(reasonRequestInvalid, "page_token", "not a next_page_token of this order; pass it exactly as it was received")
	}
	l.startAfter(t, bounds)
	if l.query.Reverse {
		// It stands between records: there is no fingerprint to compare.
		err = l.checkReverse(t.at, bounds)
	} else {
		err = s.log.Check(ctx, t.at)
	}
	if err != nil {
		return s.cursorErrorIn(bounds, err, "page_token", t.at, l.query.Filter)
	}
	return nil
}

func (l *listing) checkReverse(p eventlog.Position, bounds eventlog.Bounds) error {
	switch {
	case p.Log != bounds.Head.Log:
		return eventlog.ErrOtherLog
	case p.Sequence > bounds.Head.Sequence:
		return eventlog.ErrAhead
	}
	return nil
}

// fill reads until the page is full, the end of the log, or, when asked to wait,
// until something matched or it has waited long enough since it began. The entries of
// all reads make one page.
func (s *Service) fill(ctx context.Context, l *listing, begin time.Time) (eventlog.Page, error) {
	waiting, cancel := context.WithDeadline(ctx, begin.Add(l.wait))
	defer cancel()
	defer context.AfterFunc(s.draining, cancel)()
	var out eventlog.Page
	for bytes := 0; ; {
		l.query.After, l.query.Limit, l.query.Bytes = l.at.Sequence, l.size-len(out.Entries), maxBatchBytes-bytes
		page, err := l.thinned.read(ctx, s.log, l.query)
		if errors.Is(err, eventlog.ErrTrimmed) {
			if len(out.Entries) > 0 && !l.fromStart {
				out.More = true // the next page tells
				return out, nil
			}
			if err := s.passTrimmed(ctx, l); err != nil {
				return out, err
			}
			continue
		}
		if err != nil {
			return out, s.readError(err, l.thinned.cursor)
		}
		out.Scanned, out.More = page.Scanned, page.More
		for i := range page.Entries {
			bytes += headerRoom + len(page.Entries[i].Payload) + len(page.Entries[i].Raw)
			if bytes > maxBatchBytes && len(out.Entries) > 0 {
				out.Scanned, out.More = out.Entries[len(out.Entries)-1].Position, true
				return out, nil
			}
			out.Entries = append(out.Entries, page.Entries[i])
		}
		if len(out.Entries) == l.size || bytes >= maxBatchBytes {
			return out, nil
		}
		l.at = page.Scanned
		if page.More {
			continue
		}
		if len(out.Entries) > 0 || l.wait == 0 {
			return out, nil
		}
		if err := s.log.Wait(waiting, page.Scanned.Sequence); err != nil {
			if waiting.Err() != nil && ctx.Err() == nil {
				return out, nil
			}
			return out, s.logError(err)
		}
	}
}

// passTrimmed goes on with what is still held if the listing asked for that.
func (s *Service) passTrimmed(ctx context.Context, l *listing) error {
	bounds, err := s.log.Bounds(ctx)
	if err != nil {
		return s.logError(err)
	}
	if !l.fromStart {
		return expiredPage(l.at, bounds, l.query.Filter)
	}
	if l.at.Sequence < bounds.Start.Sequence {
		l.at = bounds.Start
	}
	l.thinned = heldOf(bounds, l.query.Filter)
	return nil
}

// GetEvent implements EventService.
func (s *Service) GetEvent(ctx context.Context, req *wabastreamv1.GetEventRequest) (*wabastreamv1.GetEventResponse, error) {
	caller, err := callerOf(ctx)
	if err != nil {
		return nil, err
	}
	granted := scopeOf(caller.Grant)
	view, err := granted.view(req.GetIncludeRawJson())
	if err != nil {
		return nil, err
	}
	entry, err := s.lookup(ctx, &granted, "id", req.GetId())
	if err != nil {
		return nil, err
	}
	if view != viewRaw {
		entry.Raw = nil
	}
	event, err := decodeEvent(s.eventIn(view, &entry, cursorOf(entry.Position)), entry.Position.Sequence)
	if err != nil {
		return nil, s.logError(err)
	}
	return &wabastreamv1.GetEventResponse{Event: event}, nil
}

// GetLogInfo implements EventService. Any caller may ask; of types it is told those that
// it may see.
func (s *Service) GetLogInfo(ctx context.Context, _ *wabastreamv1.GetLogInfoRequest) (*wabastreamv1.GetLogInfoResponse, error) {
	caller, err := callerOf(ctx)
	if err != nil {
		return nil, err
	}
	granted := scopeOf(caller.Grant)
	matcher := granted.types()
	bounds, err := s.log.Bounds(ctx)
	if err != nil {
		return nil, s.logError(err)
	}
	stats, err := s.log.Stats(ctx)
	if err != nil {
		return nil, s.logError(err)
	}
	return &wabastreamv1.GetLogInfoResponse{
		LogId:          bounds.Head.Log.String(),
		EarliestCursor: earliestCursor(bounds, matcher, bounds.Start),
		HeadCursor:     cursorOf(bounds.Head),
		EarliestTime:   timestampOf(bounds.OldestTime),
		HeadTime:       timestampOf(bounds.HeadTime),
		EventCount:     stats.Records,
		SizeBytes:      stats.Bytes,
		ServerVersion:  s.version,
		Sources:        s.sources(),
		TypeTrims:      typeTrims(bounds, matcher),
	}, nil
}

func timestampOf(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

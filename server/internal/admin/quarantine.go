package admin

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/quarantine"
)

// Bounds of a page, as the contract states them.
const (
	defaultPageSize = 100
	maxPageSize     = 1000
	maxPageBytes    = 1 << 20
)

// Quarantine is what is listed and put in again.
type Quarantine interface {
	// List returns at most limit entries, the newest first, that are older than a
	// given one; nil begins with the newest.
	List(before *quarantine.Entry, limit int) (entries []quarantine.Entry, more bool)
	// Get returns a callback. Errors: quarantine.ErrNotFound, or another where it
	// cannot be read.
	Get(id string) (quarantine.Callback, error)
	// Remove removes a callback; one that is not held is no error.
	Remove(id string) error
}

// Reinjected is what became of a callback that was put in again.
type Reinjected struct {
	// IDs are those of the events that the log holds now.
	IDs []eventlog.ID
	// Stored, Duplicate and Discarded count the callback's events.
	Stored, Duplicate, Discarded int
}

// ListQuarantined implements AdminService.
func (s *Service) ListQuarantined(ctx context.Context, req *wabastreamv1.ListQuarantinedRequest) (*wabastreamv1.ListQuarantinedResponse, error) {
	size, err := pageSize(req.GetPageSize())
	if err != nil {
		return nil, err
	}
	before, err := parsePageToken(req.GetPageToken())
	if err != nil {
		return nil, invalid("page_token", "is not one that a page before gave: begin again without")
	}
	if req.GetIncludeBody() && !access.FromContext(ctx).Caller().Grant.ReadsCallbacks() {
		return nil, bodiesNotAllowed()
	}
	entries, more := s.config.Quarantine.List(before, size)
	if req.GetIncludeBody() {
		fits := thatFit(entries)
		entries, more = entries[:fits], more || fits < len(entries)
	}
	page := &wabastreamv1.ListQuarantinedResponse{Callbacks: make([]*wabastreamv1.QuarantinedCallback, 0, len(entries))}
	for _, e := range entries {
		callback, err := s.quarantined(e, req.GetIncludeBody())
		if err != nil {
			return nil, err
		}
		if callback != nil {
			page.Callbacks = append(page.Callbacks, callback)
		}
	}
	if more {
		page.NextPageToken = pageToken(entries[len(entries)-1])
	}
	return page, nil
}

// thatFit is how many of the entries a page takes with their bodies; at least one.
func thatFit(entries []quarantine.Entry) int {
	size := int64(0)
	for i, e := range entries {
		if size += e.Size; size > maxPageBytes && i > 0 {
			return i
		}
	}
	return len(entries)
}

// quarantined describes an entry; nil if it was asked for its body and is gone.
func (s *Service) quarantined(e quarantine.Entry, withBody bool) (*wabastreamv1.QuarantinedCallback, error) {
	described := &wabastreamv1.QuarantinedCallback{
		QuarantineId: e.ID,
		Source:       e.Source,
		ReceiveTime:  timestamppb.New(e.ReceiveTime),
		Reason:       e.Reason,
		SizeBytes:    uint64(e.Size),
	}
	if !withBody {
		return described, nil
	}
	callback, err := s.config.Quarantine.Get(e.ID)
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, s.reinjectError(e.ID, err)
	}
	described.Body = callback.Body
	return described, nil
}

// ReinjectQuarantined implements AdminService.
func (s *Service) ReinjectQuarantined(ctx context.Context, req *wabastreamv1.ReinjectQuarantinedRequest) (*wabastreamv1.ReinjectQuarantinedResponse, error) {
	// One at a time: to make events of a callback takes many times its size, and
	// what bounds that for posts does not stand in between here.
	select {
	case s.reinjecting <- struct{}{}:
	case <-ctx.Done():
		return nil, s.reinjectError(req.GetQuarantineId(), ctx.Err())
	}
	defer func() { <-s.reinjecting }()
	callback, err := s.config.Quarantine.Get(req.GetQuarantineId())
	if err != nil {
		return nil, s.reinjectError(req.GetQuarantineId(), err)
	}
	got, err := s.config.Reinject(ctx, callback.Source, callback.Body)
	if err != nil {
		return nil, s.reinjectError(callback.ID, err)
	}
	if err := s.config.Quarantine.Remove(callback.ID); err != nil {
		// Its events are durable. Put in again it is a duplicate.
		s.config.Logger.Warn("callback was put in again but stays in the quarantine", "quarantine_id", callback.ID, "error", err)
	}
	s.config.Logger.Info("callback put in again from the quarantine", "quarantine_id", callback.ID, "source", callback.Source,
		"stored", got.Stored, "duplicate", got.Duplicate, "discarded", got.Discarded)
	answer := &wabastreamv1.ReinjectQuarantinedResponse{
		EventIds:       make([]string, len(got.IDs)),
		StoredCount:    uint32(got.Stored),
		DuplicateCount: uint32(got.Duplicate),
		DiscardedCount: uint32(got.Discarded),
	}
	for i, id := range got.IDs {
		answer.EventIds[i] = id.String()
	}
	return answer, nil
}

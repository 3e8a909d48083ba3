package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Subscribe implements EventService. The request is checked before headers are
// sent, so that a client that sees headers knows that it is subscribed.
func (s *Service) Subscribe(req *wabastreamv1.SubscribeRequest, stream grpc.ServerStreamingServer[wabastreamv1.SubscribeResponse]) error {
	s.metrics.streams.Inc()
	defer s.metrics.streams.Dec()
	err := s.subscribe(req, stream)
	s.metrics.ended.WithLabelValues(reasonOf(err)).Inc()
	return err
}

func (s *Service) subscribe(req *wabastreamv1.SubscribeRequest, stream grpc.ServerStreamingServer[wabastreamv1.SubscribeResponse]) error {
	if s.draining.Err() != nil {
		return draining().status
	}
	lease := newLease(stream.Context())
	defer lease.release()
	caller, err := lease.caller()
	if err != nil {
		return err
	}
	leave, err := s.admission.enter(stream.Context(), caller)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	defer context.AfterFunc(s.draining, func() { cancel(draining()) })()
	if s.maxAge > 0 {
		defer time.AfterFunc(ageOf(s.maxAge), func() { cancel(aged()) }).Stop()
	}

	r, err := s.begin(ctx, lease, caller, req, stream)
	if r != nil {
		defer s.streams.leave(r.shown)
	}
	if err == nil {
		err = r.follow(ctx, lease)
	}
	if end, ok := endingOf(ctx, err); ok {
		r.announce(end)
		return end.status
	}
	return err
}

// endingOf tells whether an error is one that a stream ends with as its client is told.
func endingOf(ctx context.Context, err error) (end ending, ok bool) {
	if end, ok = errors.AsType[ending](err); ok || err == nil {
		return end, ok
	}
	return errors.AsType[ending](context.Cause(ctx))
}

// begin opens the subscription and sends its first frame. The runner is nil until
// headers are sent.
func (s *Service) begin(ctx context.Context, lease *lease, caller access.Caller, req *wabastreamv1.SubscribeRequest, stream grpc.ServerStreamingServer[wabastreamv1.SubscribeResponse]) (*runner, error) {
	sub, err := s.open(ctx, caller, req)
	if err != nil {
		return nil, err
	}
	ready, err := s.ready(ctx, caller, sub, req.GetFilters())
	if err != nil {
		return nil, s.logError(err)
	}
	r := newRunner(s, sub, stream)
	if err := stream.SendHeader(nil); err != nil {
		return nil, fmt.Errorf("send header: %w", err)
	}
	r.shown = s.streams.enter(ctx, lease.session, sub)
	s.logger.Debug("subscribed", "label", sub.label, "after", sub.position.Sequence, "resumed", sub.resumed)
	return r, r.send(&wabastreamv1.SubscribeResponse{Frame: &wabastreamv1.SubscribeResponse_Ready{Ready: ready}})
}

// runner sends one subscription's frames. It belongs to one goroutine.
type runner struct {
	*subscription
	service *Service
	stream  grpc.ServerStreamingServer[wabastreamv1.SubscribeResponse]

	selection selection
	complete  eventlog.Sequence // after it nothing was missing when the stream began
	waiter    *waiter
	shown     *entry      // in the registry
	timer     *time.Timer // of its waiting

	lastSent time.Time
	// settled is what the client has the cursor of, or where it began: up to here
	// nothing comes any more, whatever the caller may see later.
	settled eventlog.Position
	live    bool // caught_up was sent and no fell_behind since
	// told is up to where a gap frame has told that a type is gone, by path.
	told map[string]eventlog.Sequence

	// What follows is made use of again and again.
	parcel parcel
	blocks []*block
	places []int
}

func newRunner(s *Service, sub *subscription, stream grpc.ServerStreamingServer[wabastreamv1.SubscribeResponse]) *runner {
	return &runner{
		subscription: sub, service: s, stream: stream,
		selection: selectionOf(sub.matcher),
		complete:  sub.bounds.StartFor(sub.matcher).Sequence,
	}
}

// raw says that the callbacks' JSON is needed.
func (r *runner) raw() bool { return r.view == viewRaw }

// follow runs with the feed, by what the caller may see at the time.
func (r *runner) follow(ctx context.Context, lease *lease) error {
	feed := r.service.feed
	r.waiter = feed.join(r.matcher, r.raw(), r.bounds.Head)
	defer func() { feed.leave(r.waiter) }()
	r.timer = time.NewTimer(r.heartbeat)
	defer r.timer.Stop()
	return lease.while(ctx, func(ctx context.Context) error {
		if err := r.regrant(ctx, lease); err != nil {
			return err
		}
		return r.run(ctx)
	})
}

// run sends until the stop (nil), the context's end, or an error.
func (r *runner) run(ctx context.Context) error {
	for {
		if ctx.Err() != nil { // what is in memory is sent without another look at it
			return r.service.logError(ctx.Err())
		}
		r.shown.moved(r)
		if err := r.settleTimes(ctx); err != nil {
			return err
		}
		if r.bounded && r.position.Sequence >= r.stopAt {
			return r.finish()
		}
		more, done, err := r.advance(ctx)
		if err != nil {
			return err
		}
		if done || r.bounded && !more {
			return r.finish()
		}
		if err := r.sendProgressWhenDue(); err != nil {
			return err
		}
		if more {
			continue
		}
		if err := r.idle(ctx); err != nil {
			return err
		}
	}
}

func (r *runner) settleTimes(ctx context.Context) error {
	if err := r.settleStartTime(ctx); err != nil {
		return err
	}
	return r.settleStopTime(ctx)
}

// settleStartTime turns a start time that has passed into the position it means:
// from there on the stream is like any other.
func (r *runner) settleStartTime(ctx context.Context) error {
	if r.notBefore.IsZero() || time.Now().Before(r.notBefore) {
		return nil
	}
	p, err := r.service.log.Seek(ctx, r.notBefore)
	if err != nil {
		return r.service.logError(err)
	}
	if p.Sequence > r.position.Sequence {
		r.position = p
	}
	if p.Sequence > r.settled.Sequence {
		r.settled = p
	}
	r.notBefore = time.Time{}
	return nil
}

// settleStopTime turns a stop time that has passed into the position it means.
func (r *runner) settleStopTime(ctx context.Context) error {
	if r.stopTime == nil || r.bounded || time.Now().Before(*r.stopTime) {
		return nil
	}
	p, err := r.service.log.Seek(ctx, *r.stopTime)
	if err != nil {
		return r.service.logError(err)
	}
	r.bounded, r.stopAt = true, p.Sequence
	return nil
}

// step reads a page and sends what matches. more says that the log may hold
// more right now, done that the stop time was met.
func (r *runner) step(ctx context.Context) (more, done bool, err error) {
	query := eventlog.Query{
		After: r.position.Sequence, Filter: r.matcher,
		Limit: r.batchEvents, Bytes: maxBatchBytes, Raw: r.raw(),
	}
	if r.bounded {
		query.Until = r.stopAt
	}
	page, err := r.thinned.read(ctx, r.service.log, query)
	if errors.Is(err, eventlog.ErrTrimmed) {
		return true, false, r.passGap(ctx)
	}
	if err != nil {
		return false, false, r.service.readError(err, r.thinned.cursor)
	}
	if err := r.tellWhileHeld(ctx); err != nil {
		return false, false, err
	}
	if page.More {
		if err := r.fallBehind(); err != nil {
			return false, false, err
		}
	}
	done, err = r.sendPage(page)
	return page.More, done, err
}

// sendPage sends the page's events from the start time up to the stop time.
func (r *runner) sendPage(page eventlog.Page) (done bool, err error) {
	var b batch
	for i := range page.Entries {
		e := &page.Entries[i]
		if e.AppendTime.Before(r.notBefore) {
			continue
		}
		if r.stopTime != nil && !e.AppendTime.Before(*r.stopTime) {
			return true, r.flush(&b, b.last)
		}
		event := r.service.eventIn(r.view, e, r.thinned.cursor(e.Position))
		if !b.fits(event) {
			if err := r.flush(&b, b.last); err != nil {
				return false, err
			}
			b = batch{}
		}
		b.add(event, e.Position)
	}
	if err := r.flush(&b, page.Scanned); err != nil {
		return false, err
	}
	r.position = page.Scanned
	return false, nil
}

// idle is entered when everything stored was sent: it says so once, and returns
// when there is more, a heartbeat was sent, or the stop time has come.
func (r *runner) idle(ctx context.Context) error {
	if !r.live {
		r.live = true
		if err := r.sendCaughtUp(); err != nil {
			return err
		}
		r.shown.moved(r)
	}
	if r.shares() {
		return r.await(ctx)
	}
	until := r.lastSent.Add(r.heartbeat)
	if r.stopTime != nil && !r.bounded && r.stopTime.Before(until) {
		until = *r.stopTime
	}
	waiting, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	err := r.service.log.Wait(waiting, r.position.Sequence)
	if err != nil && (waiting.Err() == nil || ctx.Err() != nil) {
		return r.service.logError(err)
	}
	return r.sendProgressWhenDue()
}

// finish tells the last cursor of a bounded stream.
func (r *runner) finish() error {
	if r.stopTime == nil && r.stopAt == r.bounds.Head.Sequence {
		return r.sendCaughtUp()
	}
	return r.sendProgress()
}

// announce tells of a planned end, if the stream has begun. That the frame cannot be
// sent is no news: the client is gone or does not read.
func (r *runner) announce(end ending) {
	if r == nil {
		return
	}
	_ = r.send(&wabastreamv1.SubscribeResponse{Frame: &wabastreamv1.SubscribeResponse_Closing{
		Closing: &wabastreamv1.Closing{Reason: reasonOf(end.status), ReconnectDelay: end.delay},
	}})
}

func (r *runner) sendCaughtUp() error {
	return r.send(&wabastreamv1.SubscribeResponse{Frame: &wabastreamv1.SubscribeResponse_CaughtUp{CaughtUp: &wabastreamv1.CaughtUp{}}})
}

func (r *runner) sendProgressWhenDue() error {
	if time.Since(r.lastSent) < r.heartbeat {
		return nil
	}
	return r.sendProgress()
}

func (r *runner) sendProgress() error {
	return r.send(&wabastreamv1.SubscribeResponse{Frame: &wabastreamv1.SubscribeResponse_Progress{
		Progress: &wabastreamv1.Progress{Sources: r.service.sources()},
	}})
}

// send sends a frame under the cursor of everything scanned.
func (r *runner) send(response *wabastreamv1.SubscribeResponse) error {
	response.Cursor = r.thinned.cursor(r.position)
	if err := r.hand(response); err != nil {
		return fmt.Errorf("send frame: %w", err)
	}
	r.settled, r.lastSent = r.position, time.Now()
	return nil
}

// hand hands a frame to gRPC, which takes it once the client has room for it.
func (r *runner) hand(frame any) error {
	r.shown.sends()
	defer r.shown.sent()
	return r.stream.SendMsg(frame)
}

// flush sends what the batch holds, if anything, and moves on to the cursor.
func (r *runner) flush(b *batch, cursor eventlog.Position) error {
	if b.events == 0 {
		return nil
	}
	return r.sendBatch(b.frame(r.thinned.cursor(cursor)), cursor, b.events)
}

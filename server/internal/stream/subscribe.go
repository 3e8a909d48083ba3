package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
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
		return draining()
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	defer context.AfterFunc(s.draining, func() { cancel(errDraining) })()

	sub, err := s.open(ctx, req)
	if err != nil {
		return s.seen(err)
	}
	ready, err := s.ready(ctx, sub)
	if err != nil {
		return s.seen(logError(err))
	}
	r := &runner{subscription: sub, service: s, stream: stream}
	if err := stream.SendHeader(nil); err != nil {
		return fmt.Errorf("send header: %w", err)
	}
	if err := r.send(&wabastreamv1.SubscribeResponse{Frame: &wabastreamv1.SubscribeResponse_Ready{Ready: ready}}); err != nil {
		return err
	}
	s.logger.Debug("subscribed", "label", sub.label, "after", sub.position.Sequence, "resumed", sub.resumed)
	err = r.run(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errDraining) {
		return r.close(reasonDraining, reconnectDelay, draining())
	}
	return s.seen(err)
}

// seen logs what only the operator can mend.
func (s *Service) seen(err error) error {
	if r := reasonOf(err); r == reasonInternal || r == reasonLogCorrupt {
		s.logger.Error("serving events", "error", err)
	}
	return err
}

// runner sends one subscription's frames. It belongs to one goroutine.
type runner struct {
	*subscription
	service *Service
	stream  grpc.ServerStreamingServer[wabastreamv1.SubscribeResponse]

	lastSent time.Time
	live     bool // caught_up was sent and no fell_behind since
}

// run sends until the stop (nil), the context's end, or an error.
func (r *runner) run(ctx context.Context) error {
	if r.gap != nil {
		if err := r.sendGap(r.gap); err != nil {
			return err
		}
	}
	for {
		if err := r.settleStopTime(ctx); err != nil {
			return err
		}
		if r.bounded && r.position.Sequence >= r.stopAt {
			return r.finish()
		}
		more, done, err := r.step(ctx)
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

// settleStopTime turns a stop time that has passed into the position it means.
func (r *runner) settleStopTime(ctx context.Context) error {
	if r.stopTime.IsZero() || r.bounded || time.Now().Before(r.stopTime) {
		return nil
	}
	p, err := r.service.log.Seek(ctx, r.stopTime)
	if err != nil {
		return logError(err)
	}
	r.bounded, r.stopAt = true, p.Sequence
	return nil
}

// step reads a page and sends what matches. more says that the log may hold
// more right now, done that the stop time was met.
func (r *runner) step(ctx context.Context) (more, done bool, err error) {
	query := eventlog.Query{
		After: r.position.Sequence, Filter: r.matcher,
		Limit: r.batchEvents, Bytes: maxBatchBytes, Raw: r.raw,
	}
	if r.bounded {
		query.Until = r.stopAt
	}
	page, err := r.service.log.Read(ctx, query)
	if errors.Is(err, eventlog.ErrTrimmed) {
		return true, false, r.passGap(ctx)
	}
	if err != nil {
		return false, false, logError(err)
	}
	if page.More && r.live {
		r.live = false
		if err := r.send(&wabastreamv1.SubscribeResponse{Frame: &wabastreamv1.SubscribeResponse_FellBehind{FellBehind: &wabastreamv1.FellBehind{}}}); err != nil {
			return false, false, err
		}
	}
	done, err = r.sendPage(page)
	return page.More, done, err
}

// sendPage sends the page's events up to the stop time.
func (r *runner) sendPage(page eventlog.Page) (done bool, err error) {
	entries, end := page.Entries, page.Scanned
	for i := range entries {
		if !r.stopTime.IsZero() && !entries[i].AppendTime.Before(r.stopTime) {
			entries, end, done = entries[:i], r.position, true
			if i > 0 {
				end = entries[i-1].Position
			}
			break
		}
	}
	var b batch
	for i := range entries {
		b.add(&entries[i])
		if len(b.body) >= maxBatchBytes && i < len(entries)-1 {
			if err := r.sendBatch(&b, b.last); err != nil {
				return done, err
			}
			b = batch{}
		}
	}
	if b.events > 0 {
		return done, r.sendBatch(&b, end)
	}
	r.position = end
	return done, nil
}

// passGap goes on after records that retention removed before they were sent.
func (r *runner) passGap(ctx context.Context) error {
	bounds, err := r.service.log.Bounds(ctx)
	if err != nil {
		return logError(err)
	}
	if !r.skipGaps {
		return expired(r.position, bounds)
	}
	gap := &wabastreamv1.Gap{FromCursor: cursorOf(r.position), ToCursor: cursorOf(bounds.Start)}
	r.position = bounds.Start
	return r.sendGap(gap)
}

// idle is entered when everything stored was sent: it says so once, and returns
// when there is more, a heartbeat was sent, or the stop time has come.
func (r *runner) idle(ctx context.Context) error {
	if !r.live {
		r.live = true
		if err := r.sendCaughtUp(); err != nil {
			return err
		}
	}
	until := r.lastSent.Add(r.heartbeat)
	if !r.stopTime.IsZero() && !r.bounded && r.stopTime.Before(until) {
		until = r.stopTime
	}
	waiting, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	err := r.service.log.Wait(waiting, r.position.Sequence)
	if err != nil && (waiting.Err() == nil || ctx.Err() != nil) {
		return logError(err)
	}
	return r.sendProgressWhenDue()
}

// finish tells the last cursor of a bounded stream.
func (r *runner) finish() error {
	if r.stopTime.IsZero() && r.stopAt == r.bounds.Head.Sequence {
		return r.sendCaughtUp()
	}
	return r.sendProgress()
}

// close announces a planned end. That the frame cannot be sent is no news: the
// client is gone or does not read.
func (r *runner) close(reason string, delay time.Duration, end error) error {
	_ = r.send(&wabastreamv1.SubscribeResponse{Frame: &wabastreamv1.SubscribeResponse_Closing{
		Closing: &wabastreamv1.Closing{Reason: reason, ReconnectDelay: durationpb.New(delay)},
	}})
	return end
}

func (r *runner) sendCaughtUp() error {
	return r.send(&wabastreamv1.SubscribeResponse{Frame: &wabastreamv1.SubscribeResponse_CaughtUp{CaughtUp: &wabastreamv1.CaughtUp{}}})
}

func (r *runner) sendGap(gap *wabastreamv1.Gap) error {
	return r.send(&wabastreamv1.SubscribeResponse{Frame: &wabastreamv1.SubscribeResponse_Gap{Gap: gap}})
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
	response.Cursor = cursorOf(r.position)
	if err := r.stream.Send(response); err != nil {
		return fmt.Errorf("send frame: %w", err)
	}
	r.lastSent = time.Now()
	return nil
}

func (r *runner) sendBatch(b *batch, cursor eventlog.Position) error {
	if err := r.stream.SendMsg(b.frame(cursor)); err != nil {
		return fmt.Errorf("send batch: %w", err)
	}
	r.position, r.lastSent = cursor, time.Now()
	r.service.metrics.deliveries.Add(float64(b.events))
	return nil
}

package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// shares says that the runner sends from blocks that it shares with others. Streams
// with an end read by themselves, and so does one in the part of the log in which
// events were gone when it began: it is told so, or takes what is held there.
func (r *runner) shares() bool {
	return !r.bounded && r.stopTime == nil && r.notBefore.IsZero() &&
		r.position.Sequence >= max(r.thinned.upTo, r.complete)
}

// advance sends some of what there is. more says that there may be more right now,
// done that the stop time was met.
func (r *runner) advance(ctx context.Context) (more, done bool, err error) {
	if !r.shares() {
		return r.step(ctx)
	}
	head, _ := r.service.feed.follow() // first: what it has passed is in memory before
	if found, err := r.sendRecent(); found || err != nil {
		return true, false, err
	}
	if r.position.Sequence >= max(head.Sequence, r.bounds.Head.Sequence) {
		return false, false, nil
	}
	if err := r.fallBehind(); err != nil {
		return false, false, err
	}
	if !r.selection.everything() {
		_, done, err = r.step(ctx)
		return true, done, err
	}
	return true, false, r.sendLoaded(ctx)
}

// sendRecent sends from memory, if that has what comes next.
func (r *runner) sendRecent() (found bool, err error) {
	r.blocks = r.service.feed.recent.next(r.position.Sequence, r.batchEvents, r.raw, r.blocks[:0])
	defer clear(r.blocks)
	return len(r.blocks) > 0, r.sendBlocks(r.blocks)
}

// sendLoaded sends what all who want everything read from the log together.
func (r *runner) sendLoaded(ctx context.Context) error {
	b, err := r.service.feed.load(ctx, r.position, r.raw)
	if errors.Is(err, eventlog.ErrTrimmed) {
		return r.passGap(ctx)
	}
	if err != nil {
		return r.service.readError(err, r.thinned.cursor)
	}
	return r.sendBlocks([]*block{b})
}

// sendBlocks sends what is wanted of blocks that follow each other.
func (r *runner) sendBlocks(blocks []*block) error {
	defer r.parcel.empty()
	for _, b := range blocks {
		if err := r.pack(b); err != nil {
			return err
		}
	}
	if len(blocks) == 0 {
		return nil
	}
	upTo := blocks[len(blocks)-1].upTo
	if err := r.ship(upTo); err != nil {
		return err
	}
	r.position = upTo
	return nil
}

func (r *runner) pack(b *block) error {
	from := b.place(r.position.Sequence)
	if from == len(b.entries) {
		return nil
	}
	if r.selection.everything() {
		return r.packRange(b, b.view(r.view), from, len(b.entries))
	}
	r.places = r.selection.in(b, from, r.places[:0])
	if len(r.places) == 0 {
		return nil // it need not be encoded
	}
	v := b.view(r.view)
	for _, place := range r.places {
		if err := r.packRange(b, v, place, place+1); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) packRange(b *block, v *view, from, to int) error {
	for from < to {
		n := r.parcel.fit(v, from, to, r.batchEvents)
		if n == 0 {
			if err := r.ship(r.parcel.last); err != nil {
				return err
			}
			continue
		}
		r.parcel.add(v, from, from+n, b.entries[from+n-1].Position)
		from += n
	}
	return nil
}

// ship sends the parcel, if anything is in it, and moves on to the cursor.
func (r *runner) ship(cursor eventlog.Position) error {
	events := r.parcel.events
	if events == 0 {
		return nil
	}
	return r.sendBatch(r.parcel.frame(r.thinned.cursor(cursor)), cursor, events)
}

func (r *runner) sendBatch(frame *rawFrame, cursor eventlog.Position, events int) error {
	if err := r.stream.SendMsg(frame); err != nil {
		return fmt.Errorf("send batch: %w", err)
	}
	r.position, r.lastSent = cursor, time.Now()
	r.service.metrics.deliveries.Add(float64(events))
	return nil
}

// fallBehind tells a live reader that it is not any more.
func (r *runner) fallBehind() error {
	if !r.live {
		return nil
	}
	r.live = false
	return r.send(&wabastreamv1.SubscribeResponse{Frame: &wabastreamv1.SubscribeResponse_FellBehind{FellBehind: &wabastreamv1.FellBehind{}}})
}

// await returns when something may concern the runner, or a heartbeat was sent.
func (r *runner) await(ctx context.Context) error {
	feed := r.service.feed
	if !feed.arm(r.waiter, r.position.Sequence) {
		return nil
	}
	err := r.sleep(ctx, r.lastSent.Add(r.heartbeat))
	if passed := feed.disarm(r.waiter); passed.Sequence > r.position.Sequence {
		r.position = passed
	}
	if err != nil {
		return err
	}
	return r.sendProgressWhenDue()
}

// sleep lasts until the feed wakes the runner or the time has come.
func (r *runner) sleep(ctx context.Context, until time.Time) error {
	r.timer.Reset(time.Until(until))
	defer r.timer.Stop()
	select {
	case <-r.waiter.wake:
		return nil
	case <-r.timer.C:
		return nil
	case <-ctx.Done():
		return r.service.logError(ctx.Err())
	case <-r.waiter.outage.begun:
		return r.service.outageError(r.waiter.outage.err)
	}
}

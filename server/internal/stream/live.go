package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// lookAhead is how many of the events in memory one who wants some of them goes
// through for a frame.
const lookAhead = 1 << 15

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

// sendRecent sends a frame from memory, if that has what comes next. What is in no
// frame yet is looked for again: whoever does not read must hold nothing.
func (r *runner) sendRecent() (found bool, err error) {
	entries := lookAhead
	if r.selection.everything() {
		entries = r.batchEvents
	}
	r.blocks = r.service.feed.recent.next(r.position.Sequence, entries, r.raw(), r.blocks[:0])
	return len(r.blocks) > 0, r.sendBlocks()
}

// sendLoaded sends what all who want everything read from the log together.
func (r *runner) sendLoaded(ctx context.Context) error {
	b, err := r.service.feed.load(ctx, r.position, r.raw())
	if errors.Is(err, eventlog.ErrTrimmed) {
		return r.passGap(ctx)
	}
	if err != nil {
		return r.service.readError(err, r.thinned.cursor)
	}
	r.blocks = append(r.blocks[:0], b)
	return r.sendBlocks()
}

// sendBlocks sends one frame with what is wanted of the runner's blocks, which follow
// each other, as far as it fits, and lets go of them.
func (r *runner) sendBlocks() error {
	upTo := r.position
	for _, b := range r.blocks {
		if r.pack(b) {
			upTo = r.parcel.last
			break
		}
		upTo = b.upTo
	}
	clear(r.blocks)
	if r.parcel.events == 0 {
		r.position = upTo
		return nil
	}
	events := r.parcel.events
	return r.sendBatch(r.parcel.frame(r.thinned.cursor(upTo)), upTo, events)
}

// pack adds what is wanted of a block to the parcel, until that is full.
func (r *runner) pack(b *block) (full bool) {
	from := b.place(r.position.Sequence)
	if from == len(b.entries) {
		return false
	}
	if r.selection.everything() {
		return r.packRange(b, r.viewOf(b), from, len(b.entries))
	}
	r.places = r.selection.in(b, from, r.places[:0])
	if len(r.places) == 0 {
		return false // it need not be encoded
	}
	v := r.viewOf(b)
	for _, place := range r.places {
		if r.packRange(b, v, place, place+1) {
			return true
		}
	}
	return false
}

// viewOf is a block in the form that is sent.
func (r *runner) viewOf(b *block) *view {
	v, grown := b.view(r.view, r.service.redactor)
	if grown > 0 {
		r.service.feed.recent.grow(b, grown)
	}
	return v
}

func (r *runner) packRange(b *block, v *view, from, to int) (full bool) {
	n := r.parcel.fit(v, from, to, r.batchEvents)
	if n > 0 {
		r.parcel.add(v, from, from+n, b.entries[from+n-1].Position)
	}
	return from+n < to
}

func (r *runner) sendBatch(frame *rawFrame, cursor eventlog.Position, events int) error {
	if err := r.hand(frame); err != nil {
		return fmt.Errorf("send batch: %w", err)
	}
	r.position, r.settled, r.lastSent = cursor, cursor, time.Now()
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

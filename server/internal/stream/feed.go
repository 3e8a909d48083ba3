package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

const (
	// feedPause is the least time from telling of what there is to looking for more.
	// What comes meanwhile is read at once and sent in one frame, for a third of the
	// cost where much comes. An event after a while of silence is not held up.
	feedPause = time.Millisecond
	// feedPauseMost is up to what time the pause grows with those who are to be woken.
	feedPauseMost = 20 * time.Millisecond
	// roundBlocks is the most that is read before it is told of.
	roundBlocks = 64
)

// feed follows the head of the log for all subscribers: it reads every new record
// once, keeps it in memory for a while, and wakes those whom it concerns. As long as
// nobody subscribes it reads nothing.
type feed struct {
	log    Reader
	logger *slog.Logger
	recent *recent
	loads  singleflight.Group
	wanted chan struct{} // holds a token when somebody may have begun to wait
	done   chan struct{} // closed once the feed has ended

	taken chan struct{} // holds a token when nobody may be left who was woken and has not begun to run

	mu        sync.Mutex // guards fields below it
	interest  *interest
	followers int
	raw       int               // followers that want the callbacks' JSON
	woken     int               // waiters that have not begun to run yet
	head      eventlog.Position // everything up to here was looked at
	outage    *outage           // the next one, or the last
}

// waiter is a subscriber as the feed knows it.
type waiter struct {
	matcher *eventlog.Matcher
	raw     bool
	wake    chan struct{} // holds a token once something concerns it
	outage  *outage       // ends its waiting
	// Guarded by the feed's lock:
	armed  bool              // it waits
	after  eventlog.Sequence // what it waits for is behind this
	passed eventlog.Position // nothing up to here concerned it since it began to wait
}

func newFeed(log Reader, logger *slog.Logger, recentBytes int) *feed {
	return &feed{
		log: log, logger: logger, recent: &recent{limit: recentBytes}, interest: newInterest(), outage: newOutage(),
		wanted: make(chan struct{}, 1), taken: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// join makes a waiter known. Head is the log's: whoever comes first has the feed
// begin there.
func (f *feed) join(matcher *eventlog.Matcher, raw bool, head eventlog.Position) *waiter {
	w := &waiter{matcher: matcher, raw: raw, wake: make(chan struct{}, 1)}
	f.mu.Lock()
	defer f.mu.Unlock()
	w.outage = f.outage
	f.interest.add(w)
	if raw {
		f.raw++
	}
	if f.followers++; f.followers == 1 {
		f.head = head
		signal(f.wanted)
	}
	return w
}

func (f *feed) leave(w *waiter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.interest.remove(w)
	if w.raw {
		f.raw--
	}
	if f.followers--; f.followers == 0 {
		f.recent.clear()
	}
}

// arm begins to wait for what follows the sequence, unless the feed is beyond it.
func (f *feed) arm(w *waiter, after eventlog.Sequence) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.armed, w.after = f.head.Sequence <= after, after
	return w.armed
}

// disarm ends waiting. Nothing up to the position returned concerned the waiter.
func (f *feed) disarm(w *waiter) eventlog.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.armed {
		w.armed = false
		return f.head
	}
	select {
	case <-w.wake: // came together with what ended the wait
	default:
	}
	if f.woken--; f.woken == 0 {
		signal(f.taken)
	}
	return w.passed
}

// passed is up to where nothing concerned a waiter, while it waits; zero if it does not.
func (f *feed) passed(w *waiter) eventlog.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !w.armed {
		return eventlog.Position{}
	}
	return f.head
}

func signal(token chan<- struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}

// follow is where the feed stands, and whether anybody wants it to go on.
func (f *feed) follow() (eventlog.Position, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.head, f.followers > 0
}

// run follows the log until the context ends or the log does. Another error ends
// those who wait, and the feed tries again for those who come.
func (f *feed) run(ctx context.Context) {
	defer close(f.done)
	for {
		err := f.turn(ctx)
		if err == nil {
			continue
		}
		f.fail(err)
		if endsFeed(err) {
			return
		}
		f.logger.Error("reading the head of the log; the streams that wait for it are ended", "error", err)
		select {
		case <-time.After(outagePause):
		case <-ctx.Done():
		}
	}
}

// turn goes on as soon as somebody wants it.
func (f *feed) turn(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if head, wanted := f.follow(); wanted {
		return f.step(ctx, head)
	}
	select {
	case <-f.wanted:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// step waits for what follows a position and takes it in.
func (f *feed) step(ctx context.Context, head eventlog.Position) error {
	if err := f.log.Wait(ctx, head.Sequence); err != nil {
		return err
	}
	if _, wanted := f.follow(); !wanted {
		return nil
	}
	round, more, err := f.readRound(ctx, head)
	if len(round) == 0 {
		return f.pass(ctx, head, err)
	}
	if err := f.settle(ctx); err != nil {
		return err
	}
	f.publish(round)
	if more {
		return nil
	}
	return f.rest(ctx)
}

// readRound reads a block, and more of them for as long as those who were woken last
// have not all begun to run. They take these along if they come that far: the longer
// it takes to wake everybody, the less often it is done. With the first block it
// returns no error: who meets it next will.
func (f *feed) readRound(ctx context.Context, head eventlog.Position) (round []*block, more bool, err error) {
	for more = true; more && len(round) < roundBlocks; head = round[len(round)-1].upTo {
		if len(round) > 0 && !f.waking() {
			break
		}
		var b *block
		if b, more, err = f.read(ctx, head, 0, f.wantsRaw()); err != nil {
			return round, true, err
		}
		f.recent.add(b)
		round = append(round, b)
	}
	return round, more, nil
}

func (f *feed) wantsRaw() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.raw > 0
}

// rest lasts until everyone who was woken has begun to run, and for as long again: the
// time goes to whoever appends, and to what the next round is for.
func (f *feed) rest(ctx context.Context) error {
	published := time.Now()
	if err := f.settle(ctx); err != nil {
		return err
	}
	pause := min(max(feedPause, 2*time.Since(published)), feedPauseMost) - time.Since(published)
	select {
	case <-time.After(pause):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settle lasts until everyone who was woken has begun to run. Where many are woken
// what comes meanwhile shares the next round, as appends share a sync: the more there
// is to do, the less each event costs. Nobody waits for a subscriber that does not
// read: it has run, and is woken again once it is back.
func (f *feed) settle(ctx context.Context) error {
	for f.waking() {
		select {
		case <-f.taken:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// waking tells whether somebody was woken and has not begun to run yet.
func (f *feed) waking() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.woken > 0
}

// read reads a block. more says that there is more behind it.
func (f *feed) read(ctx context.Context, after eventlog.Position, until eventlog.Sequence, raw bool) (b *block, more bool, err error) {
	page, err := f.log.Read(ctx, eventlog.Query{
		After: after.Sequence, Until: until, Limit: blockEvents, Bytes: blockBytes, Raw: raw,
	})
	if err != nil {
		return nil, false, err
	}
	return newBlock(after, page, raw), page.More, nil
}

// publish wakes whom blocks that follow each other concern.
func (f *feed) publish(round []*block) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if round[0].after != f.head {
		return // all had left meanwhile, and others have come
	}
	for _, b := range round {
		f.call(b)
	}
	f.head = round[len(round)-1].upTo
}

// call wakes whom a block concerns and who has not taken it already.
func (f *feed) call(b *block) {
	for i := range b.entries {
		e := &b.entries[i]
		f.interest.concern(&e.Header, func(w *waiter) {
			if w.armed && w.after < e.Position.Sequence && w.matcher.Match(&e.Header) {
				f.wake(w)
			}
		})
	}
	if n := len(b.entries); n > 0 {
		each(f.interest.all, func(w *waiter) {
			if w.after < b.entries[n-1].Position.Sequence {
				f.wake(w)
			}
		})
	}
}

// wake is called before head moves beyond what concerns the waiter.
func (f *feed) wake(w *waiter) {
	if !w.armed {
		return
	}
	w.armed, w.passed = false, f.head
	f.woken++
	w.wake <- struct{}{} // has room: whoever waits has taken the last token
}

// pass goes on behind what the feed cannot read: trimmed before it came to it, or
// corrupt. Everyone is woken, reads the log itself, and is told what it says.
func (f *feed) pass(ctx context.Context, head eventlog.Position, err error) error {
	var to eventlog.Position
	if corrupt, ok := errors.AsType[*eventlog.CorruptError](err); ok {
		to = eventlog.Position{Log: head.Log, Sequence: corrupt.Last}
	} else {
		if !errors.Is(err, eventlog.ErrTrimmed) {
			return err
		}
		bounds, err := f.log.Bounds(ctx)
		if err != nil {
			return fmt.Errorf("find the ends of the log: %w", err)
		}
		to = bounds.StartFor(nil)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.head == head && head.Sequence < to.Sequence {
		f.interest.everyone(f.wake)
		f.head = to
	}
	return nil
}

// load reads the block behind a position, once for all who want it at the same time.
func (f *feed) load(ctx context.Context, after eventlog.Position, raw bool) (*block, error) {
	key := strconv.FormatUint(uint64(after.Sequence), 36) + strconv.FormatBool(raw)
	for {
		b, err, _ := f.loads.Do(key, func() (any, error) { return f.readBehind(ctx, after, raw) })
		switch {
		case err == nil:
			return b.(*block), nil
		case ctx.Err() == nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)):
			// It was another's context that ended.
		default:
			return nil, err
		}
	}
}

// readBehind reads up to what is in memory already, and remembers it. Ahead of the
// feed it does not: the feed's next block holds the same, and is for more.
func (f *feed) readBehind(ctx context.Context, after eventlog.Position, raw bool) (*block, error) {
	head, _ := f.follow()
	until := f.recent.before(after.Sequence, raw)
	if until == 0 && head.Sequence > after.Sequence {
		until = head.Sequence
	}
	b, _, err := f.read(ctx, after, until, raw)
	if err == nil && b.upTo.Sequence <= head.Sequence {
		f.recent.add(b)
	}
	return b, err
}

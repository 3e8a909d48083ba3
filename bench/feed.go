package main

import (
	"context"
	"errors"
	"sync"
	"time"
)

// pacedPublishers publish side by side at a rate where the broker orders events:
// each waits until its event is durable, and one alone could not keep the rate.
const pacedPublishers = 32

// feed publishes to a broker: as fast as it may go on, or at a steady rate.
type feed struct {
	broker  broker
	load    *streamLoad
	workers sync.WaitGroup
	stop    context.CancelFunc

	mu    sync.Mutex // guards fields below it
	moved sync.Cond
	next  uint64 // event published next
	upTo  uint64 // events before this one may be published
	ended bool
	err   error
}

// startFeed publishes from the nth event on. At rate zero only as far as allow
// says, in batches; otherwise so many events a second, each by itself.
func startFeed(ctx context.Context, c streamContender, to broker, load *streamLoad, from uint64, rate float64) *feed {
	ctx, stop := context.WithCancel(ctx)
	f := &feed{broker: to, load: load, next: from, stop: stop}
	f.moved.L = &f.mu
	if rate > 0 {
		f.pace(ctx, c, rate)
		return f
	}
	for range c.publishers {
		f.workers.Go(func() { f.run(ctx, uint64(c.batch)) })
	}
	return f
}

func (f *feed) run(ctx context.Context, batch uint64) {
	for {
		first, n, ok := f.claim(batch)
		if !ok {
			return
		}
		if err := f.broker.publish(ctx, f.load, first, n); err != nil {
			f.fail(err)
			return
		}
	}
}

// claim waits until at least one event may be published, and takes up to a batch.
func (f *feed) claim(batch uint64) (first, n uint64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.next >= f.upTo && !f.ended {
		f.moved.Wait()
	}
	if f.ended {
		return 0, 0, false
	}
	first, n = f.next, min(batch, f.upTo-f.next)
	f.next += n
	return first, n, true
}

// pace hands events out one by one, evenly spread over time.
func (f *feed) pace(ctx context.Context, c streamContender, rate float64) {
	publishers := 1
	if c.publishers > 1 {
		publishers = pacedPublishers
	}
	due := make(chan uint64, 4096)
	for range publishers {
		f.workers.Go(func() {
			for n := range due {
				if err := f.broker.publish(ctx, f.load, n, 1); err != nil {
					f.fail(err)
				}
			}
		})
	}
	f.workers.Go(func() {
		defer close(due)
		beat(rate, func(time.Time) bool {
			_, ok := f.takeOne(due)
			return ok
		})
	})
}

// takeOne hands the next event out, unless the feed has ended.
func (f *feed) takeOne(due chan<- uint64) (n uint64, ok bool) {
	f.mu.Lock()
	n, ok = f.next, !f.ended
	if ok {
		f.next++
	}
	f.mu.Unlock()
	if ok {
		due <- n
	}
	return n, ok
}

// beat calls do at a steady rate, with the time at which each call was due, until
// it returns false. What is late is called at once. The runtime's timers wake an
// idle process a millisecond apart at best, with what is due until then all at
// once; the system's clock does not.
func beat(rate float64, do func(due time.Time) bool) {
	interval := time.Duration(float64(time.Second) / rate)
	for due := time.Now(); ; due = due.Add(interval) {
		for early := time.Until(due); early > 0; early = time.Until(due) {
			pause(early)
		}
		if !do(due) {
			return
		}
	}
}

// allow lets events before the nth be published.
func (f *feed) allow(upTo uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.upTo = max(f.upTo, upTo)
	f.moved.Broadcast()
}

func (f *feed) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	f.err = errors.Join(f.err, err)
	f.moved.Broadcast()
}

// published is how many events were handed out so far, those of earlier feeds
// included.
func (f *feed) published() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next
}

// end waits until everything handed out was taken, and tells which event comes
// next. An error says that some were not.
func (f *feed) end() (next uint64, err error) {
	f.mu.Lock()
	f.ended = true
	f.moved.Broadcast()
	f.mu.Unlock()
	f.workers.Wait()
	f.stop()
	return f.next, f.err
}

package natslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// What waits while messages are under way shares the next, as the servers sync each
// message and send it to each other by itself. An append that finds nothing under way is
// sent at once.
const (
	// flights is how many messages of appends are under way at once: one is synced while
	// another is acknowledged and taken in here. With more, less is shared.
	flights = 2
	// carriedBytes and carriedRecords are with what a message has had enough. Whoever folds
	// keeps the ids of a window of messages, and reads them at its start, so more would be
	// dear, and share little that this does not.
	carriedBytes   = 128 << 10
	carriedRecords = 64
	// barrierRest is how long barriers alone wait for company behind a message that was
	// sent for barriers alone: what only reads is not to fill the stream.
	barrierRest = 10 * time.Millisecond
	// aloneBytes is what an append has at least that gets a message of its own, beside
	// flights.
	aloneBytes = 256 << 10
)

// call is a call of Append, or of settle: then it is a barrier, has no records, and is
// sent all the same.
type call struct {
	ctx     context.Context //nolint:containedctx // of the call that this stands for
	barrier bool
	records []eventlog.Record
	answers []eventlog.Appended // valid once done says nil
	done    chan error
}

// Append implements eventlog.Log.
func (l *Log) Append(ctx context.Context, records []eventlog.Record) ([]eventlog.Appended, error) {
	end, err := l.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := eventlog.CheckAppend(records); err != nil {
		return nil, err
	}
	ctx, cancel := l.while(ctx)
	defer cancel()
	c := &call{ctx: ctx, records: records, answers: make([]eventlog.Appended, len(records)), done: make(chan error, 1)}
	if c.size() >= aloneBytes {
		err = l.commit(ctx, c)
	} else {
		err = l.ride(c)
	}
	if err != nil {
		return nil, endOf(ctx, err)
	}
	return c.answers, nil
}

func (c *call) size() (n int) {
	for i := range c.records {
		n += recordSize(&c.records[i])
	}
	return n
}

// ride has a call carried with others, and waits. What is carried goes on without a
// caller that leaves, and so on a copy of what is its.
func (l *Log) ride(c *call) error {
	c.records = append([]eventlog.Record(nil), c.records...)
	for i := range c.records {
		r := &c.records[i]
		r.Payload, r.Raw = bytes.Clone(r.Payload), bytes.Clone(r.Raw)
	}
	select {
	case l.calls <- c:
	case <-c.ctx.Done():
		return l.left(c)
	}
	select {
	case err := <-c.done:
		return err
	case <-c.ctx.Done():
		return l.left(c)
	}
}

// left is the error of a call that ended before it was answered.
func (l *Log) left(c *call) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.said == nil {
		return c.ctx.Err()
	}
	return fmt.Errorf("append to the stream, which said: %w: %w", l.said, c.ctx.Err())
}

// carryAll carries calls, one message after the other.
func (l *Log) carryAll() {
	var rested time.Time // from when on barriers may go alone
	for {
		select {
		case c := <-l.calls:
			calls := l.gather(c, time.Until(rested))
			l.carry(calls)
			if onlyBarriers(calls) {
				rested = time.Now().Add(barrierRest)
			}
		case <-l.running.Done():
			return
		}
	}
}

func onlyBarriers(calls []*call) bool {
	return !slices.ContainsFunc(calls, func(c *call) bool { return !c.barrier })
}

// gather takes on what waits beside a call. Barriers alone wait for company, as long as
// they are to rest.
func (l *Log) gather(c *call, rest time.Duration) []*call {
	// Others that are ready to run have their turn first, and then wait too.
	runtime.Gosched()
	var alone <-chan time.Time
	if rest > 0 {
		timer := time.NewTimer(rest)
		defer timer.Stop()
		alone = timer.C
	}
	calls, size, records := []*call{c}, c.size(), len(c.records)
	for size < carriedBytes && records < carriedRecords {
		select {
		case c = <-l.calls:
		default:
			if c = l.company(calls, alone); c == nil {
				return calls
			}
		}
		calls, size, records = append(calls, c), size+c.size(), records+len(c.records)
	}
	return calls
}

// company waits for another call if there are barriers alone, until their rest is over;
// nil is that they go.
func (l *Log) company(calls []*call, alone <-chan time.Time) *call {
	if alone == nil || !onlyBarriers(calls) {
		return nil
	}
	select {
	case c := <-l.calls:
		return c
	case <-alone:
	case <-l.running.Done():
	}
	return nil
}

// carry commits calls together, and answers them. It ends when none of them waits any
// more: a message is not sent again for longer than the servers know its id.
func (l *Log) carry(calls []*call) {
	ctx, cancel := context.WithCancel(l.running)
	defer cancel()
	var waiting atomic.Int64
	waiting.Store(int64(len(calls)))
	for _, c := range calls {
		defer context.AfterFunc(c.ctx, func() {
			if waiting.Add(-1) == 0 {
				cancel()
			}
		})()
	}
	err := l.commit(ctx, calls...)
	// What is refused for its company is not refused by itself.
	apart := len(calls) > 1 && (errors.Is(err, eventlog.ErrTooLarge) || errors.Is(err, eventlog.ErrFull))
	for _, c := range calls {
		if apart {
			err = l.commit(c.ctx, c)
		}
		c.done <- endOf(l.running, err)
	}
}

// commit sends the records of calls until they are in the log, and answers for them.
func (l *Log) commit(ctx context.Context, calls ...*call) error {
	for {
		settled, err := l.try(ctx, calls)
		if err != nil || settled {
			return err
		}
	}
}

// try sends what is not known here as a duplicate. It is to be called again if the
// message came too late.
func (l *Log) try(ctx context.Context, calls []*call) (settled bool, err error) {
	// Before the look for duplicates: what comes in after it is for the fold to see.
	seen, _ := l.place()
	e := &entry{kind: callback, seen: seen, stamp: l.stamp()}
	at := timeOf(max(e.stamp, seen.stamp))
	var sent []*eventlog.Appended
	for _, c := range calls {
		for i := range c.records {
			answer, ok, err := l.copy.Known(c.records[i].ID, at)
			if err != nil {
				return false, err
			}
			c.answers[i] = answer
			if !ok {
				sent, e.records = append(sent, &c.answers[i]), append(e.records, c.records[i])
			}
		}
	}
	switch {
	case len(sent) > 0:
	case slices.ContainsFunc(calls, func(c *call) bool { return c.barrier }):
		e.kind, e.stamp = tick, seen.stamp
	default:
		return true, nil
	}
	v, err := l.submit(ctx, subjectLog, e)
	if err != nil || v.void {
		return false, err
	}
	for i, answer := range v.answers {
		if answer.Duplicate && answer.Position.Sequence == 0 {
			answer = l.firstCopy(e.records[i].ID, answer, at)
		}
		*sent[i] = answer
	}
	return true, nil
}

// firstCopy finds the first copy of a duplicate that the fold knows no place of.
func (l *Log) firstCopy(id eventlog.ID, answer eventlog.Appended, at time.Time) eventlog.Appended {
	if found, ok, err := l.copy.Known(id, at); ok && err == nil {
		return found
	}
	return answer
}

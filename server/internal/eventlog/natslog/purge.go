package natslog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// worthBases is how many times as much as the states of a base take a purge must give
// back for one to be stored.
const worthBases = 2

// purge removes messages from the stream that no replica needs any more: all of their
// records are trimmed, their ids need not be known, and the fold of a replica that
// begins at the base does not look at them. Before that the states there are stored, and
// then the base is in the stream. What a crash leaves between these steps is harmless:
// the next purge goes on, and removes what nothing refers to.
func (l *Log) purge(ctx context.Context, upTo eventlog.Sequence) error {
	if !l.purging.TryLock() {
		return nil // one is under way
	}
	defer l.purging.Unlock()
	info, err := l.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("ask for the state of the stream: %w", err)
	}
	first, last := info.State.FirstSeq, info.State.LastSeq
	if last < first+2*l.opts.Window {
		return nil // not worth it
	}
	newest, err := l.newestBase(ctx)
	if err != nil {
		return err
	}
	if l.leadIn(newest.place()) > first {
		return l.purgeTo(ctx, newest, first) // what another one has begun
	}
	at, err := l.findBase(ctx, first, last, upTo)
	if err != nil {
		return err
	}
	if at.message < first+2*l.opts.Window || at.message <= newest.place().message {
		return nil // not worth it
	}
	frees := info.State.Bytes / max(info.State.Msgs, 1) * (l.leadIn(at) - first)
	next, err := l.addBase(ctx, newest, at, frees)
	if err != nil || next == nil {
		return err
	}
	return l.purgeTo(ctx, next, first)
}

// addBase has the stream say that replicas begin at a place; nil if that is not worth
// what it costs, or if another replica was first.
func (l *Log) addBase(ctx context.Context, newest *baseMessage, at place, frees uint64) (*baseMessage, error) {
	// Replicas take what was stored for longer than this, and nothing refers to, for
	// what a crash has left.
	ctx, cancel := context.WithTimeout(ctx, l.opts.ObjectWait/2)
	defer cancel()
	object, worth, err := l.storeBase(ctx, newest, at, frees)
	if err != nil || !worth {
		return nil, err
	}
	seen, _ := l.place()
	e := &entry{kind: base, seen: seen, stamp: l.stamp(), base: at}
	if object != "" {
		e.kind, e.objects = stateBase, []string{object}
	}
	msg := e.message(l.subject(subjectBase))
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(newest.at(), 10))
	_, err = l.submitMessage(ctx, msg)
	if errors.Is(err, errOvertaken) {
		// By another one's, or by the same message, sent before: the object is removed by
		// the next purge, unless the stream refers to it then.
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("add a base to the stream: %w", err)
	}
	return l.newestBase(ctx)
}

// purgeTo purges the stream up to where a base needs it, and removes the objects that
// nothing refers to any more.
func (l *Log) purgeTo(ctx context.Context, b *baseMessage, first uint64) error {
	upTo := l.leadIn(b.place())
	if err := l.stream.Purge(ctx, jetstream.WithPurgeSequence(upTo)); err != nil {
		return fmt.Errorf("purge the stream: %w", err)
	}
	l.logger.Info("purged the stream", "messages", upTo-first)
	return l.collect(ctx)
}

// findBase finds the newest place, about, up to which everything is trimmed and old.
// Each message says what its writer had seen, which is a place.
func (l *Log) findBase(ctx context.Context, first, last uint64, upTo eventlog.Sequence) (place, error) {
	old := time.Now().Add(-l.opts.IDHorizon) // by the clock of the servers
	var best place
	for low, high := first, last+1; high > low; {
		middle := low + (high-low)/2
		msg, err := l.stream.GetMsg(ctx, middle)
		if err != nil {
			return place{}, fmt.Errorf("read message %d of the stream: %w", middle, err)
		}
		e, err := decodeMessage(msg.Data, msg.Header)
		if err != nil {
			return place{}, fmt.Errorf("message %d of the stream: %w", middle, err)
		}
		if e.seen.head > upTo || msg.Time.After(old) {
			high = middle
			continue
		}
		low = middle + 1
		if e.seen.message > best.message {
			best = e.seen
		}
	}
	return best, nil
}

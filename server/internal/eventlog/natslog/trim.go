package natslog

import (
	"context"
	"errors"
	"fmt"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// control is a message that removes records. Replicas do it behind the reader, in the
// order of the stream: what it removes was decided by its writer, so that it does not
// matter when.
type control struct {
	message uint64
	entry   *entry
}

// hear notes a trim that is to be done once the records before it are stored.
func (l *Log) hear(c control) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trims = append(l.trims, c)
}

// schedule has a trim done.
func (l *Log) schedule(c control) {
	l.hear(c)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wakeTrims()
}

// wakeTrims is called with mu held.
func (l *Log) wakeTrims() {
	if len(l.trims) == 0 {
		return
	}
	select {
	case l.work <- struct{}{}:
	default:
	}
}

// trimAll does trims in their order.
func (l *Log) trimAll() {
	for {
		select {
		case <-l.work:
		case <-l.running.Done():
			return
		}
		for l.trimNext() {
		}
	}
}

// trimNext does the first trim, if it is time, and reports that there may be more.
func (l *Log) trimNext() bool {
	l.mu.Lock()
	if len(l.trims) == 0 || l.trims[0].message > l.at.message {
		l.mu.Unlock()
		return false
	}
	c := l.trims[0]
	l.mu.Unlock()
	if l.copy.Trimmable() != nil {
		return false // Project wakes it again
	}
	err := l.trimHere(l.running, c.entry)
	if l.running.Err() != nil {
		return false
	}
	if err != nil && !errors.Is(err, eventlog.ErrAhead) {
		l.fail(fmt.Errorf("trim the replica's copy: %w", err))
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trims = l.trims[1:]
	close(l.trimmed)
	l.trimmed = make(chan struct{})
	return true
}

func (l *Log) trimHere(ctx context.Context, e *entry) error {
	if e.kind == trimType {
		return l.local.TrimType(ctx, e.path, e.upTo)
	}
	return l.local.Trim(ctx, e.upTo)
}

// awaitTrims waits until every trim that was taken in is done here.
func (l *Log) awaitTrims(ctx context.Context) error {
	l.mu.Lock()
	if len(l.trims) == 0 {
		l.mu.Unlock()
		return nil
	}
	last := l.trims[len(l.trims)-1].message
	l.mu.Unlock()
	for {
		l.mu.Lock()
		done, trimmed := len(l.trims) == 0 || l.trims[0].message > last, l.trimmed
		l.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-trimmed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Trim implements eventlog.Log, on every replica. The stream gives room back once the
// ids of what is trimmed need not be known any more.
func (l *Log) Trim(ctx context.Context, upTo eventlog.Sequence) error {
	done, err := l.begin()
	if err != nil {
		return err
	}
	defer done()
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := l.while(ctx)
	defer cancel()
	bounds, err := l.local.Bounds(ctx)
	if err != nil {
		return err
	}
	if upTo > bounds.Head.Sequence {
		return fmt.Errorf("trim up to %d: %w", upTo, eventlog.ErrAhead)
	}
	trimmed := bounds.Start.Sequence
	if upTo > trimmed {
		if err := l.copy.Trimmable(); err != nil {
			return fmt.Errorf("trim up to %d: %w", upTo, err)
		}
		err = l.control(ctx, &entry{kind: trim, upTo: upTo})
		switch {
		case err == nil:
			trimmed = upTo
		case !errors.Is(err, eventlog.ErrFull): // of a full one at least what was trimmed before goes
			return endOf(ctx, err)
		}
	}
	if err := l.purge(ctx, trimmed); err != nil {
		l.logger.Warn("the stream keeps what was trimmed until the next trim", "error", err)
	}
	return err
}

// TrimType implements eventlog.Log, on every replica. The stream itself keeps the
// records until they are trimmed with everything else.
func (l *Log) TrimType(ctx context.Context, path string, upTo eventlog.Sequence) error {
	done, err := l.begin()
	if err != nil {
		return err
	}
	defer done()
	if path == "" || len(path) > eventlog.MaxTextBytes {
		return fmt.Errorf("type path must have 1 to %d bytes, not %d", eventlog.MaxTextBytes, len(path))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := l.while(ctx)
	defer cancel()
	bounds, err := l.local.Bounds(ctx)
	if err != nil {
		return err
	}
	if upTo > bounds.Head.Sequence {
		return fmt.Errorf("trim type %s up to %d: %w", path, upTo, eventlog.ErrAhead)
	}
	// The record at the head stays: which one that is, is decided here, for all.
	upTo = min(upTo, max(bounds.Head.Sequence, 1)-1)
	found, err := l.local.MeasureType(ctx, path, bounds.Start.Sequence, 1)
	if err != nil {
		return endOf(ctx, err)
	}
	if found.Records == 0 || found.UpTo > upTo {
		return nil
	}
	if err := l.copy.Trimmable(); err != nil {
		return fmt.Errorf("trim type %s up to %d: %w", path, upTo, err)
	}
	return endOf(ctx, l.control(ctx, &entry{kind: trimType, path: path, upTo: upTo}))
}

// control has every replica do something, and waits until this one has.
func (l *Log) control(ctx context.Context, e *entry) error {
	e.seen, _ = l.place()
	e.stamp = l.stamp()
	if _, err := l.submit(ctx, subjectLog, e); err != nil {
		return err
	}
	return l.awaitTrims(ctx)
}

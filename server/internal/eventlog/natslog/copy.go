package natslog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// What is stored with each step of the copy is the place that it is of, and the trims
// that it has heard of and not done.
func (l *Log) mark(at place, trims []control) []byte {
	b := appendPlace(nil, at)
	for _, t := range trims {
		b = binary.AppendUvarint(b, t.message)
	}
	return b
}

func readMark(b []byte) (at place, trims []uint64, err error) {
	if len(b) == 0 {
		return place{}, nil, nil
	}
	d := decoder{rest: b}
	at = d.place()
	for len(d.rest) > 0 && !d.bad {
		trims = append(trims, d.uvarint())
	}
	if d.bad {
		return place{}, nil, errors.New("the mark of the replica's copy is unreadable: remove the folder, and it is filled anew")
	}
	return at, trims, nil
}

// folder is where the copy is: one for each log, so that a stream that was made anew
// does not meet the copy of another.
func (l *Log) folder() string { return filepath.Join(l.opts.Dir, "replica", l.id.String()) }

// openCopy opens the replica's copy and finds out where to go on in the stream. It
// returns the first message to be read and the last one that there is.
func (l *Log) openCopy(ctx context.Context) (first, last uint64, err error) {
	oldest, last, err := l.extent(ctx)
	if err != nil {
		return 0, 0, err
	}
	if err := l.openFollower(ctx); err != nil {
		return 0, 0, err
	}
	raw, err := l.copy.Mark()
	if err != nil {
		return 0, 0, err
	}
	at, trims, err := readMark(raw)
	if err != nil {
		return 0, 0, err
	}
	if at.message > last {
		return 0, 0, fmt.Errorf("the stream ends with message %d, and this replica has taken in message %d: the stream has lost what it had acknowledged, or was restored from an older copy. "+
			"To go on with what the stream has, remove %s of every replica", last, at.message, l.folder())
	}
	if oldest > l.leadIn(at) {
		begun, upTo, err := l.beginAnew(ctx)
		if err != nil {
			return 0, 0, err
		}
		at, last, trims = begun, max(last, upTo), nil
	}
	l.fold, l.at = newFold(l.id, l.opts.Window, at), at
	if err := l.recallTrims(ctx, trims); err != nil {
		return 0, 0, err
	}
	return l.leadIn(at), last, nil
}

// extent returns the numbers of the oldest message of the stream and of the newest, by
// sending one that says nothing: asked alone, a stream whose leader was elected a moment
// ago may not know what was acknowledged before, and would seem to have lost it.
func (l *Log) extent(ctx context.Context) (oldest, newest uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.opts.StartWait)
	defer cancel()
	newest, err = l.send(ctx, l.opts.Stream, (&entry{kind: tick}).message(l.subject(subjectLog)))
	if err != nil && !errors.Is(err, eventlog.ErrFull) { // what takes nothing more can be read all the same
		return 0, 0, err
	}
	info, err := l.stream.Info(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("ask for the state of the stream: %w", err)
	}
	return info.State.FirstSeq, max(newest, info.State.LastSeq), nil
}

func (l *Log) openFollower(ctx context.Context) (err error) {
	l.copy, err = pebblelog.OpenFollower(ctx, l.folder(), l.id, l.opts.Store)
	if err != nil {
		l.copy = nil
		return err
	}
	l.local = l.copy.Log()
	return nil
}

// leadIn is the first message that the fold must have seen to go on from a place; at least
// the first one.
func (l *Log) leadIn(at place) uint64 {
	if at.message < l.opts.Window {
		return 1
	}
	return at.message - l.opts.Window + 1
}

// discard removes the copy, which is a cache, and opens an empty one.
func (l *Log) discard(ctx context.Context) error {
	if err := l.copy.Close(); err != nil {
		return err
	}
	if err := os.RemoveAll(l.folder()); err != nil {
		return fmt.Errorf("remove the replica's old copy: %w", err)
	}
	return l.openFollower(ctx)
}

// recallTrims has trims done that a crash interrupted.
func (l *Log) recallTrims(ctx context.Context, messages []uint64) error {
	for _, message := range messages {
		msg, err := l.stream.GetMsg(ctx, message)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // a later trim has removed it
		}
		if err != nil {
			return fmt.Errorf("read message %d of the stream: %w", message, err)
		}
		e, err := decodeMessage(msg.Data, msg.Header)
		if err != nil {
			return fmt.Errorf("message %d of the stream: %w", message, err)
		}
		l.schedule(control{message: message, entry: e})
	}
	return nil
}

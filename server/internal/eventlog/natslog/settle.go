package natslog

import (
	"context"
	"errors"
	"fmt"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// lastMessage asks the stream for its newest message. One that was elected a moment ago,
// or was deposed and does not know it, may name an older one.
func (l *Log) lastMessage(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestWait)
	defer cancel()
	info, err := l.stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask for the newest message of the stream: %w", err)
	}
	l.pulse.beat()
	return info.State.LastSeq, nil
}

// settle waits until this replica has taken in everything that was acknowledged before,
// to whomever. That is certain once a message has come back that was sent after the call:
// of an append that is about to be sent, or of nothing.
func (l *Log) settle(ctx context.Context) error {
	done, err := l.begin()
	if err != nil {
		return err
	}
	defer done()
	ctx, stop := l.while(ctx)
	defer stop()
	patient, cancel := context.WithTimeout(ctx, l.opts.SyncWait)
	defer cancel()
	err = l.ride(&call{ctx: patient, barrier: true, done: make(chan error, 1)})
	if errors.Is(err, eventlog.ErrFull) {
		// What takes nothing more can be read all the same, up to where it says that it ends.
		err = l.reach(patient)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return endOf(ctx, ctx.Err())
	default:
		return fmt.Errorf("%w: this replica does not keep up with the stream: %w", eventlog.ErrUnavailable, err)
	}
}

// reach waits until this replica has taken in what the stream says that it has.
func (l *Log) reach(ctx context.Context) error {
	last, err := l.lastMessage(ctx)
	if err != nil {
		return err
	}
	return l.catchUp(ctx, last)
}

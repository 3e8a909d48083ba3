package client

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// Checkpoint keeps a cursor across restarts of the process. One is for one
// subscription: two would overwrite each other's.
//
// [Client.Handle] calls Load once, then Save from one goroutine at a time, each
// within 10 seconds: then the context ends. It does not end before, so that what was
// handled is still saved when Handle's own context has ended.
type Checkpoint interface {
	// Load returns the cursor that was saved last, or "" when none ever was. If it
	// cannot tell, it returns an error: "" would begin anew.
	Load(ctx context.Context) (cursor string, err error)
	// Save keeps the cursor, which is never empty, in place of the one before. When
	// it returns nil the cursor is durable.
	Save(ctx context.Context, cursor string) error
}

// noCheckpoint keeps nothing.
type noCheckpoint struct{}

func (noCheckpoint) Load(context.Context) (string, error) { return "", nil }

func (noCheckpoint) Save(context.Context, string) error { return nil }

const (
	// saveTimeout bounds one save.
	saveTimeout = 10 * time.Second
	// savePatience is for how long saving may fail.
	savePatience = time.Minute
	// saveRetryMax is the longest that a failed save waits beyond the interval.
	saveRetryMax = 10 * time.Second
)

// saver saves where the watermark stands. Its methods are not called at once.
type saver struct {
	checkpoint Checkpoint
	watermark  *watermark
	interval   time.Duration
	logger     *slog.Logger

	saved string // what the checkpoint holds
}

// begin saves where the subscription begins, if nothing was saved before: the request
// may mean another place once the process has crashed, such as the head of that time.
func (s *saver) begin(ctx context.Context) {
	if s.saved != "" {
		return
	}
	if err := s.save(ctx); err != nil {
		s.logger.WarnContext(ctx, "checkpoint not saved; trying again", "error", err, "delay", s.interval)
	}
}

// run saves every interval until ctx ends, which is no error.
func (s *saver) run(ctx context.Context) error {
	retry := newBackoff(backoffLimits{min: min(s.interval, saveRetryMax), max: saveRetryMax})
	var failing time.Time // since then; zero while saving works
	for delay := s.interval; sleep(ctx, delay) == nil; {
		err := s.save(ctx)
		if err == nil {
			delay, failing = s.interval, time.Time{}
			retry.reset()
			continue
		}
		if failing.IsZero() {
			failing = time.Now()
		} else if failed := time.Since(failing); failed >= savePatience {
			return fmt.Errorf("gave up after %v: %w", failed.Round(time.Second), err)
		}
		delay = s.interval + retry.next()
		s.logger.WarnContext(ctx, "checkpoint not saved; trying again", "error", err, "delay", delay)
	}
	return nil
}

// save saves if there is anything new.
func (s *saver) save(ctx context.Context) error {
	cursor := s.watermark.reached()
	if cursor == s.saved {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	if err := s.checkpoint.Save(ctx, cursor); err != nil {
		return fmt.Errorf("save checkpoint: %w", err)
	}
	s.saved = cursor
	return nil
}

package client

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// HandleOption configures one call of [Client.Handle]; every [SubscribeOption] is
// one. Of an option given twice, the last counts.
type HandleOption interface{ applyHandle(*handleOptions) }

type handleOptionFunc func(*handleOptions)

func (f handleOptionFunc) applyHandle(o *handleOptions) { f(o) }

type handleOptions struct {
	subscribe    subscribeOptions
	concurrency  int
	window       int
	retry        retryPolicy
	onGap        func(context.Context, *GapError) error
	checkpoint   Checkpoint
	saveInterval time.Duration
}

type retryPolicy struct {
	attempts int
	delay    backoffLimits
}

func defaultHandleOptions() handleOptions {
	return handleOptions{
		subscribe:    defaultSubscribeOptions(),
		concurrency:  1,
		window:       1024,
		retry:        retryPolicy{attempts: 1, delay: backoffLimits{min: time.Second, max: time.Second}},
		checkpoint:   noCheckpoint{},
		saveInterval: time.Second,
	}
}

func (o *handleOptions) validate() error {
	switch delay := o.retry.delay; {
	case o.concurrency < 1:
		return fmt.Errorf("concurrency of %d: want at least 1", o.concurrency)
	case o.window < o.concurrency:
		return fmt.Errorf("window of %d events for %d handlers: want at least one for each", o.window, o.concurrency)
	case o.retry.attempts < 1:
		return fmt.Errorf("retry with %d attempts: want at least 1, the first call", o.retry.attempts)
	case delay.min <= 0 || delay.max < delay.min:
		return fmt.Errorf("retry after %v to %v: want a positive minimum and a maximum not below it", delay.min, delay.max)
	case o.checkpoint == nil:
		return errors.New("checkpoint is nil: leave WithCheckpoint out to have none")
	case o.saveInterval <= 0:
		return fmt.Errorf("save interval of %v: want more than zero", o.saveInterval)
	default:
		return nil
	}
}

// WithConcurrency lets up to n handlers run at once, at least 1, the default. With 1
// they run one after the other in log order. With more, only events of the same WABA
// keep their order; see [Client.Handle].
func WithConcurrency(n int) HandleOption {
	return handleOptionFunc(func(o *handleOptions) { o.concurrency = n })
}

// WithWindow bounds how far handling may be spread out: from the oldest event that
// is not handled up to the newest that was received there are at most n, by default
// 1024, at least as many as handlers. When there are n, nothing is taken from the
// stream until the oldest is handled; the server keeps what follows.
//
// So n bounds the memory: n events (of about 1 KiB, never above 2 MiB) beside the
// frame they come from. It also bounds how far other WABAs get while one event is
// tried again, and how much is handled again after a crash, beside what was handled
// since the last save.
func WithWindow(n int) HandleOption {
	return handleOptionFunc(func(o *handleOptions) { o.window = n })
}

// WithRetry calls the handler again when it returns an error, up to attempts times
// for an event, the first call included; math.MaxInt is for ever. In between it waits
// at random between zero and a limit that begins at minimum and doubles up to
// maximum. Meanwhile the events of the same WABA wait, and others go on as far as
// [WithWindow] allows. The error of the last attempt ends Handle: a handler that puts
// such events aside returns nil for them.
//
// Without it the first error ends Handle.
func WithRetry(attempts int, minimum, maximum time.Duration) HandleOption {
	return handleOptionFunc(func(o *handleOptions) {
		o.retry = retryPolicy{attempts: attempts, delay: backoffLimits{min: minimum, max: maximum}}
	})
}

// WithGapHandler goes on where the server has removed events before they could be
// read: it asks for CONTINUE_WITH_GAP, whatever the request says, and calls handle
// for each gap, for instance to fetch the state of the accounts anew. Every event
// before the gap was handled by then, none after it is begun before handle returns,
// and only then may the checkpoint pass it. Its error ends Handle. It is called from
// the goroutine that called Handle.
//
// Without it a gap ends Handle, because events are missing and nobody was told.
func WithGapHandler(handle func(ctx context.Context, gap *GapError) error) HandleOption {
	return handleOptionFunc(func(o *handleOptions) { o.onGap = handle })
}

// WithCheckpoint resumes after what the checkpoint loads, whatever start the request
// has, and saves how far handling has come: the last cursor up to which every event
// was handled, in whatever order they were. It is saved every second, see
// [WithSaveInterval], and when Handle returns, but only if it has moved. A quiet
// stream moves it, too. Where nothing was saved yet, the place where the
// subscription begins is, before the first event is handled.
//
// A failed save is logged and repeated with backoff. When that goes on for a minute
// Handle returns the error, before too much would have to be handled again.
func WithCheckpoint(checkpoint Checkpoint) HandleOption {
	return handleOptionFunc(func(o *handleOptions) { o.checkpoint = checkpoint })
}

// WithSaveInterval sets how often the checkpoint is saved, by default every second.
// What is handled between two saves is handled again after a crash.
func WithSaveInterval(interval time.Duration) HandleOption {
	return handleOptionFunc(func(o *handleOptions) { o.saveInterval = interval })
}

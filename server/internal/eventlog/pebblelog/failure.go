package pebblelog

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// failure remembers the first thing that went wrong for good.
type failure struct {
	logger *slog.Logger
	failed chan struct{} // closed by the first record

	mu    sync.Mutex
	cause error // guarded by mu

	stuck    atomic.Bool
	released chan struct{} // closed when the log closes
	once     sync.Once
}

func newFailure(logger *slog.Logger) *failure {
	return &failure{logger: logger, failed: make(chan struct{}), released: make(chan struct{})}
}

// record marks the log failed. Only the first cause is kept: what follows is
// usually its consequence.
func (f *failure) record(cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cause != nil {
		return
	}
	f.cause = cause
	close(f.failed)
	f.logger.Error("log has failed; nothing more is stored until it is opened anew", "error", cause)
}

// poison also says that the store's own locks may be held for ever.
func (f *failure) poison(cause error) {
	f.stuck.Store(true)
	f.record(cause)
}

func (f *failure) poisoned() bool { return f.stuck.Load() }

func (f *failure) happened() bool {
	select {
	case <-f.failed:
		return true
	default:
		return false
	}
}

func (f *failure) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cause
}

// asFailed is nil, or an error that matches ErrFailed and names the cause.
func (f *failure) asFailed() error {
	if !f.happened() {
		return nil
	}
	return fmt.Errorf("%w: %w", eventlog.ErrFailed, f.err())
}

// release ends the pauses of [failure.pause].
func (f *failure) release() { f.once.Do(func() { close(f.released) }) }

// pause slows down Pebble, which retries at once and for ever.
func (f *failure) pause() {
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.released:
	}
}

// storeLogger takes Pebble's log. Infof is dropped: it tells of every flush and
// compaction.
type storeLogger struct{ failure *failure }

var _ pebble.Logger = storeLogger{}

func (s storeLogger) Infof(string, ...any) {}

func (s storeLogger) Errorf(format string, args ...any) {
	if !s.failure.happened() {
		s.failure.logger.Warn("store reported an error", "error", text(format, args))
	}
}

// Fatalf must not return in Pebble's eyes: what follows it there may report
// success. It does return, because every commit looks at the failure before
// anything is acknowledged, and because guardFS lets nothing reach the disk
// from here on, so that no retried flush can replace the files of before.
func (s storeLogger) Fatalf(format string, args ...any) {
	s.failure.record(fmt.Errorf("store: %s", text(format, args)))
}

func text(format string, args []any) string {
	return strings.TrimSpace(fmt.Sprintf(format, args...))
}

// listener makes errors of flushes and compactions final, except for corrupt
// blocks: those concern old records, and the rest of the log stays usable.
func (f *failure) listener() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			if pebble.IsCorruptionError(err) {
				f.logger.Warn("store found a corrupt block in the background", "error", firstLine(err))
				return
			}
			f.record(fmt.Errorf("store in the background: %w", err))
		},
		// Pebble's own default ends the process. Reads report the range.
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			f.logger.Warn("store found corrupt data", "file", info.Path, "error", firstLine(info.Details))
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			f.logger.Warn("store holds appends back until it has caught up", "reason", info.Reason)
		},
	}
}

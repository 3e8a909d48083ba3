// Package pebblelog is the embedded backend of package eventlog: one Pebble
// store in one folder, used by one process at a time.
//
// Besides what [eventlog.Log] promises it guarantees that sequences are given out
// without a hole and that each is a record's, or in a gap that says that its record
// was removed for its type, that every record read is verified against a checksum,
// that no write reaches the disk any more once the log has failed, and that appends
// are refused, without harm to the log, before the disk is full.
//
// It does not replicate, does not decide what to trim, and encrypts nothing:
// whoever can read the folder can read the events.
package pebblelog

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Options tune a log. The zero value is right for production.
type Options struct {
	// FS is the file system; nil is the operating system's.
	FS vfs.FS
	// Logger receives what an operator should know; nil discards it.
	Logger *slog.Logger
	// Now is the clock that stamps appends; nil is time.Now.
	Now func() time.Time
	// LockWait is how long Open waits for another process to let go of the
	// folder. Zero is 30 seconds; negative does not wait.
	LockWait time.Duration
	// CacheBytes bounds the cache of blocks read. Zero is 32 MiB. Beyond that blocks may
	// have what two memory tables do not take, which begin small.
	CacheBytes int64
	// MemTableBytes bounds one memory table; up to four exist while flushes lag.
	// Zero is 32 MiB.
	MemTableBytes int
	// RecentIDs is of how many ids memory has a mark, at 1.2 bytes each, to tell new
	// records from duplicates without a look into the store. Zero is 16,777,216. Any
	// number is correct; fewer than come within the horizon is slower.
	RecentIDs int
	// IndexBatch is of how many records the index is kept in memory before it is
	// written, at about 400 bytes each and up to twice as many under load; the ids of
	// eight times as many are kept, at about 100 bytes each. After a crash so many are
	// indexed again. Zero is 32,768.
	IndexBatch int
	// MinFreeBytes is how much of the disk must be free for an append; with less
	// it returns eventlog.ErrFull and stores nothing, unless all its records are
	// duplicates. Everything else goes on, so that Trim can make room, and so do
	// appends within a second of there being room again. Zero is 1 GiB or 5 % of
	// the disk, whichever is less; negative never refuses. A file system that
	// does not tell its free space has room.
	//
	// The store needs some of it for itself: four times MemTableBytes and 256 MiB
	// at least, so make MemTableBytes smaller where a disk has less than 10 GiB.
	MinFreeBytes int64

	// follows is the log that the store is to hold a copy of; nil if it is its own.
	follows *eventlog.LogID
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.LockWait == 0 {
		o.LockWait = 30 * time.Second
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = 32 << 20
	}
	if o.MemTableBytes <= 0 {
		o.MemTableBytes = 32 << 20
	}
	if o.IndexBatch <= 0 {
		o.IndexBatch = defaultIndexBatch
	}
	if o.RecentIDs <= 0 {
		o.RecentIDs = defaultRecentIDs
	}
	return o
}

// Log is an open log. [Open] makes one.
type Log struct {
	id      eventlog.LogID
	follows *eventlog.LogID // the log that this is a copy of, or nil
	db      *pebble.DB
	lock    *pebble.Lock
	logger  *slog.Logger
	now     func() time.Time
	failure *failure

	// fs and dir are where the store is; tableOptions how it makes tables.
	fs           vfs.FS
	dir          string
	spared       spared
	tableOptions sstable.WriterOptions

	queue   *queue
	index   *indexer
	ids     *knownIDs
	workers sync.WaitGroup

	// view is what readers may see. It moves only after a sync.
	view   atomic.Pointer[view]
	viewMu sync.Mutex // serializes moves of view

	// The committer alone touches these.
	next      eventlog.Sequence
	lastStamp int64
	space     *space

	trimMu      sync.Mutex
	trimmed     point            // trimmed durably; guarded by trimMu
	typeTrimmed map[string]point // the same by type path; guarded by trimMu
	sweepAt     []byte           // where the sweep of expired ids goes on; guarded by trimMu
	reclaimer   *reclaimer
	states      []*state // of the projections that were named; guarded by trimMu
	unprojected []string // projections whose state is stored and that were not named; guarded by trimMu

	backupMu sync.Mutex              // serializes backups
	copying  atomic.Pointer[copying] // the backup under way, or nil

	// inUse is held for reading by every call that touches the store, so that
	// Close cannot pull it from under them.
	inUse     sync.RWMutex
	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error
}

var _ eventlog.Log = (*Log)(nil)

// closePatience is how long Close waits for a commit of a failed store.
const closePatience = 5 * time.Second

// Failed implements eventlog.Log.
func (l *Log) Failed() <-chan struct{} { return l.failure.failed }

// Err implements eventlog.Log.
func (l *Log) Err() error { return l.failure.err() }

// Close implements eventlog.Log. It waits for appends under way, also for those
// whose callers have stopped waiting.
func (l *Log) Close() error {
	l.closeOnce.Do(func() {
		close(l.closing)
		l.failure.release()
		l.queue.close()
		l.index.stop()
		if l.quiesce() {
			l.closeErr = l.closeStore()
		}
	})
	return l.closeErr
}

// quiesce waits until nobody uses the store. A store that has failed may hold a
// commit for ever, waiting for a flush that cannot succeed: after a while it is
// left as it is, and its folder stays locked until the process ends.
func (l *Log) quiesce() bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.workers.Wait()
		l.inUse.Lock() // waits for calls under way; later ones see closing
		defer l.inUse.Unlock()
	}()
	select {
	case <-done:
		return !l.failure.poisoned()
	case <-l.failure.failed:
	}
	patience := time.NewTimer(closePatience)
	defer patience.Stop()
	select {
	case <-done:
		// A panic inside the store leaves its locks held: closing it would hang.
		return !l.failure.poisoned()
	case <-patience.C:
		return false
	}
}

func (l *Log) closeStore() error {
	if !l.failure.happened() {
		if err := l.index.write(); err != nil {
			l.logger.Warn("index was not completed on close; it is at the next start", "error", err)
		}
	}
	err := l.db.Close()
	if lockErr := l.lock.Close(); err == nil {
		err = lockErr
	}
	if err == nil || l.failure.happened() {
		return nil // what a failed store says on closing adds nothing
	}
	return fmt.Errorf("close log: %w", err)
}

// use takes part in using the store until the function returned is called.
func (l *Log) use() (func(), error) {
	l.inUse.RLock()
	if err := l.usable(); err != nil {
		l.inUse.RUnlock()
		return nil, err
	}
	return l.inUse.RUnlock, nil
}

func (l *Log) usable() error {
	if l.isClosing() {
		return eventlog.ErrClosed
	}
	return l.failure.asFailed()
}

func (l *Log) isClosing() bool {
	select {
	case <-l.closing:
		return true
	default:
		return false
	}
}

// apply is the only way into the store. Pebble reports a failed commit to its
// logger and then returns nil, so the failure is looked at after every commit.
func (l *Log) apply(batch *pebble.Batch, opts *pebble.WriteOptions) (err error) {
	defer func() {
		if p := recover(); p != nil {
			l.failure.poison(fmt.Errorf("commit panicked: %v", p))
		}
		if failed := l.failure.asFailed(); failed != nil {
			err = failed
		}
	}()
	if err := l.failure.asFailed(); err != nil {
		return err
	}
	if err := l.db.Apply(batch, opts); err != nil {
		l.failure.record(fmt.Errorf("commit: %w", err))
	}
	return nil
}

// Wait implements eventlog.Log.
func (l *Log) Wait(ctx context.Context, after eventlog.Sequence) error {
	for {
		if err := l.usable(); err != nil {
			return err
		}
		v := l.view.Load()
		if v.head.seq > after {
			return nil
		}
		select {
		case <-v.changed:
		case <-l.closing:
		case <-l.failure.failed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

package pebblelog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// ErrInUse says that another process has the folder open.
var ErrInUse = errors.New("folder is in use by another process")

// Reader is a log that no server runs on, opened for reading alone: nothing in its
// folder changes but the lock. [OpenReader] makes one. Its methods are safe for
// concurrent use.
type Reader struct {
	log    *Log
	format uint64
	mark   eventlog.Sequence
}

// OpenReader opens the log in a folder. It makes no folder and no log, and neither
// mends nor upgrades what it finds: what a crash left is read as it stands. Of the
// options MinFreeBytes and RecentIDs mean nothing here.
//
// Errors: one that matches [ErrInUse] after Options.LockWait, and those of a folder
// that holds no log, or one of a newer format.
func OpenReader(ctx context.Context, dir string, opts Options) (*Reader, error) {
	opts = opts.withDefaults()
	r, err := openReader(ctx, dir, opts)
	if err != nil {
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	return r, nil
}

func openReader(ctx context.Context, dir string, opts Options) (*Reader, error) {
	// Locking makes a file: not in a folder that holds something else.
	found, err := pebble.Peek(dir, opts.FS)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil || !found.Exists {
		return nil, errors.New("there is no log: name the data_dir of a server, or a backup")
	}
	lock, err := lockFolder(ctx, dir, opts)
	if err != nil {
		return nil, err
	}
	l := newLog(dir, lock, opts)
	cache := pebble.NewCache(opts.CacheBytes)
	defer cache.Unref() // the store keeps its own reference
	storeOptions := l.storeOptions(cache, opts)
	storeOptions.ReadOnly = true
	storeOptions.EventListener = silent() // who reads is told of what cannot be read
	if l.db, err = pebble.Open(dir, storeOptions); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	r := &Reader{log: l}
	if err := r.load(); err != nil {
		return nil, errors.Join(err, l.db.Close(), lock.Close())
	}
	return r, nil
}

// silent is a listener that drops what the store says of corruption. Pebble's own
// ends the process.
func silent() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(error) {},
		DataCorruption:  func(pebble.DataCorruptionInfo) {},
	}
}

// load finds out where the log stands, and changes nothing.
func (r *Reader) load() error {
	l := r.log
	var err error
	if r.format, err = l.readIdentity(); err != nil {
		return err
	}
	if r.format == 0 {
		return errors.New("folder holds a store that is not an event log")
	}
	v, err := l.loadEnds()
	if err != nil {
		return err
	}
	if err := l.loadTypeTrims(v); err != nil {
		return fmt.Errorf("read trim points of types: %w", err)
	}
	l.view.Store(v)
	if r.mark, err = l.readIndexMark(); err != nil {
		return fmt.Errorf("read index mark: %w", err)
	}
	// What has no index yet would be kept in memory, and written on closing. It is
	// not needed: what a Reader reads it reads in log order.
	l.index = newIndexer(l, math.MaxInt, r.mark)
	return nil
}

// Format is the version of the store's layout.
func (r *Reader) Format() uint64 { return r.format }

// Indexed is the last sequence that the index covers; a server that opens the
// store brings it up to the head.
func (r *Reader) Indexed() eventlog.Sequence { return r.mark }

// Bounds returns the ends of the log.
func (r *Reader) Bounds(ctx context.Context) (eventlog.Bounds, error) { return r.log.Bounds(ctx) }

// Stats returns counts and sizes.
func (r *Reader) Stats(ctx context.Context) (eventlog.Stats, error) { return r.log.Stats(ctx) }

// Read returns the next page of everything that is held after a sequence, raws
// included. Its errors are those of [eventlog.Log].
func (r *Reader) Read(ctx context.Context, after eventlog.Sequence) (eventlog.Page, error) {
	return r.log.Read(ctx, eventlog.Query{After: after, Held: true, Raw: true})
}

// Check tells whether a position may be read after, as [eventlog.Log] says.
func (r *Reader) Check(ctx context.Context, p eventlog.Position) error { return r.log.Check(ctx, p) }

// Close lets go of the folder. Idempotent.
func (r *Reader) Close() error { return r.log.Close() }

package pebblelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Open opens the log in the folder, and creates both if need be. While another
// process has the folder open it waits up to Options.LockWait, or until the
// context ends. A store of a newer format is refused and left as it is.
func Open(ctx context.Context, dir string, opts Options) (*Log, error) {
	opts = opts.withDefaults()
	if err := makeFolder(opts.FS, dir); err != nil {
		return nil, fmt.Errorf("open log %s: create folder: %w", dir, err)
	}
	lock, err := lockFolder(ctx, dir, opts)
	if err != nil {
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	l, err := openLocked(dir, lock, opts)
	if err != nil {
		_ = lock.Close() // the error that matters is the first
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	return l, nil
}

// makeFolder creates the folder and makes its name durable: Pebble syncs what is
// in the folder, not what the folder is in.
func makeFolder(fs vfs.FS, dir string) error {
	parents := []string{fs.PathDir(dir)}
	for p := parents[0]; fs.PathDir(p) != p; p = fs.PathDir(p) {
		if _, err := fs.Stat(p); err == nil {
			break
		}
		parents = append(parents, fs.PathDir(p))
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, p := range parents {
		d, err := fs.OpenDir(p)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

// lockPoll is how often a folder's lock is asked for: it is part of how long a
// restart takes, during which callbacks are turned away.
const lockPoll = 10 * time.Millisecond

// lockFolder waits by asking again: file locks have no queue.
func lockFolder(ctx context.Context, dir string, opts Options) (*pebble.Lock, error) {
	deadline := time.NewTimer(opts.LockWait)
	defer deadline.Stop()
	again := time.NewTicker(lockPoll)
	defer again.Stop()
	for told := false; ; told = true {
		lock, err := pebble.LockDirectory(dir, opts.FS)
		if err == nil {
			return lock, nil
		}
		if path := (*fs.PathError)(nil); errors.As(err, &path) {
			return nil, fmt.Errorf("create lock file: %w", err)
		}
		inUse := fmt.Errorf("%w: stop it or choose another folder: %w", ErrInUse, err)
		if opts.LockWait < 0 {
			return nil, inUse
		}
		if !told {
			opts.Logger.Info("waiting for another process to close the log", "dir", dir, "at_most", opts.LockWait)
		}
		select {
		case <-again.C:
		case <-deadline.C:
			return nil, inUse
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func openLocked(dir string, lock *pebble.Lock, opts Options) (*Log, error) {
	l := newLog(dir, lock, opts)
	cache := newCache(opts)
	defer cache.Unref() // the store keeps its own reference
	store := l.storeOptions(cache, opts)
	store.EnsureDefaults()
	used, err := hasTables(opts.FS, dir)
	if err != nil {
		return nil, err
	}
	db, err := pebble.Open(dir, store)
	if err != nil {
		return nil, errors.Join(l.failure.err(), err)
	}
	l.db, l.fs, l.dir = db, store.FS, dir
	l.tableOptions = store.MakeWriterOptions(0, db.TableFormat())
	err = l.load(opts, used)
	if cause := l.failure.err(); cause != nil {
		err = cause
	}
	if err != nil {
		l.failure.release()
		_ = db.Close() // the error that matters is the first
		return nil, err
	}
	for _, table := range l.spared.end() {
		_ = l.fs.Remove(table) // or at the next start
	}
	_ = l.space.check() // says so early if it is full; readers and Trim work all the same
	l.workers.Go(l.commitAll)
	l.workers.Go(l.index.work)
	l.workers.Go(l.reclaimAll)
	opened := stampOf(l.now())
	l.workers.Go(func() { l.loadIDs(opened) })
	return l, nil
}

func newLog(dir string, lock *pebble.Lock, opts Options) *Log {
	return &Log{
		follows:   opts.follows,
		lock:      lock,
		logger:    opts.Logger,
		now:       opts.Now,
		failure:   newFailure(opts.Logger),
		queue:     newQueue(),
		ids:       newKnownIDs(opts.RecentIDs, opts.IndexBatch),
		space:     newSpace(dir, opts),
		reclaimer: newReclaimer(opts.MemTableBytes),
		closing:   make(chan struct{}),
	}
}

// newCache makes the cache of blocks. Pebble takes what its memory tables have from the
// cache's room; there are two mostly, one that is written to and one that is flushed, or
// kept for the next.
func newCache(opts Options) *pebble.Cache {
	return pebble.NewCache(opts.CacheBytes + 2*int64(opts.MemTableBytes))
}

// trimFlushDelay is how long a trim stays in memory only, at the most: until it is
// flushed it frees nothing.
const trimFlushDelay = 10 * time.Second

func (l *Log) storeOptions(cache *pebble.Cache, opts Options) *pebble.Options {
	o := &pebble.Options{
		FS:            &storeFS{guardFS{FS: opts.FS, failure: l.failure}, &l.copying, &l.spared},
		Lock:          l.lock,
		Logger:        storeLogger{l.failure},
		EventListener: l.failure.listener(),
		Cache:         cache,
		// Pinned: this one closes files with a checksum and tells a torn end of
		// the write-ahead log from a corrupt one. Moving it is one-way.
		FormatMajorVersion:          pebble.FormatTableFormatV6,
		MemTableSize:                uint64(opts.MemTableBytes),
		MemTableStopWritesThreshold: 4,
		// What a trim frees comes back soon, also on a log that nobody writes to.
		FlushDelayDeleteRange: trimFlushDelay,
		// Compactions that lag make reads slower; they must not stop appends.
		L0StopWritesThreshold: 1000,
		// The lists of the index grow everywhere at once: each compaction rewrites
		// what it meets, so fewer and larger ones cost less.
		L0CompactionThreshold: 8,
		LBaseMaxBytes:         256 << 20,
	}
	o.Experimental.SpanPolicyFunc = apart
	// Tables may be handed over behind memory tables, with a note in the write-ahead
	// log. A checkpoint copies that log after it has chosen its tables: a note written
	// in between would name a table that the copy does not have.
	o.Experimental.DisableIngestAsFlushable = func() bool { return l.copying.Load() != nil }
	for i := range o.Levels {
		// Single records are looked up by key: filters skip the levels that do not
		// have it (the last is looked into anyway), small blocks make what must be
		// read cheap, and index blocks are large enough for one to cover a file.
		if i < len(o.Levels)-1 {
			o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		}
		o.Levels[i].BlockSize = 4 << 10
		o.Levels[i].IndexBlockSize = 1 << 20
	}
	return o
}

// apart keeps records out of tables that hold anything else: their tables then
// follow each other, and need not be written again when they move down.
func apart(start []byte) (_ pebble.SpanPolicy, end []byte, _ error) {
	for _, kind := range []byte{recordKind, recordKind + 1} {
		if bytes.Compare(start, []byte{kind}) < 0 {
			return pebble.SpanPolicy{}, []byte{kind}, nil
		}
	}
	return pebble.SpanPolicy{}, nil, nil
}

// load finds out where the log stands. Used says that the folder had tables.
func (l *Log) load(opts Options, used bool) error {
	if err := l.loadIdentity(used); err != nil {
		return err
	}
	if err := l.checkFollows(); err != nil {
		return err
	}
	v, err := l.loadEnds()
	if err != nil {
		return err
	}
	if err := l.loadTypeTrims(v); err != nil {
		return fmt.Errorf("read trim points of types: %w", err)
	}
	l.view.Store(v)
	l.trimmed = v.start
	l.next = v.head.seq + 1
	l.lastStamp = v.head.stamp
	mark, err := l.readIndexMark()
	if err != nil {
		return fmt.Errorf("read index mark: %w", err)
	}
	l.index = newIndexer(l, opts.IndexBatch, mark)
	if l.unprojected, err = l.storedStates(); err != nil {
		return fmt.Errorf("read states: %w", err)
	}
	return l.loadBacklog(max(mark, v.start.seq), v.head.seq)
}

func (l *Log) loadEnds() (*view, error) {
	start, err := l.readTrim()
	if err != nil {
		return nil, fmt.Errorf("read trim point: %w", err)
	}
	v := &view{start: start, head: start, changed: make(chan struct{})}
	iter, err := l.records(start.seq, math.MaxUint64)
	if err != nil {
		return nil, err
	}
	defer iter.Close()
	if iter.Last() {
		v.head = headPoint(iter, start)
	}
	if err := iter.Error(); err != nil {
		// Without the newest sequence there is no telling what the next one is.
		return nil, fmt.Errorf("read the newest record: %w", err)
	}
	v.oldest = start.stamp // also where the oldest record cannot be read
	ok := iter.First()
	for ok && isGap(iter.Key()) {
		ok = iter.Next()
	}
	if ok {
		if s, err := stretchAt(iter); err == nil {
			v.oldest = s.last.stamp
		}
	}
	return v, nil
}

// loadTypeTrims finds out what was removed for its type.
func (l *Log) loadTypeTrims(v *view) error {
	var err error
	if l.typeTrimmed, err = l.readTypeTrims(); err != nil {
		return err
	}
	for path, p := range l.typeTrimmed {
		v.typeTrims = append(v.typeTrims, eventlog.TypeTrim{Path: path, UpTo: l.position(p)})
	}
	v.deleted = v.start.seq
	gone, err := l.readGone()
	v.gone = min(gone, uint64(v.head.seq-v.start.seq))
	return err
}

// headPoint reads the newest record, on which the iterator stands. Where it is
// corrupt its sequence is all that is known, and the stamp is an earlier one.
func headPoint(iter *pebble.Iterator, start point) point {
	head := point{seq: sequenceOf(iter.Key()), stamp: start.stamp}
	for ok := true; ok; ok = iter.Prev() {
		s, err := stretchAt(iter)
		if err != nil {
			continue
		}
		if s.last.seq == head.seq {
			return s.last
		}
		head.stamp = s.last.stamp
		break
	}
	return head
}

// loadIDs marks the ids of the store, once appends have asked it often. Neither they
// nor opening wait for that.
func (l *Log) loadIDs(now int64) {
	select {
	case <-l.ids.asked:
	case <-l.closing:
		return
	}
	iter, err := l.db.NewIter(&pebble.IterOptions{LowerBound: []byte{idKind}, UpperBound: []byte{idKind + 1}})
	if err == nil {
		err = errors.Join(l.ids.load(iter, now, l.closing), iter.Close())
	}
	if err != nil && l.usable() == nil {
		l.logger.Warn("appends are slower: cannot read all ids", "error", err)
	}
}

// loadBacklog hands what a crash left without an index to the indexer.
func (l *Log) loadBacklog(after, head eventlog.Sequence) error {
	iter, err := l.records(after, head)
	if err != nil {
		return err
	}
	defer iter.Close()
	for ok := iter.First(); ok; ok = iter.Next() {
		if isGap(iter.Key()) {
			continue
		}
		s, err := decode(sequenceOf(iter.Key()), iter.Value(), nil)
		if err != nil {
			continue // reads report it; there is nothing to find it by
		}
		r := placedAgain(&s)
		l.ids.add(r.id, r.entry)
		l.index.add([]placed{r})
	}
	if err := iter.Error(); err != nil {
		return fmt.Errorf("read records without an index: %w", err)
	}
	return nil
}

// records iterates over the records after one sequence up to another.
func (l *Log) records(after, upTo eventlog.Sequence) (*pebble.Iterator, error) {
	opts := &pebble.IterOptions{LowerBound: recordKey(after + 1), UpperBound: []byte{recordKind + 1}}
	if upTo < math.MaxUint64 {
		opts.UpperBound = recordKey(upTo + 1)
	}
	return l.db.NewIter(opts)
}

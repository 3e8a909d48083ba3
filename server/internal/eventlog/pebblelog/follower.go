package pebblelog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

var errFollows = errors.New("the log is a copy of another one: only what that holds is added")

// Follower is a store that holds a copy of another log, with its id, its sequences and
// its stamps, and is read while it is filled. [OpenFollower] makes one. One goroutine
// at a time calls Begin and Store; the rest is safe for concurrent use.
//
// What was stored is remembered with a mark that means something to whoever fills it
// alone. After a crash the store has everything up to its mark and nothing behind it.
type Follower struct {
	log *Log
	in  *Importer

	mu sync.Mutex // guards the counting of look-ups
}

// OpenFollower opens the folder of a copy of the log with the id, and creates it if
// need be; see [Open]. A folder that holds a log of its own, or a copy of another one,
// is refused.
func OpenFollower(ctx context.Context, dir string, id eventlog.LogID, opts Options) (*Follower, error) {
	opts.follows = &id
	log, err := Open(ctx, dir, opts)
	if err != nil {
		return nil, err
	}
	gone, err := log.readGone()
	if err != nil {
		return nil, fmt.Errorf("open log %s: %w", dir, errors.Join(err, log.Close()))
	}
	return &Follower{log: log, in: &Importer{log: log, batch: log.db.NewBatch(), head: log.view.Load().head, gone: gone}}, nil
}

// checkFollows keeps copies of other logs apart from logs.
func (l *Log) checkFollows() error {
	mark, err := l.readMeta(followMetaKey())
	switch {
	case err != nil:
		return fmt.Errorf("read the mark of a copy: %w", err)
	case l.follows == nil && mark != nil:
		return errors.New("folder holds a replica's copy of a log that is kept elsewhere, and not a log of its own")
	case l.follows != nil && mark == nil:
		return errors.New("folder holds a log of its own, and not a copy of another one")
	case l.follows != nil && *l.follows != l.id:
		return fmt.Errorf("%w: folder holds a copy of log %s, and it is to hold one of %s", eventlog.ErrOtherLog, l.id, *l.follows)
	}
	return nil
}

// Log is the copy, to be read and trimmed. Its Append fails, and Seek knows nothing of
// what is yet to be stored. Closing it is left to [Follower.Close].
func (f *Follower) Log() *Log { return f.log }

// Mark is what was given with what was stored last; empty before.
func (f *Follower) Mark() ([]byte, error) { return f.log.readMeta(followMetaKey()) }

// Store adds the next entries and makes them durable and then visible, all or none of
// them, with the mark. Their sequences increase; what is left out is as if its records
// had been removed for their type. Without entries the mark alone is stored, which
// need not be durable before the next entries are.
//
// Errors: eventlog.ErrFull, after which nothing was stored and Store may be called
// with the same again; ErrFailed; and that of an entry that is out of order.
func (f *Follower) Store(entries []eventlog.Entry, mark []byte) error {
	release, err := f.log.use()
	if err != nil {
		return err
	}
	defer release()
	if len(entries) == 0 {
		batch := f.log.db.NewBatch()
		defer batch.Close()
		if err := batch.Set(followMetaKey(), mark, nil); err != nil {
			return err
		}
		return f.log.apply(batch, pebble.NoSync)
	}
	if err := f.log.space.check(); err != nil {
		return err
	}
	for i := range entries {
		e := &entries[i]
		if stamp := stampOf(e.AppendTime); e.Position.Sequence <= f.in.head.seq || stamp < f.in.head.stamp {
			return fmt.Errorf("record %d, stamped %d, comes after record %d, stamped %d", e.Position.Sequence, stamp, f.in.head.seq, f.in.head.stamp)
		}
		if err := f.in.place(e, stampOf(e.AppendTime)); err != nil {
			return err
		}
	}
	if err := f.in.batch.Set(followMetaKey(), mark, nil); err != nil {
		return err
	}
	return f.in.commit()
}

// Known finds a record that makes one with the same id a duplicate at a time.
func (f *Follower) Known(id eventlog.ID, at time.Time) (eventlog.Appended, bool, error) {
	release, err := f.log.use()
	if err != nil {
		return eventlog.Appended{}, false, err
	}
	defer release()
	e, ok, maybe := f.log.ids.find(id, stampOf(at))
	if maybe {
		f.mu.Lock()
		f.log.ids.lookedUp()
		f.mu.Unlock()
		if e, ok, err = f.log.storedID(id); err != nil {
			return eventlog.Appended{}, false, fmt.Errorf("look id up: %w", err)
		}
	}
	if !ok || stampOf(at) >= e.expires() {
		return eventlog.Appended{}, false, nil
	}
	return eventlog.Appended{Position: f.log.firstCopy(id, e), Duplicate: true}, true, nil
}

// Trimmable is nil, or an error that matches eventlog.ErrUnprojected while the store has
// the state of a projection that was not named: then its log removes nothing.
func (f *Follower) Trimmable() error {
	f.log.trimMu.Lock()
	defer f.log.trimMu.Unlock()
	if len(f.log.unprojected) > 0 {
		return fmt.Errorf("%w: %q", eventlog.ErrUnprojected, f.log.unprojected)
	}
	return nil
}

// Close releases the store. Idempotent.
func (f *Follower) Close() error { return f.log.Close() }

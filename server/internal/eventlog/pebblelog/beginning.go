package pebblelog

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Beginning is where an empty copy begins.
type Beginning struct {
	// Behind is the place that it begins behind, and Stamp the least that its first
	// record is stamped with.
	Behind eventlog.Position
	Stamp  time.Time
	// Hidden is up to where the log that is copied had removed everything, with the
	// notes of States. The copy may be given records up to there, for their ids alone:
	// see [Follower.Hidden].
	Hidden eventlog.Sequence
	// Mark is as in [Follower.Store].
	Mark []byte
	// States hands over the states that the copy begins with, each as of its base,
	// which is no earlier than Behind and Hidden and may be ahead of what the copy is
	// given for a while: until then a state stays as it is. Nil is none.
	States func(begin func(StoredState) (eventlog.StateImport, error)) error
}

// Begin has an empty store begin there. States that it had, which were of nothing, are
// gone. It is all or nothing, also in a crash; when it ends with an error it can be
// called again. It is not to be called while a projection is named.
func (f *Follower) Begin(b Beginning) error {
	release, err := f.log.use()
	if err != nil {
		return err
	}
	defer release()
	l := f.log
	l.trimMu.Lock()
	defer l.trimMu.Unlock()
	switch {
	case l.view.Load().head.seq != 0:
		return errors.New("begin: the store is not empty")
	case len(l.states) > 0:
		return errors.New("begin: a projection of the store is in use")
	}
	if err := l.space.check(); err != nil {
		return err
	}
	if err := l.beginStates(&b); err != nil {
		return err
	}
	start := point{seq: b.Behind.Sequence, fingerprint: b.Behind.Fingerprint, stamp: stampOf(b.Stamp)}
	batch := l.db.NewBatch()
	defer batch.Close()
	if err := errors.Join(
		batch.Set(trimMetaKey(), encodePoint(start), nil),
		batch.Set(hiddenMetaKey(), appendSequence(nil, b.Hidden), nil),
		batch.Set(followMetaKey(), b.Mark, nil),
	); err != nil {
		return err
	}
	if err := l.apply(batch, pebble.Sync); err != nil {
		return err
	}
	l.trimmed = start
	l.change(func(next *view) {
		next.start, next.head, next.oldest, next.deleted = start, start, start.stamp, start.seq
	})
	f.in.head = start
	l.unprojected, err = l.storedStates()
	return err
}

// beginStates stores states. What a crash leaves of them is removed by the next Begin,
// which there must be, as the mark is stored behind them.
func (l *Log) beginStates(b *Beginning) error {
	batch := l.db.NewBatch()
	defer batch.Close()
	if err := batch.DeleteRange([]byte{stateKind}, []byte{stateKind + 1}, nil); err != nil {
		return err
	}
	if err := l.apply(batch, pebble.NoSync); err != nil || b.States == nil {
		return err
	}
	return b.States(func(s StoredState) (eventlog.StateImport, error) {
		if err := s.Check(); err != nil {
			return nil, err
		}
		if s.Base.Sequence < max(b.Behind.Sequence, b.Hidden) {
			return nil, fmt.Errorf("the state of projection %s is of %d, and what follows begins behind %d", s.Name, s.Base.Sequence, max(b.Behind.Sequence, b.Hidden))
		}
		return l.importState(s)
	})
}

// Hidden is that of the beginning, zero without one. Once the copy has taken in what the
// log had then, its log is to be trimmed up to there before anybody reads it. That needs
// no projection to be named.
func (f *Follower) Hidden() (eventlog.Sequence, error) {
	value, err := f.log.readMeta(hiddenMetaKey())
	if err != nil || value == nil {
		return 0, err
	}
	if len(value) != sequenceBytes {
		return 0, errMalformed
	}
	return sequenceOf(value), nil
}

// Bases are the bases of the states in the store as they are now, for others to begin
// with. They are to be closed soon.
func (f *Follower) Bases() (*Bases, error) {
	release, err := f.log.use()
	if err != nil {
		return nil, err
	}
	snapshot := f.log.db.NewSnapshot()
	return &Bases{log: f.log, from: snapshot, close: sync.OnceFunc(func() {
		_ = snapshot.Close() // has no errors but that of a second close
		release()
	})}, nil
}

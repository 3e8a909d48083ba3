package pebblelog

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

const (
	// foldRecords and foldBytes bound what is folded at once, so that its batch stays
	// small beside the appends' between which it is written.
	foldRecords = 2048
	foldBytes   = 1 << 20
	// foldPause is for how long a state rests after each round. What comes meanwhile is
	// folded together, which costs the appends less.
	foldPause = 2 * time.Millisecond
	// busyRate is from how many records a second on the appends have the machine to
	// themselves, but for a part that is the smaller the more come: a state then rests,
	// for each busyShare records a second, as long as its round took, and maxRest at
	// most. So it goes along up to some 7,000 a second, and falls behind beyond, until
	// somebody waits for it.
	busyRate  = 5000
	busyShare = 1500
	maxRest   = time.Second
	// foldRetry is how long a state rests after an error.
	foldRetry = time.Second
)

// follow folds what is appended until the log is closed or has failed. The batches are
// not synced: what a crash takes of them is folded again, to the same bytes.
func (s *state) follow() {
	if s.now.Load().version != s.projection.Version {
		s.renew()
	}
	var p pace
	for {
		if err := s.log.Wait(context.Background(), s.now.Load().at.seq); err != nil {
			return // closed or failed
		}
		began := time.Now()
		err := s.round()
		pause, hurry := p.rest(began, s.log.view.Load().head.seq), s.hurry
		if s.waiting.Load() > 0 {
			pause = foldPause
		}
		if err != nil && s.log.usable() == nil {
			s.log.logger.Warn("the state of a projection is behind; it is tried again", "projection", s.name, "error", err)
			pause, hurry = foldRetry, nil
		}
		if !s.rest(pause, hurry) {
			return
		}
	}
}

// pace is how fast records come.
type pace struct {
	head eventlog.Sequence // when it was looked last
	at   time.Time         // which was then
}

// rest is for how long to rest after a round that began at a time.
func (p *pace) rest(began time.Time, head eventlog.Sequence) time.Duration {
	now := time.Now()
	rate := float64(head-p.head) / max(now.Sub(p.at), foldPause).Seconds()
	p.head, p.at = head, now
	if rate < busyRate {
		return foldPause
	}
	return min(max(foldPause, time.Duration(rate/busyShare*float64(now.Sub(began)))), maxRest)
}

// rest waits, or until there is something in hurry, and reports that the log goes on.
func (s *state) rest(pause time.Duration, hurry <-chan struct{}) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-hurry:
		return true
	case <-s.log.closing:
	case <-s.log.failure.failed:
	}
	return false
}

// round folds the next records.
func (s *state) round() error {
	s.making.Lock()
	defer s.making.Unlock()
	release, err := s.log.use()
	if err != nil {
		return err
	}
	defer release()
	now := s.now.Load()
	folded, err := s.log.foldAfter(context.Background(), &s.projection, now.at.seq, 0, valuesPrefix(s.name, now.generation))
	if err != nil {
		return err
	}
	batch := s.log.db.NewBatch()
	defer batch.Close()
	next := mark{version: now.version, generation: now.generation, at: folded.at}
	noted, err := s.put(batch, next.generation, folded.changes)
	if err != nil {
		return err
	}
	if err := batch.Set(stateKey(s.name, stateMark), next.encode(), nil); err != nil {
		return err
	}
	if err := s.log.apply(batch, pebble.NoSync); err != nil {
		return err
	}
	if late := folded.changes.Late; late > 0 && s.projection.Late != nil {
		s.projection.Late(late)
	}
	s.stand(next, max(noted, now.noted))
	return nil
}

// folded is what some records change, and where they end.
type folded struct {
	changes eventlog.Changes
	at      place
}

// foldAfter folds the next records after a sequence, up to another if that is not zero,
// into the values under a prefix. It passes over what cannot be read.
func (l *Log) foldAfter(ctx context.Context, p *eventlog.Projection, after, upTo eventlog.Sequence, prefix []byte) (folded, error) {
	r := l.newReader(eventlog.Query{After: after, Until: upTo, Held: true, Limit: foldRecords, Bytes: foldBytes})
	page, err := r.forward(ctx)
	if corrupt, ok := errors.AsType[*eventlog.CorruptError](err); ok {
		l.logger.Warn("the state of a projection lacks events that cannot be read",
			"projection", p.Name, "first", corrupt.First, "last", corrupt.Last)
		last := corrupt.Last
		if upTo != 0 {
			last = min(last, upTo)
		}
		return folded{at: place{seq: last}}, nil
	}
	if err != nil {
		return folded{}, err
	}
	values, err := l.valuesUnder(prefix)
	if err != nil {
		return folded{}, err
	}
	defer values.close()
	changes, err := p.Fold(values.get, page.Entries)
	return folded{changes, placeOf(page.Scanned)}, err
}

// values reads the values under a prefix, as they are when it is made. One iterator
// finds the keys of a fold at a fraction of what looking each up anew takes, above all
// if they come in order.
type values struct {
	iter *pebble.Iterator
	key  []byte
	cut  int // of the prefix
}

func (l *Log) valuesUnder(prefix []byte) (*values, error) {
	iter, err := l.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: past(prefix)})
	return &values{iter, slices.Clone(prefix), len(prefix)}, err
}

// get returns the value of a key, nil if there is none.
func (v *values) get(key []byte) ([]byte, error) {
	v.key = append(v.key[:v.cut], key...)
	if !v.iter.SeekPrefixGE(v.key) { // its prefixes are whole keys, and go by the filters
		return nil, v.iter.Error()
	}
	value, err := v.iter.ValueAndErr()
	if err != nil {
		return nil, err
	}
	return append([]byte{}, value...), nil
}

func (v *values) close() { _ = v.iter.Close() } // get has told its errors

// put puts changes into a batch.
func (s *state) put(batch *pebble.Batch, gen uint32, changes eventlog.Changes) (noted eventlog.Sequence, err error) {
	if err := putWrites(batch, valuesPrefix(s.name, gen), changes.Writes); err != nil {
		return 0, err
	}
	for _, n := range changes.Notes {
		if err := batch.Set(noteKey(s.name, gen, n.At), n.Value, nil); err != nil {
			return 0, err
		}
		noted = n.At
	}
	return noted, nil
}

// putWrites puts them in the order of their keys, which is how the store takes them in
// at the least expense.
func putWrites(batch *pebble.Batch, prefix []byte, writes []eventlog.Write) error {
	slices.SortFunc(writes, func(a, b eventlog.Write) int { return bytes.Compare(a.Key, b.Key) })
	key := append(make([]byte, 0, len(prefix)+64), prefix...)
	for _, w := range writes {
		key = append(key[:len(prefix)], w.Key...)
		if w.Value == nil {
			if err := batch.Delete(key, nil); err != nil {
				return err
			}
			continue
		}
		if err := batch.Set(key, w.Value, nil); err != nil {
			return err
		}
	}
	return nil
}

package pebblelog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// The state of a projection is kept under keys of its own:
//
//	s <name> 0 M                            version, generation and where it is of
//	s <name> 0 B                            where its base is of
//	s <name> 0 b <key>                      a value of the base
//	s <name> 0 g <generation> k <key>       a value
//	s <name> 0 g <generation> n <sequence>  a note
//
// A generation, of 4 bytes, is one making of the state. There is one, and while the
// state is made again a second.
//
// They stand between records and index on purpose. The tables of the index that are
// handed to the store span everything before records, or everything behind these: what
// they overlap in memory would have to be written first.
const stateKind = 's'

const (
	stateMark   = 'M'
	baseMark    = 'B'
	baseValues  = 'b'
	generations = 'g'
	valueKind   = 'k'
	noteKind    = 'n'
)

func stateKey(name string, what byte) []byte {
	key := make([]byte, 0, len(name)+64)
	key = append(append(key, stateKind), name...)
	return append(key, 0, what)
}

func basePrefix(name string) []byte { return stateKey(name, baseValues) }

func generationPrefix(name string, gen uint32) []byte {
	return binary.BigEndian.AppendUint32(stateKey(name, generations), gen)
}

func valuesPrefix(name string, gen uint32) []byte {
	return append(generationPrefix(name, gen), valueKind)
}

func notesPrefix(name string, gen uint32) []byte {
	return append(generationPrefix(name, gen), noteKind)
}

func noteKey(name string, gen uint32, seq eventlog.Sequence) []byte {
	return appendSequence(notesPrefix(name, gen), seq)
}

// past is the first key behind all that begin with the prefix.
func past(prefix []byte) []byte {
	end := slices.Clone(prefix)
	for i := len(end) - 1; ; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
}

// place is where a state is of: a position in this log.
type place struct {
	seq         eventlog.Sequence
	fingerprint uint32
}

func placeOf(p eventlog.Position) place { return place{p.Sequence, p.Fingerprint} }

func (l *Log) positionAt(p place) eventlog.Position {
	return eventlog.Position{Log: l.id, Sequence: p.seq, Fingerprint: p.fingerprint}
}

func (p place) append(b []byte) []byte {
	return binary.BigEndian.AppendUint32(appendSequence(b, p.seq), p.fingerprint)
}

func decodePlace(b []byte) (place, error) {
	if len(b) != sequenceBytes+4 {
		return place{}, errMalformed
	}
	return place{sequenceOf(b[:sequenceBytes]), binary.BigEndian.Uint32(b[sequenceBytes:])}, nil
}

// mark is what is stored of a state besides its base.
type mark struct {
	version    uint64
	generation uint32
	at         place
}

func (m mark) encode() []byte {
	b := binary.AppendUvarint(nil, m.version)
	return m.at.append(binary.BigEndian.AppendUint32(b, m.generation))
}

func decodeMark(b []byte) (m mark, err error) {
	version, n := binary.Uvarint(b)
	if n <= 0 || len(b) < n+4 {
		return mark{}, errMalformed
	}
	m.version, m.generation = version, binary.BigEndian.Uint32(b[n:])
	m.at, err = decodePlace(b[n+4:])
	return m, err
}

// state is the state of a projection that was named since the log was opened.
type state struct {
	log        *Log
	projection eventlog.Projection
	name       string

	// making is held by what changes the newest state: the follower, for each of its
	// rounds, and what makes it again.
	making sync.Mutex
	// kept holds a token, which is taken to remove records and to make the state again:
	// one at a time.
	kept chan struct{}
	base place // guarded by the token

	// waiting is how many wait for the state to come to a place; hurry has a token when
	// one more does.
	waiting atomic.Int64
	hurry   chan struct{}

	now   atomic.Pointer[standing]
	nowMu sync.Mutex // serializes replacements of now
}

// standing is where a state is. It is never changed, only replaced.
type standing struct {
	mark
	noted eventlog.Sequence // of the newest note
	moved chan struct{}     // closed when the state is of another place
	noter chan struct{}     // closed when there is another note
}

var _ eventlog.State = (*state)(nil)

// stand replaces where the state is.
func (s *state) stand(m mark, noted eventlog.Sequence) {
	s.nowMu.Lock()
	defer s.nowMu.Unlock()
	old := s.now.Load()
	next := &standing{mark: m, noted: noted, moved: make(chan struct{}), noter: make(chan struct{})}
	if old != nil && old.noted == noted {
		next.noter = old.noter
	}
	s.now.Store(next)
	if old == nil {
		return
	}
	close(old.moved)
	if old.noted != noted {
		close(old.noter)
	}
}

// Get implements eventlog.State.
func (s *state) Get(key []byte) ([]byte, error) {
	release, err := s.log.use()
	if err != nil {
		return nil, err
	}
	defer release()
	for {
		gen := s.now.Load().generation
		value, err := s.log.readMeta(append(valuesPrefix(s.name, gen), key...))
		// The keys of a generation go only after another one has taken its place.
		if err != nil || s.now.Load().generation == gen {
			return value, err
		}
	}
}

// Wait implements eventlog.State.
func (s *state) Wait(ctx context.Context, after eventlog.Sequence) error {
	if s.now.Load().at.seq <= after {
		s.waiting.Add(1)
		defer s.waiting.Add(-1)
		select {
		case s.hurry <- struct{}{}:
		default:
		}
	}
	return s.wait(ctx, func(now *standing) (bool, chan struct{}) { return now.at.seq > after, now.moved })
}

// WaitNote implements eventlog.State.
func (s *state) WaitNote(ctx context.Context, after eventlog.Sequence) error {
	return s.wait(ctx, func(now *standing) (bool, chan struct{}) { return now.noted > after, now.noter })
}

func (s *state) wait(ctx context.Context, look func(*standing) (done bool, next chan struct{})) error {
	for {
		if err := s.log.usable(); err != nil {
			return err
		}
		done, next := look(s.now.Load())
		if done {
			return nil
		}
		select {
		case <-next:
		case <-s.log.closing:
		case <-s.log.failure.failed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Project implements eventlog.Log.
func (l *Log) Project(_ context.Context, projection eventlog.Projection) (eventlog.State, error) {
	if err := projection.Check(); err != nil {
		return nil, err
	}
	release, err := l.use()
	if err != nil {
		return nil, err
	}
	defer release()
	l.trimMu.Lock()
	defer l.trimMu.Unlock()
	s := &state{log: l, projection: projection, name: projection.Name, kept: make(chan struct{}, 1), hurry: make(chan struct{}, 1)}
	if slices.ContainsFunc(l.states, func(other *state) bool { return other.name == s.name }) {
		return nil, fmt.Errorf("projection %s was named before", s.name)
	}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("read the state of projection %s: %w", s.name, err)
	}
	s.kept <- struct{}{}
	l.states = append(l.states, s)
	l.unprojected = slices.DeleteFunc(l.unprojected, func(name string) bool { return name == s.name })
	l.workers.Go(s.follow)
	return s, nil
}

// load finds out where the state is; one that there is not yet begins empty, at the
// log's start.
func (s *state) load() error {
	m, base, ok, err := s.log.readState(s.name)
	if err != nil {
		return err
	}
	if ok {
		s.base = base
		noted, err := s.newestNote(m)
		if err != nil {
			return err
		}
		s.stand(m, noted)
		return nil
	}
	start := s.log.view.Load().start
	s.base = place{start.seq, start.fingerprint}
	m = mark{version: s.projection.Version, generation: firstGeneration, at: s.base}
	batch := s.log.db.NewBatch()
	defer batch.Close()
	if err := errors.Join(
		batch.Set(stateKey(s.name, stateMark), m.encode(), nil),
		batch.Set(stateKey(s.name, baseMark), s.base.append(nil), nil),
	); err != nil {
		return err
	}
	if err := s.log.apply(batch, pebble.Sync); err != nil {
		return err
	}
	s.stand(m, 0)
	return nil
}

// readState reads what is stored of a state; not ok is nothing.
func (l *Log) readState(name string) (m mark, base place, ok bool, err error) {
	return stateIn(l.db, name)
}

func stateIn(r pebble.Reader, name string) (m mark, base place, ok bool, err error) {
	value, err := readFrom(r, stateKey(name, stateMark))
	if err != nil || value == nil {
		return mark{}, place{}, false, err
	}
	if m, err = decodeMark(value); err != nil {
		return mark{}, place{}, false, err
	}
	if value, err = readFrom(r, stateKey(name, baseMark)); err != nil {
		return mark{}, place{}, false, err
	}
	base, err = decodePlace(value)
	return m, base, err == nil, err
}

func (s *state) newestNote(m mark) (eventlog.Sequence, error) {
	notes := notesPrefix(s.name, m.generation)
	iter, err := s.log.db.NewIter(&pebble.IterOptions{LowerBound: notes, UpperBound: past(notes)})
	if err != nil {
		return 0, err
	}
	defer iter.Close()
	if iter.Last() {
		return sequenceOf(iter.Key()), nil
	}
	return 0, iter.Error()
}

// storedStates are the names of the projections whose state is stored.
func (l *Log) storedStates() ([]string, error) { return statesIn(l.db) }

func statesIn(r pebble.Reader) ([]string, error) {
	iter, err := r.NewIter(&pebble.IterOptions{LowerBound: []byte{stateKind}, UpperBound: []byte{stateKind + 1}})
	if err != nil {
		return nil, err
	}
	defer iter.Close()
	var names []string
	for ok := iter.First(); ok; {
		name, _, found := bytes.Cut(iter.Key()[1:], []byte{0})
		if !found {
			return nil, errMalformed
		}
		next := past(stateKey(string(name), 0)[:len(name)+2])
		names = append(names, string(name))
		ok = iter.SeekGE(next)
	}
	return names, iter.Error()
}

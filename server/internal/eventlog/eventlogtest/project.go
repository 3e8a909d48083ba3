package eventlogtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func projectTests() map[string]func(*bench) {
	all := map[string]func(*bench){
		"project_follows":           projectFollows,
		"project_what_there_is":     projectWhatThereIs,
		"project_names":             projectNames,
		"project_view_stays":        projectViewStays,
		"project_scans":             projectScans,
		"project_waits":             projectWaits,
		"project_holds_trims":       projectHoldsTrims,
		"project_outlives_trims":    projectOutlivesTrims,
		"project_new_version":       projectNewVersion,
		"project_rebuild_cancelled": projectRebuildCancelled,
		"project_closed":            projectClosed,
	}
	for seed := range uint64(4) {
		all[fmt.Sprintf("project_model_seed_%d", seed)] = func(b *bench) { projectModel(b, seed) }
	}
	return all
}

// chains is a projection in which everything that can go wrong shows: the value of an
// account is a chain of hashes of its payloads, some records remove it, and every third
// one notes what was there before.
func chains(version uint64) eventlog.Projection {
	return eventlog.Projection{Name: "chains", Version: version, Fold: func(get func([]byte) ([]byte, error), entries []eventlog.Entry) (eventlog.Changes, error) {
		var out eventlog.Changes
		values := make(map[string][]byte)
		for _, e := range entries {
			key := "waba " + e.WABAID
			value, ok := values[key]
			if !ok {
				var err error
				if value, err = get([]byte(key)); err != nil {
					return out, err
				}
			}
			sum := sha256.Sum256(fmt.Appendf(nil, "%d %x %s", version, value, e.Payload))
			if sum[0]%3 == 0 {
				out.Notes = append(out.Notes, eventlog.Note{At: e.Position.Sequence, Value: bytes.Clone(value)})
			}
			values[key] = sum[:]
			if sum[1]%8 == 0 {
				values[key] = nil
			}
		}
		for key, value := range values {
			out.Writes = append(out.Writes, eventlog.Write{Key: []byte(key), Value: value})
		}
		return out, nil
	}}
}

// content is a state as a test sees it.
type content struct {
	values map[string]string
	notes  map[eventlog.Sequence]string
}

func newContent() content {
	return content{make(map[string]string), make(map[eventlog.Sequence]string)}
}

// fold folds entries one by one.
func (c content) fold(b *bench, p eventlog.Projection, entries ...eventlog.Entry) {
	b.Helper()
	for i := range entries {
		changes, err := p.Fold(func(key []byte) ([]byte, error) {
			if value, ok := c.values[string(key)]; ok {
				return []byte(value), nil
			}
			return nil, nil
		}, entries[i:i+1])
		require.NoError(b, err)
		for _, w := range changes.Writes {
			c.values[string(w.Key)] = string(w.Value)
			if w.Value == nil {
				delete(c.values, string(w.Key))
			}
		}
		for _, n := range changes.Notes {
			c.notes[n.At] = string(n.Value)
		}
	}
}

// forget drops the notes that a trim removes.
func (c content) forget(upTo eventlog.Sequence) content {
	maps.DeleteFunc(c.notes, func(at eventlog.Sequence, _ string) bool { return at <= upTo })
	return c
}

func (b *bench) project(p eventlog.Projection) eventlog.State {
	b.Helper()
	s, err := b.log.Project(b.Context(), p)
	require.NoError(b, err)
	return s
}

// contentOf is what a state has, once it is of the log's head.
func (b *bench) contentOf(s eventlog.State) content {
	b.Helper()
	if head := b.bounds().Head; head.Sequence > 0 {
		require.NoError(b, s.Wait(b.Context(), head.Sequence-1))
	}
	v, err := s.View()
	require.NoError(b, err)
	defer v.Close()
	return contentOfView(b, v)
}

func contentOfView(b *bench, v eventlog.View) content {
	b.Helper()
	out := newContent()
	require.NoError(b, v.Scan(nil, nil, false, func(key, value []byte) bool {
		out.values[string(key)] = string(value)
		return true
	}))
	require.NoError(b, v.Notes(0, func(n eventlog.Note) bool {
		out.notes[n.At] = string(n.Value)
		return true
	}))
	return out
}

// all are the entries that the log holds.
func (b *bench) all() []eventlog.Entry {
	b.Helper()
	return b.readAll(eventlog.Query{After: b.bounds().Start.Sequence, Held: true})
}

// sameRebuilt makes a state again, to the same.
func (b *bench) sameRebuilt(s eventlog.State) {
	b.Helper()
	var done, total uint64
	got, err := s.Rebuild(b.Context(), func(d, t uint64) { done, total = d, t })
	require.NoError(b, err)
	require.Zero(b, got)
	require.Equal(b, total, done)
}

func projectFollows(b *bench) {
	s := b.project(chains(1))
	for range 5 {
		b.append(varied(30)...)
		b.append(records(100, 140)...)
		want := newContent()
		want.fold(b, chains(1), b.all()...)
		got := b.contentOf(s)
		require.Equal(b, want, got)
		for key, value := range want.values {
			stored, err := s.Get([]byte(key))
			require.NoError(b, err)
			require.Equal(b, value, string(stored))
		}
		missing, err := s.Get([]byte("nothing"))
		require.NoError(b, err)
		require.Nil(b, missing)
		b.reopen()
		s = b.project(chains(1))
		require.Equal(b, want, b.contentOf(s))
	}
}

func projectWhatThereIs(b *bench) {
	at := b.fill(records(0, 40)...)
	require.NoError(b, b.log.Trim(b.Context(), at[9].Sequence))
	s := b.project(chains(1))
	want := newContent()
	want.fold(b, chains(1), b.all()...)
	require.Equal(b, want, b.contentOf(s), "what was gone before is not in it")
	v, err := s.View()
	require.NoError(b, err)
	defer v.Close()
	require.Equal(b, at[39], v.Position())
}

func projectNames(b *bench) {
	ctx := b.Context()
	for _, name := range []string{"", "A", "a b", "a\x00", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"} {
		p := chains(1)
		p.Name = name
		_, err := b.log.Project(ctx, p)
		require.Error(b, err, name)
	}
	_, err := b.log.Project(ctx, eventlog.Projection{Name: "a", Version: 1})
	require.Error(b, err)
	_, err = b.log.Project(ctx, chains(0))
	require.Error(b, err)
	other := chains(1)
	other.Name = "chain" // begins like the other one
	first, second := b.project(chains(1)), b.project(other)
	_, err = b.log.Project(ctx, chains(1))
	require.Error(b, err, "twice")
	b.append(records(0, 20)...)
	require.Equal(b, b.contentOf(first), b.contentOf(second))
}

func projectViewStays(b *bench) {
	s := b.project(chains(1))
	b.append(records(0, 20)...)
	before := b.contentOf(s)
	v, err := s.View()
	require.NoError(b, err)
	b.append(varied(30)...)
	require.NotEqual(b, before, b.contentOf(s))
	b.sameRebuilt(s)
	require.Equal(b, before, contentOfView(b, v))
	for key, value := range before.values {
		got, err := v.Get([]byte(key))
		require.NoError(b, err)
		require.Equal(b, value, string(got))
	}
	v.Close()
	v.Close()
}

func projectScans(b *bench) {
	p := eventlog.Projection{Name: "keys", Version: 1, Fold: func(_ func([]byte) ([]byte, error), entries []eventlog.Entry) (eventlog.Changes, error) {
		var out eventlog.Changes
		for _, e := range entries {
			out.Writes = append(out.Writes, eventlog.Write{Key: e.Payload, Value: []byte{}})
			out.Notes = append(out.Notes, eventlog.Note{At: e.Position.Sequence, Value: e.Payload})
		}
		return out, nil
	}}
	s := b.project(p)
	keys := []string{"\x00", "a", "a\x00", "a\x01", "b", "ba", "\xff", "\xff\xff"}
	var at []eventlog.Position
	for i, key := range keys {
		r := record(i)
		r.Payload = []byte(key)
		at = append(at, b.fill(r)...)
	}
	require.NoError(b, s.Wait(b.Context(), at[len(at)-2].Sequence))
	v, err := s.View()
	require.NoError(b, err)
	defer v.Close()
	scan := func(from, to []byte, reverse bool, limit int) []string {
		var got []string
		require.NoError(b, v.Scan(from, to, reverse, func(key, value []byte) bool {
			require.Empty(b, value)
			got = append(got, string(key))
			return len(got) < limit
		}))
		return got
	}
	require.Equal(b, keys, scan(nil, nil, false, 100))
	require.Equal(b, keys[1:4], scan([]byte("a"), []byte("b"), false, 100))
	require.Equal(b, []string{"ba", "b"}, scan([]byte("b"), []byte("c"), true, 100))
	require.Equal(b, []string{"\xff\xff", "\xff"}, scan(nil, nil, true, 2))
	require.Empty(b, scan([]byte("c"), []byte("d"), false, 100))
	var notes []string
	require.NoError(b, v.Notes(at[1].Sequence, func(n eventlog.Note) bool {
		notes = append(notes, string(n.Value))
		return len(notes) < 3
	}))
	require.Equal(b, keys[2:5], notes)
}

func projectWaits(b *bench) {
	s := b.project(chains(1))
	ctx, cancel := context.WithCancel(b.Context())
	waited := make(chan error, 2)
	go func() { waited <- s.Wait(ctx, 1<<40) }()
	go func() { waited <- s.WaitNote(ctx, 1<<40) }()
	cancel()
	require.ErrorIs(b, <-waited, context.Canceled)
	require.ErrorIs(b, <-waited, context.Canceled)

	noted := make(chan error, 1)
	go func() { noted <- s.WaitNote(b.Context(), 0) }()
	b.append(records(0, 50)...)
	require.NoError(b, <-noted)
	got := b.contentOf(s)
	last := slices.Max(slices.Collect(maps.Keys(got.notes)))
	require.NoError(b, s.WaitNote(b.Context(), last-1))

	closed := make(chan error, 2)
	go func() { closed <- s.Wait(b.Context(), 1<<40) }()
	go func() { closed <- s.WaitNote(b.Context(), 1<<40) }()
	require.NoError(b, b.log.Close())
	require.ErrorIs(b, <-closed, eventlog.ErrClosed)
	require.ErrorIs(b, <-closed, eventlog.ErrClosed)
	b.reopen()
}

// projectHoldsTrims: a log whose state nobody knows how to make is not trimmed.
func projectHoldsTrims(b *bench) {
	at := b.fill(records(0, 20)...)
	b.project(chains(1))
	b.reopen()
	require.ErrorIs(b, b.log.Trim(b.Context(), at[5].Sequence), eventlog.ErrUnprojected)
	require.ErrorIs(b, b.log.TrimType(b.Context(), "account_update", at[5].Sequence), eventlog.ErrUnprojected)
	require.Len(b, b.all(), 20)
	s := b.project(chains(1))
	require.NoError(b, b.log.Trim(b.Context(), at[5].Sequence))
	require.NoError(b, b.log.TrimType(b.Context(), "account_update", at[8].Sequence))
	b.sameRebuilt(s)
}

// projectOutlivesTrims: what is removed stays in the state, also when that is made
// again.
func projectOutlivesTrims(b *bench) {
	s := b.project(chains(1))
	b.append(records(0, 2100)...)
	b.append(varied(60)...)
	entries := b.all()
	want := newContent()
	want.fold(b, chains(1), entries...)
	for _, part := range []int{len(entries) / 2, len(entries) / 2, len(entries) - 2, len(entries)} {
		upTo := entries[part-1].Position.Sequence
		require.NoError(b, b.log.TrimType(b.Context(), "a", upTo))
		require.Equal(b, want, b.contentOf(s))
		b.sameRebuilt(s)
		require.Equal(b, want, b.contentOf(s))
		require.NoError(b, b.log.Trim(b.Context(), upTo))
		want = want.forget(upTo)
		require.Equal(b, want, b.contentOf(s))
		b.sameRebuilt(s)
		b.reopen()
		s = b.project(chains(1))
		require.Equal(b, want, b.contentOf(s))
		b.sameRebuilt(s)
	}
	b.append(records(5000, 5100)...)
	want.fold(b, chains(1), b.all()...)
	require.Equal(b, want, b.contentOf(s))
}

func projectNewVersion(b *bench) {
	s := b.project(chains(1))
	at := b.fill(varied(60)...)
	require.NoError(b, b.log.Trim(b.Context(), at[30].Sequence))
	b.contentOf(s)
	b.reopen()
	s = b.project(chains(2))
	require.NoError(b, s.Wait(b.Context(), at[len(at)-1].Sequence-1))
	b.append(records(1000, 1001)...) // is folded by the new version only
	got := b.contentOf(s)

	want := b.baseAt(at[30].Sequence)
	want.fold(b, chains(2), b.all()...)
	require.Equal(b, want, got)
	b.sameRebuilt(s)
}

// baseAt folds, with the first version, what a log of the same records would have had
// up to a sequence.
func (b *bench) baseAt(upTo eventlog.Sequence) content {
	b.Helper()
	other := newContent()
	for i, r := range varied(60) {
		e := eventlog.Entry{Record: r}
		e.Position.Sequence = eventlog.Sequence(i + 1)
		if e.Position.Sequence > upTo {
			break
		}
		other.fold(b, chains(1), e)
	}
	return other.forget(upTo)
}

func projectRebuildCancelled(b *bench) {
	s := b.project(chains(1))
	b.append(records(0, 300)...)
	want := b.contentOf(s)
	ctx, cancel := context.WithCancel(b.Context())
	_, err := s.Rebuild(ctx, func(uint64, uint64) { cancel() })
	require.ErrorIs(b, err, context.Canceled)
	require.Equal(b, want, b.contentOf(s))
	b.append(records(9000, 9010)...)
	want.fold(b, chains(1), b.all()[300:]...)
	require.Equal(b, want, b.contentOf(s), "it goes on")
	b.sameRebuilt(s)
}

func projectClosed(b *bench) {
	s := b.project(chains(1))
	b.append(records(0, 10)...)
	require.NoError(b, b.log.Close())
	_, err := s.Get([]byte("x"))
	require.ErrorIs(b, err, eventlog.ErrClosed)
	_, err = s.View()
	require.ErrorIs(b, err, eventlog.ErrClosed)
	_, err = s.Rebuild(b.Context(), func(uint64, uint64) {})
	require.ErrorIs(b, err, eventlog.ErrClosed)
	require.ErrorIs(b, s.Wait(b.Context(), 0), eventlog.ErrClosed)
	p := chains(1)
	p.Name = "another"
	_, err = b.log.Project(b.Context(), p)
	require.ErrorIs(b, err, eventlog.ErrClosed)
	b.reopen()
}

// projectModel runs random calls, and wants the state to be what folding everything
// that was ever appended gives.
func projectModel(b *bench, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 9)) //nolint:gosec // a test must be repeatable
	s := b.project(chains(1))
	want, next := newContent(), 0
	var folded eventlog.Sequence
	for range 40 {
		head := b.bounds().Head.Sequence
		switch random.IntN(8) {
		case 0:
			upTo := b.bounds().Start.Sequence + eventlog.Sequence(random.Uint64N(uint64(head-b.bounds().Start.Sequence)+1))
			require.NoError(b, b.log.Trim(b.Context(), upTo))
			want.forget(upTo)
		case 1:
			path := []string{"account_update", "a", "a.b"}[random.IntN(3)]
			require.NoError(b, b.log.TrimType(b.Context(), path, eventlog.Sequence(random.Uint64N(uint64(head)+1))))
		case 2:
			b.sameRebuilt(s)
		case 3:
			b.reopen()
			s = b.project(chains(1))
		default:
			n := 1 + random.IntN(40)
			batch := records(next, next+n)
			for i, r := range varied(n) {
				if random.IntN(2) == 0 {
					batch[i].Type, batch[i].WABAID, batch[i].WABASource = r.Type, r.WABAID, r.WABASource
				}
			}
			b.append(batch...)
			next += n
		}
		want.fold(b, chains(1), b.readAll(eventlog.Query{After: max(folded, b.bounds().Start.Sequence), Held: true})...)
		folded = b.bounds().Head.Sequence
		require.Equal(b, want, b.contentOf(s))
	}
}

package eventlogtest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// modelTests run random calls against the log and against a slice that does the
// same in the plainest way. The name of a test is its seed.
func modelTests() map[string]func(*bench) {
	all := make(map[string]func(*bench))
	for seed := range uint64(12) {
		all[fmt.Sprintf("model_seed_%d", seed)] = func(b *bench) {
			newModel(b, seed).run(150)
		}
	}
	return all
}

// model is what the log should hold.
type model struct {
	*bench
	random  *rand.Rand
	entries []eventlog.Entry               // in log order
	newest  map[eventlog.ID]eventlog.Entry // also of trimmed ones
	start   eventlog.Position
	removed []eventlog.Position          // for their type, after start; in no order
	trims   map[string]eventlog.Position // of types, after start
	serial  int
}

func newModel(b *bench, seed uint64) *model {
	return &model{
		bench:  b,
		random: rand.New(rand.NewPCG(seed, 1)), //nolint:gosec // a test must be repeatable
		newest: make(map[eventlog.ID]eventlog.Entry),
		trims:  make(map[string]eventlog.Position),
		start:  b.bounds().Start,
	}
}

func (m *model) run(steps int) {
	m.Helper()
	actions := []struct {
		weight int
		do     func()
	}{
		{40, m.stepAppend}, {25, m.stepRead}, {10, m.stepClock}, {3, m.stepTrim}, {10, m.stepTrimType},
		{6, m.stepLookup}, {6, m.stepSeek}, {6, m.stepCheck}, {4, m.stepMeasure}, {2, m.reopen},
	}
	total := 0
	for _, a := range actions {
		total += a.weight
	}
	for range steps {
		pick := m.random.IntN(total)
		for _, a := range actions {
			if pick -= a.weight; pick < 0 {
				a.do()
				break
			}
		}
		m.checkBounds()
	}
}

// stepAppend appends a few records, some of them with ids used before.
func (m *model) stepAppend() {
	call := make([]eventlog.Record, m.random.IntN(6))
	for i := range call {
		call[i] = m.anyRecord()
	}
	stamp := m.clock.now().Truncate(time.Microsecond)
	answers := m.append(call...)
	for i, r := range call {
		first, known := m.newest[r.ID]
		if known && stamp.Before(first.AppendTime.Add(first.Horizon)) {
			require.True(m, answers[i].Duplicate, "record %d", i)
			m.checkFirstCopy(first.Position, answers[i].Position)
			continue
		}
		require.False(m, answers[i].Duplicate, "record %d", i)
		e := eventlog.Entry{Record: r, Position: answers[i].Position, AppendTime: stamp}
		require.Equal(m, eventlog.FingerprintOf(r.ID, stamp), e.Position.Fingerprint)
		require.Greater(m, e.Position.Sequence, m.head().Sequence)
		m.entries, m.newest[r.ID] = append(m.entries, e), e
	}
}

func (m *model) checkFirstCopy(first, got eventlog.Position) {
	m.Helper()
	switch {
	case first.Sequence <= m.start.Sequence:
		require.Zero(m, got)
	case m.isRemoved(first):
		require.Contains(m, []eventlog.Position{{}, first}, got)
	default:
		require.Equal(m, first, got)
	}
}

func (m *model) isRemoved(p eventlog.Position) bool { return slices.Contains(m.removed, p) }

func (m *model) anyRecord() eventlog.Record {
	all := varied(30)
	r := all[m.random.IntN(len(all))]
	m.serial++
	r.ID = idOf(m.serial)
	if m.random.IntN(3) == 0 {
		r.ID = idOf(m.random.IntN(m.serial) + 1)
	}
	r.Payload = fmt.Appendf(nil, "payload %d", m.serial)
	r.Horizon = time.Duration(m.random.IntN(4)) * time.Hour
	return r
}

func (m *model) stepClock() { m.clock.add(time.Duration(m.random.Int64N(int64(90 * time.Minute)))) }

func (m *model) head() eventlog.Position {
	if len(m.entries) == 0 {
		return m.start
	}
	return m.entries[len(m.entries)-1].Position
}

// anywhere is the sequence of an entry held, of one removed, or of the start.
func (m *model) anywhere() eventlog.Sequence {
	i := m.random.IntN(len(m.entries) + len(m.removed) + 1)
	if i < len(m.entries) {
		return m.entries[i].Position.Sequence
	}
	if i -= len(m.entries); i < len(m.removed) {
		return m.removed[i].Sequence
	}
	return m.start.Sequence
}

func (m *model) stepRead() {
	q := eventlog.Query{
		After:   m.anywhere(),
		Reverse: m.random.IntN(3) == 0,
		Limit:   m.random.IntN(20),
		Bytes:   m.random.IntN(200),
		Raw:     m.random.IntN(2) == 0,
		Held:    m.random.IntN(2) == 0,
	}
	if m.random.IntN(3) == 0 {
		q.Until = m.anywhere()
	}
	cases := filterCases()
	names := make([]string, 0, len(cases))
	for name := range cases {
		names = append(names, name)
	}
	slices.Sort(names)
	name := names[m.random.IntN(len(names))]
	q.Filter = matcher(cases[name]...)
	if m.missesSome(q) {
		_, err := m.log.Read(m.Context(), q)
		require.ErrorIs(m, err, eventlog.ErrTrimmed)
		return
	}
	m.checkScanned(q)
	got, want := m.readAll(q), m.selected(q)
	require.Equal(m, sequences(want), sequences(got), "%s: %+v", name, q)
	for i := range want {
		w := want[i].Record
		if !q.Raw {
			w.Raw = nil
		}
		m.equalRecords(w, got[i].Record)
		require.Equal(m, want[i].Position, got[i].Position)
		require.Equal(m, want[i].AppendTime, got[i].AppendTime)
	}
}

// missesSome says that a query is to be refused for what was removed.
func (m *model) missesSome(q eventlog.Query) bool {
	for path, upTo := range m.trims {
		if !q.Held && !q.Reverse && upTo.Sequence > q.After && q.Filter.MaySelect(path) {
			return true
		}
	}
	return false
}

// checkScanned wants a page to end where reading can go on.
func (m *model) checkScanned(q eventlog.Query) {
	m.Helper()
	page, err := m.log.Read(m.Context(), q)
	require.NoError(m, err)
	if !q.Reverse {
		require.NoError(m, m.log.Check(m.Context(), page.Scanned))
	}
	if !q.Reverse && !page.More && q.After < q.Until {
		require.Equal(m, min(q.Until, m.head().Sequence), page.Scanned.Sequence)
	}
}

// selected is what a query yields, page limits aside.
func (m *model) selected(q eventlog.Query) []eventlog.Entry {
	all := []eventlog.Entry{}
	for _, e := range m.entries {
		s := e.Position.Sequence
		inside := s > q.After && (q.Until == 0 || s <= q.Until)
		if q.Reverse {
			inside = q.After == 0 || s < q.After
		}
		if inside && q.Filter.Match(&e.Header) {
			all = append(all, e)
		}
	}
	if q.Reverse {
		slices.Reverse(all)
	}
	return all
}

func (m *model) stepTrim() {
	if len(m.entries) == 0 {
		return
	}
	upTo := m.anywhere()
	if upTo == m.start.Sequence || m.random.IntN(3) > 0 {
		upTo = m.entries[m.random.IntN((len(m.entries)+1)/2)].Position.Sequence
	}
	require.NoError(m, m.log.Trim(m.Context(), upTo))
	gone := func(p eventlog.Position) bool { return p.Sequence <= upTo }
	m.start = m.bounds().Start // its fingerprint may be unknown
	m.entries = slices.DeleteFunc(m.entries, func(e eventlog.Entry) bool { return gone(e.Position) })
	m.removed = slices.DeleteFunc(m.removed, gone)
	maps.DeleteFunc(m.trims, func(_ string, p eventlog.Position) bool { return gone(p) })
	require.Equal(m, upTo, m.start.Sequence)
}

func (m *model) anyPath() string {
	paths := []string{"a", "a.b", "a.b.c", "ab", "z", "q"}
	return paths[m.random.IntN(len(paths))]
}

func (m *model) stepTrimType() {
	path, upTo, head := m.anyPath(), m.anywhere(), m.head().Sequence
	require.NoError(m, m.log.TrimType(m.Context(), path, upTo))
	selects := ofTypes(path)
	m.entries = slices.DeleteFunc(m.entries, func(e eventlog.Entry) bool {
		s := e.Position.Sequence
		if s > upTo || s == head || !selects.Match(&e.Header) {
			return false
		}
		m.removed = append(m.removed, e.Position)
		if s > m.trims[path].Sequence {
			m.trims[path] = e.Position
		}
		return true
	})
}

func (m *model) stepMeasure() {
	path, after := m.anyPath(), m.anywhere()
	var want []eventlog.Record
	for _, e := range m.selected(eventlog.Query{After: after, Filter: ofTypes(path)}) {
		want = append(want, e.Record)
	}
	m.checkMeasure(want, m.measure(path, after, 0))
}

func (m *model) stepLookup() {
	id := idOf(m.random.IntN(m.serial + 2))
	want, known := m.newest[id]
	got, err := m.log.Lookup(m.Context(), id)
	if !known || want.Position.Sequence <= m.start.Sequence || m.isRemoved(want.Position) {
		require.ErrorIs(m, err, eventlog.ErrNotFound)
		return
	}
	require.NoError(m, err)
	require.Equal(m, want.Position, got.Position)
	m.equalRecords(want.Record, got.Record)
}

func (m *model) stepSeek() {
	t := m.clock.now().Add(-time.Duration(m.random.Int64N(int64(20 * time.Hour))))
	from := m.seek(t)
	require.NoError(m, m.log.Check(m.Context(), from))
	for _, e := range m.entries {
		require.Equal(m, e.AppendTime.Before(t), e.Position.Sequence <= from.Sequence)
	}
	if !slices.ContainsFunc(m.entries, func(e eventlog.Entry) bool { return e.Position == from }) {
		require.True(m, from == m.start || m.isRemoved(from))
	}
}

func (m *model) stepCheck() {
	require.NoError(m, m.log.Check(m.Context(), m.start))
	for _, e := range m.entries {
		require.NoError(m, m.log.Check(m.Context(), e.Position))
	}
	for _, p := range m.removed {
		require.NoError(m, m.log.Check(m.Context(), p))
	}
}

func (m *model) checkBounds() {
	got := m.bounds()
	require.Equal(m, m.start, got.Start)
	require.Equal(m, m.head(), got.Head)
	if n := len(m.entries); n > 0 {
		require.Equal(m, m.entries[0].AppendTime, got.OldestTime)
		require.Equal(m, m.entries[n-1].AppendTime, got.HeadTime)
	}
	trims := make(map[string]eventlog.Position)
	for _, t := range got.TypeTrims {
		trims[t.Path] = t.UpTo
	}
	require.Equal(m, m.trims, trims)
	require.Len(m, got.TypeTrims, len(trims))
	stats, err := m.log.Stats(m.Context())
	require.NoError(m, err)
	require.Equal(m, uint64(len(m.entries)), stats.Records)
}

package eventlogtest

import (
	"fmt"
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
	serial  int
}

func newModel(b *bench, seed uint64) *model {
	return &model{
		bench:  b,
		random: rand.New(rand.NewPCG(seed, 1)), //nolint:gosec // a test must be repeatable
		newest: make(map[eventlog.ID]eventlog.Entry),
		start:  b.bounds().Start,
	}
}

func (m *model) run(steps int) {
	m.Helper()
	actions := []struct {
		weight int
		do     func()
	}{
		{40, m.stepAppend}, {25, m.stepRead}, {10, m.stepClock}, {5, m.stepTrim},
		{6, m.stepLookup}, {6, m.stepSeek}, {6, m.stepCheck}, {2, m.reopen},
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
			want := first.Position
			if want.Sequence <= m.start.Sequence {
				want = eventlog.Position{}
			}
			require.Equal(m, want, answers[i].Position)
			continue
		}
		require.False(m, answers[i].Duplicate, "record %d", i)
		e := eventlog.Entry{Record: r, Position: answers[i].Position, AppendTime: stamp}
		require.Equal(m, eventlog.FingerprintOf(r.ID, stamp), e.Position.Fingerprint)
		require.Greater(m, e.Position.Sequence, m.head().Sequence)
		m.entries, m.newest[r.ID] = append(m.entries, e), e
	}
}

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

// anywhere is the sequence of an entry held, or of the start.
func (m *model) anywhere() eventlog.Sequence {
	if i := m.random.IntN(len(m.entries) + 1); i < len(m.entries) {
		return m.entries[i].Position.Sequence
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
	n := 1 + m.random.IntN((len(m.entries)+1)/2)
	upTo := m.entries[n-1].Position
	require.NoError(m, m.log.Trim(m.Context(), upTo.Sequence))
	m.entries, m.start = m.entries[n:], upTo
}

func (m *model) stepLookup() {
	id := idOf(m.random.IntN(m.serial + 2))
	want, known := m.newest[id]
	got, err := m.log.Lookup(m.Context(), id)
	if !known || want.Position.Sequence <= m.start.Sequence {
		require.ErrorIs(m, err, eventlog.ErrNotFound)
		return
	}
	require.NoError(m, err)
	require.Equal(m, want.Position, got.Position)
	m.equalRecords(want.Record, got.Record)
}

func (m *model) stepSeek() {
	t := m.clock.now().Add(-time.Duration(m.random.Int64N(int64(20 * time.Hour))))
	want := m.start
	for _, e := range m.entries {
		if e.AppendTime.Before(t) {
			want = e.Position
		}
	}
	require.Equal(m, want, m.seek(t))
}

func (m *model) stepCheck() {
	require.NoError(m, m.log.Check(m.Context(), m.start))
	for _, e := range m.entries {
		require.NoError(m, m.log.Check(m.Context(), e.Position))
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
	stats, err := m.log.Stats(m.Context())
	require.NoError(m, err)
	require.Equal(m, uint64(len(m.entries)), stats.Records)
}

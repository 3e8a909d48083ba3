package natslog

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func idOf(n int) eventlog.ID {
	var id eventlog.ID
	binary.BigEndian.PutUint64(id[4:], uint64(n))
	return id
}

func recordOf(n int) eventlog.Record {
	return eventlog.Record{
		Header:  eventlog.Header{ID: idOf(n), Source: "s", Type: "t", Severity: eventlog.SeverityInfo},
		Payload: fmt.Appendf(nil, "payload %d", n), Horizon: time.Hour,
	}
}

func appendOf(seen place, stamp int64, records ...eventlog.Record) *entry {
	return &entry{kind: callback, seen: seen, stamp: stamp, records: records}
}

// Two replicas post the same at once: neither has seen the other's message.
func TestFoldStoresOnceWhatIsUnderWayTwice(t *testing.T) {
	t.Parallel()
	f := newFold(eventlog.LogID{1}, 8, place{})
	added, first := f.take(1, appendOf(place{}, 10, recordOf(1), recordOf(2)))
	require.Len(t, added, 2)
	added, second := f.take(2, appendOf(place{}, 5, recordOf(2), recordOf(3), recordOf(2)))
	require.Len(t, added, 1)
	require.Equal(t, []eventlog.Appended{
		{Position: first.answers[1].Position, Duplicate: true},
		{Position: added[0].Position},
		{Position: first.answers[1].Position, Duplicate: true},
	}, second.answers)
	require.Equal(t, eventlog.Sequence(3), added[0].Position.Sequence)
	require.Equal(t, timeOf(10), added[0].AppendTime, "stamps do not go back")
}

// What the writer had seen was for the writer to look at: it may have found the
// horizon over.
func TestFoldLeavesToTheWriterWhatItHadSeen(t *testing.T) {
	t.Parallel()
	f := newFold(eventlog.LogID{1}, 8, place{})
	f.take(1, appendOf(place{}, 1, recordOf(1)))
	added, v := f.take(2, appendOf(f.at, 2, recordOf(1)))
	require.Len(t, added, 1)
	require.False(t, v.answers[0].Duplicate)
	never := recordOf(2)
	never.Horizon = 0
	added, _ = f.take(3, appendOf(place{}, 3, never, never))
	require.Len(t, added, 2)
}

func TestFoldVoidsWhatComesTooLate(t *testing.T) {
	t.Parallel()
	f := newFold(eventlog.LogID{1}, 4, place{})
	for m := uint64(1); m <= 4; m++ {
		f.take(m, appendOf(f.at, 1, recordOf(int(m))))
	}
	before := f.at
	added, v := f.take(5, appendOf(place{}, 1, recordOf(9)))
	require.Empty(t, added)
	require.True(t, v.void)
	before.message = 5
	require.Equal(t, before, f.at)
	added, v = f.take(6, appendOf(place{message: 2}, 1, recordOf(9)))
	require.False(t, v.void)
	require.Len(t, added, 1)
}

func TestFoldTakesImportsInOrder(t *testing.T) {
	t.Parallel()
	entryAt := func(seq eventlog.Sequence, stamp int64) eventlog.Entry {
		return eventlog.Entry{Record: recordOf(int(seq)), Position: eventlog.Position{Sequence: seq}, AppendTime: timeOf(stamp)}
	}
	f := newFold(eventlog.LogID{1}, 4, place{})
	added, v := f.take(1, &entry{kind: imported, entries: []eventlog.Entry{entryAt(5, 10), entryAt(9, 10)}})
	require.False(t, v.void)
	require.Equal(t, []eventlog.Sequence{5, 9}, []eventlog.Sequence{added[0].Position.Sequence, added[1].Position.Sequence})
	for _, e := range []*entry{
		{kind: imported, entries: []eventlog.Entry{entryAt(10, 11)}},                              // something came in between
		{kind: imported, seen: f.at, entries: []eventlog.Entry{entryAt(9, 11)}},                   // again
		{kind: imported, seen: f.at, entries: []eventlog.Entry{entryAt(10, 9)}},                   // earlier
		{kind: imported, seen: f.at, entries: []eventlog.Entry{entryAt(10, 12), entryAt(11, 11)}}, // not in order
		{kind: imported, seen: f.at}, // nothing
	} {
		added, v := f.take(f.at.message+1, e)
		require.True(t, v.void)
		require.Empty(t, added)
	}
	added, _ = f.take(f.at.message+1, appendOf(f.at, 3, recordOf(1)))
	require.Equal(t, eventlog.Sequence(10), added[0].Position.Sequence)
	require.Equal(t, timeOf(10), added[0].AppendTime)
}

// An import begins behind a sequence, if nothing came before it.
func TestFoldBeginsWithAnImport(t *testing.T) {
	t.Parallel()
	f := newFold(eventlog.LogID{1}, 4, place{})
	f.take(1, &entry{kind: tick, stamp: 99})
	begin := &entry{kind: beginning, seen: f.at, stamp: 7, upTo: 40}
	require.True(t, f.begins(begin))
	_, v := f.take(2, begin)
	require.False(t, v.void)
	require.Equal(t, place{message: 2, head: 40, stamp: 7}, f.at)
	require.False(t, f.begins(begin))
	_, v = f.take(3, begin)
	require.True(t, v.void, "twice")
	added, v := f.take(4, &entry{kind: imported, seen: f.at, entries: []eventlog.Entry{
		{Record: recordOf(1), Position: eventlog.Position{Sequence: 41}, AppendTime: timeOf(8)},
	}})
	require.False(t, v.void)
	require.Len(t, added, 1)
}

// A replica that begins anywhere, with the messages of the window before, makes the
// same of what follows as one that was there from the beginning.
func TestFoldFromAnywhereIsTheSame(t *testing.T) {
	t.Parallel()
	const messages, width = 400, 16
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		whole := newFold(eventlog.LogID{1}, width, place{})
		stream := make([]*entry, messages+1)
		places := make([]place, messages+1)
		added := make([][]eventlog.Entry, messages+1)
		for m := 1; m <= messages; m++ {
			seen := places[max(0, m-1-random.IntN(width+4))]
			e := appendOf(seen, max(seen.stamp, int64(1000*m)+random.Int64N(5000)))
			for range random.IntN(4) {
				e.records = append(e.records, recordOf(m/8+random.IntN(6)))
			}
			if random.IntN(10) == 0 {
				e = &entry{kind: tick, seen: seen, stamp: e.stamp}
			}
			stream[m] = e
			added[m], _ = whole.take(uint64(m), e)
			places[m] = whole.at
		}
		begin := width + random.IntN(messages-width)
		part := newFold(eventlog.LogID{1}, width, places[begin])
		for m := begin - width + 1; m <= begin; m++ {
			part.recall(uint64(m), stream[m])
		}
		for m := begin + 1; m <= messages; m++ {
			got, _ := part.take(uint64(m), stream[m])
			require.Equal(t, added[m], got, "seed %d, from %d, message %d", seed, begin, m)
			require.Equal(t, places[m], part.at)
		}
	}
}

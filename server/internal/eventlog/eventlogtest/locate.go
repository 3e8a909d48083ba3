package eventlogtest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func locateTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"bounds":                   bounds,
		"stats":                    stats,
		"lookup":                   lookup,
		"lookup_newest":            lookupNewest,
		"seek":                     seek,
		"seek_empty_log":           seekEmptyLog,
		"seek_equal_stamps":        seekEqualStamps,
		"seek_between_ticks":       seekBetweenTicks,
		"seek_holds_against_clock": seekHoldsAgainstClock,
		"check":                    check,
	}
}

func (b *bench) bounds() eventlog.Bounds {
	b.Helper()
	got, err := b.log.Bounds(b.Context())
	require.NoError(b, err)
	return got
}

func bounds(b *bench) {
	got := b.bounds()
	require.NotZero(b, got.Head.Log)
	require.Equal(b, eventlog.Position{Log: got.Head.Log}, got.Start)
	require.Equal(b, got.Start, got.Head)
	require.Zero(b, got.OldestTime)
	require.Zero(b, got.HeadTime)
	first := b.clock.now()
	at := b.fill(record(0))
	last := b.clock.add(time.Minute)
	at = append(at, b.fill(record(1))...)
	for range 2 {
		want := eventlog.Bounds{Start: got.Start, Head: at[1], OldestTime: first, HeadTime: last}
		require.Equal(b, want, b.bounds())
		b.reopen()
	}
}

func stats(b *bench) {
	b.append(records(0, 10)...)
	got, err := b.log.Stats(b.Context())
	require.NoError(b, err)
	require.Equal(b, uint64(10), got.Records)
	require.NotZero(b, got.Bytes)
}

func lookup(b *bench) {
	_, err := b.log.Lookup(b.Context(), idOf(1))
	require.ErrorIs(b, err, eventlog.ErrNotFound)
	at := b.fill(records(0, 10)...)
	for range 2 {
		for n, p := range at {
			got, err := b.log.Lookup(b.Context(), idOf(n))
			require.NoError(b, err)
			require.Equal(b, p, got.Position)
			b.equalRecords(record(n), got.Record)
		}
		_, err = b.log.Lookup(b.Context(), idOf(10))
		require.ErrorIs(b, err, eventlog.ErrNotFound)
		b.reopen()
	}
	require.NoError(b, b.log.Trim(b.Context(), at[4].Sequence))
	_, err = b.log.Lookup(b.Context(), idOf(4))
	require.ErrorIs(b, err, eventlog.ErrNotFound)
	_, err = b.log.Lookup(b.Context(), idOf(5))
	require.NoError(b, err)
}

func lookupNewest(b *bench) {
	b.append(record(1))
	b.clock.add(2 * time.Hour)
	newer := record(1)
	newer.Payload = []byte("newer")
	at := b.fill(newer)
	for range 2 {
		got, err := b.log.Lookup(b.Context(), idOf(1))
		require.NoError(b, err)
		require.Equal(b, at[0], got.Position)
		require.Equal(b, "newer", string(got.Payload))
		b.reopen()
	}
}

func (b *bench) seek(t time.Time) eventlog.Position {
	b.Helper()
	got, err := b.log.Seek(b.Context(), t)
	require.NoError(b, err)
	return got
}

func seek(b *bench) {
	start := b.clock.now()
	var at []eventlog.Position
	for n := range 20 {
		at = append(at, b.fill(record(n))...)
		b.clock.add(time.Minute)
	}
	origin := b.bounds().Start
	minute := func(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }
	require.Equal(b, origin, b.seek(time.Time{}))
	require.Equal(b, origin, b.seek(minute(-1)))
	require.Equal(b, origin, b.seek(minute(0)), "at the first stamp: everything")
	for n := 1; n < 20; n++ {
		require.Equal(b, at[n-1], b.seek(minute(n)), "at stamp %d", n)
		require.Equal(b, at[n-1], b.seek(minute(n).Add(-time.Second)), "before stamp %d", n)
		require.Equal(b, at[n-1], b.seek(minute(n).Add(-time.Nanosecond)), "just before stamp %d", n)
	}
	require.Equal(b, at[19], b.seek(minute(19).Add(time.Nanosecond)))
	require.Equal(b, at[19], b.seek(minute(1000)), "in the future")
	require.NoError(b, b.log.Trim(b.Context(), at[9].Sequence))
	require.Equal(b, at[9], b.seek(minute(3)), "trimmed: as far as the log holds it")
	require.Equal(b, at[9], b.seek(minute(10)))
	require.Equal(b, at[10], b.seek(minute(11)))
}

func seekEmptyLog(b *bench) {
	origin := b.bounds().Start
	require.Equal(b, origin, b.seek(b.clock.now().Add(-time.Hour)))
	require.Equal(b, origin, b.seek(b.clock.now().Add(time.Hour)))
}

func seekEqualStamps(b *bench) {
	before := b.fill(record(0))[0]
	at := b.clock.add(time.Minute)
	b.append(records(1, 50)...)
	b.append(records(50, 60)...)
	require.Equal(b, before, b.seek(at))
	require.Equal(b, b.bounds().Head, b.seek(at.Add(time.Microsecond)))
}

// seekBetweenTicks: stamps are cut to microseconds, the time asked for is not. A
// record stamped after the call must not turn up before it.
func seekBetweenTicks(b *bench) {
	b.clock.add(1500 * time.Nanosecond)
	t := b.clock.now()
	b.append(record(0))
	from := b.seek(t)
	b.append(record(1))
	for _, e := range b.readAll(eventlog.Query{After: from.Sequence}) {
		require.False(b, e.AppendTime.Before(t), "stamped %v, asked for %v", e.AppendTime, t)
	}
}

// seekHoldsAgainstClock: an answer for a time that has passed stays right when
// the clock goes back.
func seekHoldsAgainstClock(b *bench) {
	b.append(record(0))
	t := b.clock.add(time.Hour)
	from := b.seek(t)
	b.clock.add(-30 * time.Minute)
	b.append(record(1))
	got := b.readAll(eventlog.Query{After: from.Sequence})
	require.Len(b, got, 1)
	require.False(b, got[0].AppendTime.Before(t))
	require.Equal(b, from, b.seek(t))
}

func check(b *bench) {
	at := b.fill(records(0, 10)...)
	for range 2 {
		b.checkPositions(at)
		b.reopen()
	}
}

func (b *bench) checkPositions(at []eventlog.Position) {
	b.Helper()
	verdict := func(p eventlog.Position) error { return b.log.Check(b.Context(), p) }
	origin := eventlog.Position{Log: at[0].Log}
	require.NoError(b, verdict(origin))
	for _, p := range at {
		require.NoError(b, verdict(p))
		other := p
		other.Fingerprint++
		require.ErrorIs(b, verdict(other), eventlog.ErrDiverged)
	}
	require.ErrorIs(b, verdict(eventlog.Position{Log: at[0].Log, Fingerprint: 1}), eventlog.ErrDiverged)
	require.ErrorIs(b, verdict(eventlog.Position{}), eventlog.ErrOtherLog)
	alien := at[3]
	alien.Log[0]++
	require.ErrorIs(b, verdict(alien), eventlog.ErrOtherLog)
	ahead := at[9]
	ahead.Sequence++
	require.ErrorIs(b, verdict(ahead), eventlog.ErrAhead)
}

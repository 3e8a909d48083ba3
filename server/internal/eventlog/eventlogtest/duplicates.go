package eventlogtest

import (
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func duplicateTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"duplicate_later":           duplicateLater,
		"duplicate_after_reopen":    duplicateAfterReopen,
		"duplicate_in_one_call":     duplicateInOneCall,
		"duplicate_concurrent":      duplicateConcurrent,
		"duplicate_horizon_over":    duplicateHorizonOver,
		"duplicate_without_horizon": duplicateWithoutHorizon,
		"duplicate_mixed_call":      duplicateMixedCall,
		"duplicate_of_trimmed":      duplicateOfTrimmed,
		"duplicate_first_horizon":   duplicateFirstHorizonCounts,
	}
}

func duplicateLater(b *bench) {
	first := b.append(record(1))[0]
	second := b.append(record(1))[0]
	require.True(b, second.Duplicate)
	require.Equal(b, first.Position, second.Position)
	require.Len(b, b.readAll(eventlog.Query{}), 1)
}

func duplicateAfterReopen(b *bench) {
	first := b.fill(records(0, 50)...)
	b.reopen()
	for n, want := range first {
		got := b.append(record(n))[0]
		require.True(b, got.Duplicate)
		require.Equal(b, want, got.Position)
	}
	require.Len(b, b.readAll(eventlog.Query{}), 50)
}

func duplicateInOneCall(b *bench) {
	got := b.append(record(1), record(2), record(1))
	require.False(b, got[0].Duplicate)
	require.True(b, got[2].Duplicate)
	require.Equal(b, got[0].Position, got[2].Position)
	require.Len(b, b.readAll(eventlog.Query{}), 2)
}

// duplicateConcurrent has many callers append the same records at once: each is
// stored once, and every caller learns where.
func duplicateConcurrent(b *bench) {
	const callers, size = 100, 5
	answers := make([][]eventlog.Appended, callers)
	g, ctx := errgroup.WithContext(b.Context())
	for c := range callers {
		g.Go(func() (err error) {
			answers[c], err = b.log.Append(ctx, records(0, size))
			return err
		})
	}
	require.NoError(b, g.Wait())
	stored := b.readAll(eventlog.Query{})
	require.Len(b, stored, size)
	fresh := 0
	for _, a := range answers {
		for i := range a {
			require.Equal(b, stored[i].Position, a[i].Position)
			if !a[i].Duplicate {
				fresh++
			}
		}
	}
	require.Equal(b, size, fresh)
}

func duplicateHorizonOver(b *bench) {
	first := b.append(record(1))[0]
	b.clock.add(time.Hour - time.Second)
	require.True(b, b.append(record(1))[0].Duplicate)
	b.clock.add(2 * time.Second)
	second := b.append(record(1))[0]
	require.False(b, second.Duplicate)
	require.Greater(b, second.Position.Sequence, first.Position.Sequence)
	b.reopen()
	third := b.append(record(1))[0]
	require.True(b, third.Duplicate)
	require.Equal(b, second.Position, third.Position, "the newest copy counts")
	got := b.readAll(eventlog.Query{})
	require.Len(b, got, 2)
	require.Equal(b, got[0].ID, got[1].ID)
}

func duplicateWithoutHorizon(b *bench) {
	for _, horizon := range []time.Duration{0, -time.Hour} {
		r := record(1)
		r.Horizon = horizon
		for _, a := range b.append(r, r) {
			require.False(b, a.Duplicate)
		}
	}
	require.Len(b, b.readAll(eventlog.Query{}), 4)
}

// duplicateFirstHorizonCounts: how long a record is remembered is decided by the
// copy that is stored, not by the one that comes later.
func duplicateFirstHorizonCounts(b *bench) {
	short, long := record(1), record(1)
	short.Horizon, long.Horizon = time.Minute, 24*time.Hour
	b.append(short)
	require.True(b, b.append(long)[0].Duplicate)
	b.clock.add(2 * time.Minute)
	require.False(b, b.append(long)[0].Duplicate)
	b.clock.add(2 * time.Hour)
	require.True(b, b.append(short)[0].Duplicate)
}

func duplicateMixedCall(b *bench) {
	first := b.append(record(1))[0]
	got := b.append(record(0), record(1), record(2))
	require.Equal(b, []bool{false, true, false}, []bool{got[0].Duplicate, got[1].Duplicate, got[2].Duplicate})
	require.Equal(b, first.Position, got[1].Position)
	require.Equal(b, []string{"payload 1", "payload 0", "payload 2"}, payloads(b.readAll(eventlog.Query{})))
}

func duplicateOfTrimmed(b *bench) {
	at := b.fill(records(0, 3)...)
	require.NoError(b, b.log.Trim(b.Context(), at[1].Sequence))
	for range 2 {
		got := b.append(record(0), record(2))
		require.True(b, got[0].Duplicate)
		require.Zero(b, got[0].Position, "its place is not known any more")
		require.True(b, got[1].Duplicate)
		require.Equal(b, at[2], got[1].Position)
		b.reopen()
	}
	b.clock.add(2 * time.Hour)
	require.False(b, b.append(record(0))[0].Duplicate)
}

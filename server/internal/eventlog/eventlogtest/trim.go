package eventlogtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func trimTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"trim":                trim,
		"trim_everything":     trimEverything,
		"trim_beyond_head":    trimBeyondHead,
		"trim_many":           trimMany,
		"trim_filtered_reads": trimFilteredReads,
		"trim_under_readers":  trimUnderReaders,
	}
}

func trim(b *bench) {
	at := b.fill(records(0, 10)...)
	require.NoError(b, b.log.Trim(b.Context(), 0))
	require.Len(b, b.readAll(eventlog.Query{}), 10)
	for range 2 { // twice: it is idempotent
		require.NoError(b, b.log.Trim(b.Context(), at[3].Sequence))
		require.NoError(b, b.log.Trim(b.Context(), at[1].Sequence))
		require.Equal(b, at[3], b.bounds().Start)
		require.Equal(b, at[9], b.bounds().Head)
		b.checkTrimmed(at)
		b.reopen()
	}
	got, err := b.log.Stats(b.Context())
	require.NoError(b, err)
	require.Equal(b, uint64(6), got.Records)
}

// checkTrimmed expects the first four of ten records to be gone.
func (b *bench) checkTrimmed(at []eventlog.Position) {
	b.Helper()
	require.Len(b, b.readAll(eventlog.Query{After: at[3].Sequence}), 6)
	require.Len(b, b.readAll(eventlog.Query{Reverse: true}), 6)
	require.Empty(b, b.readAll(eventlog.Query{Reverse: true, After: at[2].Sequence}))
	for _, after := range []eventlog.Sequence{0, at[0].Sequence, at[2].Sequence} {
		_, err := b.log.Read(b.Context(), eventlog.Query{After: after})
		require.ErrorIs(b, err, eventlog.ErrTrimmed)
	}
	for i, p := range at {
		err := b.log.Check(b.Context(), p)
		if i < 3 {
			require.ErrorIs(b, err, eventlog.ErrTrimmed)
			continue
		}
		require.NoError(b, err, "record %d; the trim point itself passes", i)
	}
	other := at[3]
	other.Fingerprint++
	require.ErrorIs(b, b.log.Check(b.Context(), other), eventlog.ErrDiverged)
}

func trimEverything(b *bench) {
	top := b.clock.now()
	at := b.fill(records(0, 10)...)
	require.NoError(b, b.log.Trim(b.Context(), at[9].Sequence))
	b.clock.add(-time.Hour)
	for range 2 {
		require.Equal(b, eventlog.Bounds{Start: at[9], Head: at[9]}, b.bounds())
		require.Empty(b, b.readAll(eventlog.Query{After: at[9].Sequence}))
		require.Empty(b, b.readAll(eventlog.Query{Reverse: true}))
		require.NoError(b, b.log.Check(b.Context(), at[9]))
		require.Equal(b, at[9], b.seek(top))
		b.reopen()
	}
	next := b.fill(record(10))[0]
	require.Greater(b, next.Sequence, at[9].Sequence, "sequences are not used again")
	got := b.readAll(eventlog.Query{After: at[9].Sequence})
	require.Len(b, got, 1)
	require.False(b, got[0].AppendTime.Before(top), "stamps do not go back either")
	require.Equal(b, got[0].AppendTime, b.bounds().OldestTime)
}

func trimBeyondHead(b *bench) {
	at := b.fill(records(0, 3)...)
	require.Error(b, b.log.Trim(b.Context(), at[2].Sequence+1))
	require.Len(b, b.readAll(eventlog.Query{}), 3)
}

func trimMany(b *bench) {
	const n = 3 * eventlog.MaxAppendRecords
	var last eventlog.Position
	for from := 0; from < n; from += eventlog.MaxAppendRecords {
		answers := b.append(records(from, from+eventlog.MaxAppendRecords)...)
		last = answers[len(answers)-11].Position
	}
	require.NoError(b, b.log.Trim(b.Context(), last.Sequence))
	for range 2 {
		require.Equal(b, last, b.bounds().Start)
		waba := matcher(eventlog.Filter{WABAIDs: []string{"1001"}})
		for _, m := range []*eventlog.Matcher{nil, waba} {
			require.Len(b, b.readAll(eventlog.Query{After: last.Sequence, Filter: m}), 10)
			require.Len(b, b.readAll(eventlog.Query{Reverse: true, Filter: m}), 10)
		}
		b.reopen()
	}
}

func trimFilteredReads(b *bench) {
	all := varied(300)
	at := b.fill(all...)
	require.NoError(b, b.log.Trim(b.Context(), at[149].Sequence))
	for name, filters := range filterCases() {
		m := matcher(filters...)
		got := payloads(b.readAll(eventlog.Query{After: at[149].Sequence, Filter: m}))
		require.Equal(b, matching(all[150:], m), got, name)
	}
}

// trimUnderReaders has readers run from the start over and over while the log is
// written and trimmed: each sees a run of records without a hole, and an end
// that is either the head or ErrTrimmed.
func trimUnderReaders(b *bench) {
	const readers = 4
	n := recordsUnderReaders(3000)
	g, ctx := errgroup.WithContext(b.Context())
	done := make(chan struct{})
	g.Go(func() error {
		defer close(done)
		return b.writeAndTrim(ctx, n)
	})
	for r := range readers {
		filter := matcher(eventlog.Filter{WABAIDs: []string{"1001"}})
		if r%2 == 0 {
			filter = nil
		}
		g.Go(func() error {
			for {
				select {
				case <-done:
					return nil
				default:
				}
				if err := readRun(ctx, b.log, filter); err != nil {
					return err
				}
			}
		})
	}
	require.NoError(b, g.Wait())
}

func (b *bench) writeAndTrim(ctx context.Context, n int) error {
	for from := 0; from < n; from += 10 {
		answers, err := b.log.Append(ctx, records(from, from+10))
		if err != nil {
			return err
		}
		if from%50 == 0 {
			if err := b.log.Trim(ctx, answers[0].Position.Sequence); err != nil {
				return err
			}
		}
	}
	return nil
}

// readRun reads from the start to the head and wants consecutive payloads.
func readRun(ctx context.Context, log eventlog.Log, filter *eventlog.Matcher) error {
	bounds, err := log.Bounds(ctx)
	if err != nil {
		return err
	}
	q := eventlog.Query{After: bounds.Start.Sequence, Filter: filter, Limit: 7}
	entries, err := collect(ctx, log, q)
	if err != nil && !errors.Is(err, eventlog.ErrTrimmed) {
		return err
	}
	for i := 1; i < len(entries); i++ {
		var a, c int
		if _, err := fmt.Sscanf(string(entries[i-1].Payload)+" "+string(entries[i].Payload), "payload %d payload %d", &a, &c); err != nil {
			return err
		}
		if c != a+1 {
			return fmt.Errorf("record %d is followed by %d", a, c)
		}
	}
	return nil
}

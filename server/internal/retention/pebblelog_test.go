package retention_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
	"github.com/wabastream/wabastream/server/internal/retention"
)

const (
	payloadBytes  = 4 << 10
	memTableBytes = 1 << 20
	// interval is short enough for a test, and long enough for several rounds to
	// pass before the disk shows what one of them trimmed.
	interval = 20 * time.Millisecond
)

// openLog opens a log in a folder, whose memory is so small that tables are
// written and compacted all the time.
func openLog(t *testing.T, now func() time.Time) *pebblelog.Log {
	t.Helper()
	log, err := pebblelog.Open(t.Context(), t.TempDir(), pebblelog.Options{MemTableBytes: memTableBytes, Now: now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	return log
}

// batch makes records number first and following, which do not compress.
func batch(first, n int) []eventlog.Record {
	records := make([]eventlog.Record, n)
	for i := range records {
		random := rand.NewChaCha8([32]byte{byte(first), byte(first >> 8), byte(first >> 16), byte(i)})
		payload := make([]byte, payloadBytes)
		_, _ = random.Read(payload) // never errs
		r := eventlog.Record{
			Header: eventlog.Header{
				Source: "nxcloud", Type: "account_update.account_deleted", Severity: eventlog.SeverityInfo,
				WABAID: "1001", WABASource: eventlog.WABAPayload, BusinessPhone: "15550100",
			},
			Payload: payload,
			Horizon: time.Hour,
		}
		binary.BigEndian.PutUint64(r.ID[:], uint64(first+i+1))
		records[i] = r
	}
	return records
}

// fill appends MiBs of records, the first of which has the number given, and
// returns the number after them.
func fill(ctx context.Context, log eventlog.Log, first, mib int) (int, error) {
	const each = 64
	for range mib << 20 / payloadBytes / each {
		if _, err := log.Append(ctx, batch(first, each)); err != nil {
			return first, err
		}
		first += each
	}
	return first, nil
}

// run keeps the log until the test ends.
func run(t *testing.T, log eventlog.Log, policy retention.Policy) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	keeper := retention.New(retention.Config{Log: log, Policy: policy, Interval: interval})
	go func() {
		defer close(done)
		keeper.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

// tail reads what is appended after the sequence until it has read last, and
// reports how many records it read.
func tail(ctx context.Context, log eventlog.Log, after, last eventlog.Sequence) (int, error) {
	n := 0
	for after < last {
		if err := log.Wait(ctx, after); err != nil {
			return n, err
		}
		page, err := log.Read(ctx, eventlog.Query{After: after})
		if err != nil {
			return n, err
		}
		n += len(page.Entries)
		after = page.Scanned.Sequence
	}
	return n, nil
}

// TestSizeOnDisk keeps a log of 32 MiB that grows by as much again to 20 MiB.
func TestSizeOnDisk(t *testing.T) {
	t.Parallel()
	const (
		maxBytes = 20 << 20
		// slack is for what the store has not given back yet: the records in the
		// oldest table, in which the log begins, and trims still in memory.
		slack = 4 << 20
	)
	log := openLog(t, nil)
	next, err := fill(t.Context(), log, 0, 32)
	require.NoError(t, err)
	stats, err := log.Stats(t.Context())
	require.NoError(t, err)
	require.Greater(t, stats.Bytes, uint64(32<<20))

	run(t, log, retention.Policy{MaxBytes: maxBytes})
	// The reader is at the head because the writer waits for it: one that falls
	// behind may be overtaken, and is told.
	for range 32 {
		after := next
		next, err = fill(t.Context(), log, next, 1)
		require.NoError(t, err)
		n, err := tail(t.Context(), log, eventlog.Sequence(after), eventlog.Sequence(next))
		require.NoError(t, err, "a reader at the head notices nothing")
		require.Equal(t, 1<<20/payloadBytes, n)
	}

	// At full speed compactions take as much again. Now that appends come slowly,
	// the disk shows what was trimmed.
	rounds := time.NewTicker(interval)
	defer rounds.Stop()
	for n := 0; ; n++ {
		<-rounds.C
		stats, err = log.Stats(t.Context())
		require.NoError(t, err)
		if stats.Bytes <= maxBytes+slack {
			break
		}
		require.Less(t, n, 2000, "%d bytes on disk, %d of them reclaimable", stats.Bytes, stats.Reclaimable)
		if n%100 == 0 {
			// Takes the trims that are still in memory along to the disk.
			next, err = fill(t.Context(), log, next, memTableBytes>>20)
			require.NoError(t, err)
		}
	}
	t.Logf("%d KiB on disk, %d KiB reclaimable, %d KiB in records", stats.Bytes>>10, stats.Reclaimable>>10, stats.Records*payloadBytes>>10)
	require.Greater(t, stats.Records*payloadBytes, uint64(maxBytes/2), "trimmed too much")
	_, err = log.Read(t.Context(), eventlog.Query{})
	require.ErrorIs(t, err, eventlog.ErrTrimmed)
}

// TestAgeOnDisk moves the clock of log and keeper over the age of the first half.
func TestAgeOnDisk(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	log := openLog(t, now)
	half, err := fill(t.Context(), log, 0, 2)
	require.NoError(t, err)
	ahead.Store(int64(2 * time.Hour))
	all, err := fill(t.Context(), log, half, 2)
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	trims := &trimWatch{Log: log, upTo: eventlog.Sequence(half), reached: cancel}
	retention.New(retention.Config{Log: trims, Policy: retention.Policy{MaxAge: time.Hour}, Interval: time.Millisecond, Now: now}).Run(ctx)

	bounds, err := log.Bounds(t.Context())
	require.NoError(t, err)
	require.Equal(t, eventlog.Sequence(half), bounds.Start.Sequence)
	require.Equal(t, eventlog.Sequence(all), bounds.Head.Sequence)
	require.WithinDuration(t, now(), bounds.OldestTime, time.Hour)
	require.Greater(t, trims.n, 4, "a tenth at a time")
}

// TestTypesOnDisk floods a log with messages, among which there are some others.
func TestTypesOnDisk(t *testing.T) {
	t.Parallel()
	const maxBytes = 2 << 20
	log := openLog(t, nil)
	ordinaryOnes := 0
	for first := 0; first < 4096; first += 64 {
		records := batch(first, 64)
		for i := range records[1:] {
			records[1+i].Type = "messages.text"
		}
		_, err := log.Append(t.Context(), records)
		require.NoError(t, err)
		ordinaryOnes++
	}
	before, err := log.MeasureType(t.Context(), "messages", 0, 0)
	require.NoError(t, err)
	require.Greater(t, before.Bytes, uint64(4*maxBytes))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rule := retention.TypeRule{Paths: []string{"messages"}, MaxBytes: maxBytes}
	keeper := retention.New(retention.Config{
		Log: &boundsWatch{Log: log, round: 3, reached: cancel}, Policy: retention.Policy{Types: []retention.TypeRule{rule}}, Interval: time.Millisecond,
	})
	keeper.Run(ctx)

	left, err := log.MeasureType(t.Context(), "messages", 0, 0)
	require.NoError(t, err)
	require.LessOrEqual(t, left.Bytes, uint64(maxBytes))
	require.Greater(t, left.Bytes, uint64(maxBytes-2*payloadBytes), "not one too many")
	stats, err := log.Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, left.Records+uint64(ordinaryOnes), stats.Records)
	others := eventlog.NewMatcher([]eventlog.Filter{{Types: []string{"account_update"}}})
	page, err := log.Read(t.Context(), eventlog.Query{Filter: others, Bytes: 1 << 30})
	require.NoError(t, err, "their readers notice nothing")
	require.Len(t, page.Entries, ordinaryOnes)
	_, err = log.Read(t.Context(), eventlog.Query{})
	require.ErrorIs(t, err, eventlog.ErrTrimmed)
}

// boundsWatch tells when a round begins.
type boundsWatch struct {
	retention.Log
	round   int
	reached func()
}

func (w *boundsWatch) Bounds(ctx context.Context) (eventlog.Bounds, error) {
	if w.round--; w.round == 0 {
		w.reached()
	}
	return w.Log.Bounds(ctx)
}

// trimWatch tells when a log was trimmed up to a sequence.
type trimWatch struct {
	retention.Log
	upTo    eventlog.Sequence
	reached func()
	n       int
}

func (w *trimWatch) Trim(ctx context.Context, upTo eventlog.Sequence) error {
	w.n++
	err := w.Log.Trim(ctx, upTo)
	if upTo >= w.upTo {
		w.reached()
	}
	return err
}

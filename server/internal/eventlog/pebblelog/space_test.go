package pebblelog_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/eventlogtest"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

const testMinFree = 1000

// roomFS tells as much free space as its script says.
type roomFS struct {
	vfs.FS
	free func() uint64
}

func (fs roomFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: fs.free(), TotalBytes: 100 * testMinFree}, nil
}

// room is a disk in memory, a clock that stands still, and what an operator sees.
type room struct {
	disk  vfs.FS
	free  atomic.Uint64
	clock atomic.Int64 // seconds
	out   bytes.Buffer // written under the lock of the handler
	opts  pebblelog.Options
}

func newRoom(free uint64) *room {
	r := &room{disk: vfs.NewMem()}
	r.free.Store(free)
	r.clock.Store(1_700_000_000)
	r.opts = pebblelog.Options{
		FS:           roomFS{r.disk, r.free.Load},
		Logger:       slog.New(slog.NewTextHandler(&r.out, nil)),
		Now:          func() time.Time { return time.Unix(r.clock.Load(), 0) },
		MinFreeBytes: testMinFree,
	}
	return r
}

func (r *room) open(t *testing.T) *pebblelog.Log {
	t.Helper()
	log, err := pebblelog.Open(t.Context(), "log", r.opts)
	require.NoError(t, err)
	return log
}

// become changes the free space and lets the log notice.
func (r *room) become(free uint64) {
	r.free.Store(free)
	r.clock.Add(1)
}

func appendNumbered(t *testing.T, log eventlog.Log, numbers ...int) ([]eventlog.Appended, error) {
	t.Helper()
	records := make([]eventlog.Record, len(numbers))
	for i, n := range numbers {
		records[i] = testRecord(n)
	}
	return log.Append(t.Context(), records)
}

func checkRefused(t *testing.T, log *pebblelog.Log, numbers ...int) {
	t.Helper()
	answers, err := appendNumbered(t, log, numbers...)
	require.ErrorIs(t, err, eventlog.ErrFull)
	require.ErrorContains(t, err, "at least 1000 must stay free")
	require.Nil(t, answers)
	require.NoError(t, log.Err())
}

func checkStored(t *testing.T, log eventlog.Log, numbers ...int) {
	t.Helper()
	entries := readAll(t, log, eventlog.Query{})
	require.Len(t, entries, len(numbers))
	for i, n := range numbers {
		require.Equal(t, testRecord(n).ID, entries[i].ID)
	}
}

func TestFullAtOpen(t *testing.T) {
	t.Parallel()
	r := newRoom(testMinFree - 1)
	log := r.open(t)
	require.Equal(t, 1, strings.Count(r.out.String(), "log is full"), "told before the first append")
	require.Contains(t, r.out.String(), "level=WARN")
	require.Contains(t, r.out.String(), "free_bytes=999 min_free_bytes=1000")
	checkRefused(t, log, 1)
	checkStored(t, log)
	r.become(testMinFree)
	_, err := appendNumbered(t, log, 2)
	require.NoError(t, err)
	require.NoError(t, log.Close())
	log = r.open(t)
	checkStored(t, log, 2)
	require.NoError(t, log.Close())
	require.Equal(t, 1, strings.Count(r.out.String(), "log is full"))
	require.Equal(t, 1, strings.Count(r.out.String(), "level=INFO msg=\"log has room again\""))
}

// TestFullAndBack: the log says once that it becomes full and once that it
// recovers, and nothing of what it refused is stored, also after a restart.
func TestFullAndBack(t *testing.T) {
	t.Parallel()
	r := newRoom(testMinFree)
	log := r.open(t)
	first, err := appendNumbered(t, log, 1, 2)
	require.NoError(t, err)
	for range 3 {
		r.become(0)
		checkRefused(t, log, 3)
	}
	checkRefused(t, log, 1, 4)
	r.clock.Add(-10)
	checkRefused(t, log, 5)
	checkReads(t, log, 2)

	again, err := appendNumbered(t, log, 2, 1)
	require.NoError(t, err, "duplicates need no room")
	require.Equal(t, eventlog.Appended{Position: first[1].Position, Duplicate: true}, again[0])
	require.Equal(t, eventlog.Appended{Position: first[0].Position, Duplicate: true}, again[1])
	empty, err := appendNumbered(t, log)
	require.NoError(t, err)
	require.Empty(t, empty)

	r.become(math.MaxUint64)
	later, err := appendNumbered(t, log, 4, 1)
	require.NoError(t, err)
	require.False(t, later[0].Duplicate, "it was refused before")
	require.Equal(t, eventlog.Sequence(3), later[0].Position.Sequence, "no sequence was used up")
	require.True(t, later[1].Duplicate)
	require.NoError(t, log.Close())
	require.Equal(t, 1, strings.Count(r.out.String(), "log is full"))
	require.Equal(t, 1, strings.Count(r.out.String(), "log has room again"))
	log = r.open(t)
	checkStored(t, log, 1, 2, 4)
	require.NoError(t, log.Close())
}

// checkReads wants every call but Append to work on a log with records up to head.
func checkReads(t *testing.T, log *pebblelog.Log, head eventlog.Sequence) {
	t.Helper()
	ctx := t.Context()
	require.Len(t, readAll(t, log, eventlog.Query{}), int(head))
	found, err := log.Lookup(ctx, testRecord(1).ID)
	require.NoError(t, err)
	require.NoError(t, log.Check(ctx, found.Position))
	at, err := log.Seek(ctx, time.Now().Add(time.Hour)) // goes through the committer
	require.NoError(t, err)
	require.Equal(t, head, at.Sequence)
	bounds, err := log.Bounds(ctx)
	require.NoError(t, err)
	require.Equal(t, head, bounds.Head.Sequence)
	_, err = log.Stats(ctx)
	require.NoError(t, err)
	require.NoError(t, log.Wait(ctx, head-1))
}

// TestTrimWhileFull: retention must be able to make room.
func TestTrimWhileFull(t *testing.T) {
	t.Parallel()
	r := newRoom(testMinFree)
	log := r.open(t)
	_, err := appendNumbered(t, log, 1, 2, 3)
	require.NoError(t, err)
	r.become(0)
	checkRefused(t, log, 4)
	require.NoError(t, log.Trim(t.Context(), 2))
	left := readAll(t, log, eventlog.Query{After: 2})
	require.Len(t, left, 1)
	require.Equal(t, testRecord(3).ID, left[0].ID)
	require.NoError(t, log.Close())
}

// TestFullWithinOneSecond: a burst does not outrun the look at the disk.
func TestFullWithinOneSecond(t *testing.T) {
	t.Parallel()
	r := newRoom(testMinFree)
	log := r.open(t)
	r.free.Store(0) // the clock stands still
	stored := 0
	for err := error(nil); err == nil; stored++ {
		require.Less(t, stored, 100, "the log never noticed")
		record := testRecord(stored)
		record.Raw = make([]byte, 1<<20)
		_, err = log.Append(t.Context(), []eventlog.Record{record})
		if err != nil {
			require.ErrorIs(t, err, eventlog.ErrFull)
		}
	}
	require.Equal(t, 64, stored-1, "MiB until the next look")
	require.NoError(t, log.Close())
}

// TestFullNowAndThen has many writers on a disk that is full at every third look,
// with a look at every group: what was refused is not stored, what was accepted
// is, and the refused can be appended later.
func TestFullNowAndThen(t *testing.T) {
	t.Parallel()
	r := newRoom(0)
	var looks, clock atomic.Int64
	var roomy atomic.Bool
	r.opts.Now = func() time.Time { return time.Unix(clock.Add(1), 0) }
	r.opts.FS = roomFS{r.disk, func() uint64 {
		if looks.Add(1)%3 == 0 && !roomy.Load() {
			return 0
		}
		return testMinFree
	}}
	log := r.open(t)
	const writers, each = 8, 100
	var accepted, refused sync.Map
	errs := make(chan error, writers)
	for w := range writers {
		go func() { errs <- writeOrKeep(log, w*each, (w+1)*each, &accepted, &refused) }()
	}
	for range writers {
		require.NoError(t, <-errs)
	}
	stored := readAll(t, log, eventlog.Query{})
	for _, e := range stored {
		at, ok := accepted.Load(e.ID)
		require.True(t, ok, "stored, but not accepted")
		require.Equal(t, at, e.Position)
	}
	require.Len(t, stored, count(&accepted))
	require.Equal(t, writers*each, count(&accepted)+count(&refused))
	require.NotZero(t, count(&accepted))
	require.NotZero(t, count(&refused))

	roomy.Store(true)
	refused.Range(func(_, n any) bool {
		answers, err := appendNumbered(t, log, n.(int))
		require.NoError(t, err)
		require.False(t, answers[0].Duplicate)
		return true
	})
	require.Len(t, readAll(t, log, eventlog.Query{}), writers*each)
	require.NoError(t, log.Close())
}

// writeOrKeep appends records one by one. It keeps the positions of those that
// were accepted, and the numbers of those that were refused.
func writeOrKeep(log eventlog.Log, from, to int, accepted, refused *sync.Map) error {
	for n := from; n < to; n++ {
		record := testRecord(n)
		answers, err := log.Append(context.Background(), []eventlog.Record{record})
		switch {
		case err == nil:
			accepted.Store(record.ID, answers[0].Position)
		case errors.Is(err, eventlog.ErrFull):
			refused.Store(record.ID, n)
		default:
			return err
		}
	}
	return nil
}

func count(m *sync.Map) int {
	n := 0
	m.Range(func(any, any) bool { n++; return true })
	return n
}

// TestRealDisk asks the operating system.
func TestRealDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log, err := pebblelog.Open(t.Context(), dir, pebblelog.Options{MinFreeBytes: math.MaxInt64})
	require.NoError(t, err)
	_, err = appendNumbered(t, log, 1)
	require.ErrorIs(t, err, eventlog.ErrFull)
	require.NoError(t, log.Close())
	log, err = pebblelog.Open(t.Context(), dir, pebblelog.Options{MinFreeBytes: 1})
	require.NoError(t, err)
	_, err = appendNumbered(t, log, 2)
	require.NoError(t, err)
	checkStored(t, log, 2)
	require.NoError(t, log.Close())
}

// TestConformanceWithLittleRoom runs on a disk that has just enough.
func TestConformanceWithLittleRoom(t *testing.T) {
	t.Parallel()
	eventlogtest.Run(t, func(*testing.T) eventlogtest.Store {
		return folder{dir: "log", opts: newRoom(testMinFree).opts}
	})
}

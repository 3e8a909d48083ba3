package pebblelog

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func openForTest(t *testing.T, now func() time.Time) *Log {
	t.Helper()
	l, err := Open(t.Context(), "log", Options{FS: vfs.NewMem(), Now: now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func numbered(from, to int) []eventlog.Record {
	var all []eventlog.Record
	for n := from; n < to; n++ {
		r := eventlog.Record{
			Header:  eventlog.Header{Source: "s", Type: "t", WABAID: "1", Severity: eventlog.SeverityInfo},
			Horizon: time.Hour,
		}
		copy(r.ID[:], fmt.Sprintf("%020d", n))
		all = append(all, r)
	}
	return all
}

// TestDuplicatesFromTheStore: without anything in memory the store knows.
func TestDuplicatesFromTheStore(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	l := openForTest(t, func() time.Time { return now })
	first, err := l.Append(t.Context(), numbered(0, 100))
	require.NoError(t, err)
	require.NoError(t, l.index.write())
	l.ids.forget()
	again, err := l.Append(t.Context(), numbered(0, 101))
	require.NoError(t, err)
	for i, a := range first {
		require.True(t, again[i].Duplicate)
		require.Equal(t, a.Position, again[i].Position)
	}
	require.False(t, again[100].Duplicate)
	found, err := l.Lookup(t.Context(), numbered(7, 8)[0].ID)
	require.NoError(t, err)
	require.Equal(t, first[7].Position, found.Position)
	now = now.Add(2 * time.Hour)
	l.ids.forget()
	later, err := l.Append(t.Context(), numbered(7, 8))
	require.NoError(t, err)
	require.False(t, later[0].Duplicate, "its horizon is over")
}

// TestExpiredIDsAreForgotten: an id goes when its record is trimmed and its
// horizon is over, not before.
func TestExpiredIDsAreForgotten(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	l := openForTest(t, func() time.Time { return now })
	_, err := l.Append(t.Context(), numbered(0, 10))
	require.NoError(t, err)
	require.NoError(t, l.Trim(t.Context(), 5))
	require.Equal(t, 10, storedIDs(t, l, 10))
	now = now.Add(2 * time.Hour)
	_, err = l.Append(t.Context(), numbered(10, 11))
	require.NoError(t, err)
	require.NoError(t, l.Trim(t.Context(), 7))
	require.Equal(t, 3, storedIDs(t, l, 10), "those of records that are still there")
}

func storedIDs(t *testing.T, l *Log, n int) int {
	t.Helper()
	count := 0
	for _, r := range numbered(0, n) {
		_, ok, err := l.storedID(r.ID)
		require.NoError(t, err)
		if ok {
			count++
		}
	}
	return count
}

// TestKnownIDs: the newest have entries, many more a mark. When an older half of
// the marks is dropped, what has none may be stored until all of it has expired.
func TestKnownIDs(t *testing.T) {
	t.Parallel()
	k := newKnownIDs(1, 8192)
	require.GreaterOrEqual(t, k.half, uint(2*2*8192))
	k = newKnownIDs(8, 1)
	require.EqualValues(t, 4, k.half)
	find := func(n byte, stamp int64) (ok, maybe bool) {
		_, ok, maybe = k.find(eventlog.ID{n}, stamp)
		return ok, maybe
	}
	for n := range byte(8) {
		k.add(eventlog.ID{n}, idEntry{seq: eventlog.Sequence(n), stamp: int64(n), horizon: 10})
	}
	_, maybe := find(100, 7)
	require.True(t, maybe, "the store is not loaded")
	k.marks.complete = true
	_, maybe = find(100, 7)
	require.False(t, maybe)
	for n := range byte(8) {
		ok, maybe := find(n, 7)
		require.True(t, ok && !maybe, "has an entry")
	}
	k.add(eventlog.ID{8}, idEntry{stamp: 8, horizon: 10})
	ok, maybe := find(0, 8)
	require.True(t, !ok && maybe, "was dropped, and expires at 10")
	_, maybe = find(100, 12)
	require.True(t, maybe, "ids dropped expire at 13")
	_, maybe = find(100, 13)
	require.False(t, maybe)
	ok, maybe = find(4, 13)
	require.True(t, ok && !maybe)
}

// TestIDsLoaded: a log opened again that is asked for many new ids comes to have marks
// of what it holds, from which on new records are not looked up.
func TestIDsLoaded(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem()
	open := func() *Log {
		l, err := Open(t.Context(), "log", Options{FS: disk, RecentIDs: 10_000})
		require.NoError(t, err)
		return l
	}
	l := open()
	_, err := l.Append(t.Context(), numbered(0, 1000))
	require.NoError(t, err)
	require.NoError(t, l.Close())
	l = open()
	_, err = l.Append(t.Context(), numbered(1000, 1000+lookupsToLoad))
	require.NoError(t, err)
	now := stampOf(time.Now())
	for maybe := true; maybe; runtime.Gosched() {
		_, _, maybe = l.ids.find(eventlog.ID{1}, now) // until the store is marked
	}
	looked := 0
	for _, r := range append(numbered(0, 1000), numbered(2000, 3000)...) {
		_, ok, maybe := l.ids.find(r.ID, now)
		require.False(t, ok)
		if maybe {
			looked++
		}
	}
	require.GreaterOrEqual(t, looked, 1000, "what is in the store")
	require.Less(t, looked, 1100, "and few of those that are new")
	again, err := l.Append(t.Context(), numbered(999, 1001))
	require.NoError(t, err)
	require.True(t, again[0].Duplicate)
	require.True(t, again[1].Duplicate)
	require.NoError(t, l.Close())
}

// TestIndexMark: reads use the index below the mark and scan above it, and miss
// nothing at the seam.
func TestIndexMark(t *testing.T) {
	t.Parallel()
	l := openForTest(t, nil)
	one := eventlog.NewMatcher([]eventlog.Filter{{WABAIDs: []string{"1"}}})
	for n := range 30 {
		_, err := l.Append(t.Context(), numbered(n, n+1))
		require.NoError(t, err)
		if n == 14 {
			require.NoError(t, l.index.write())
			require.GreaterOrEqual(t, l.index.mark, eventlog.Sequence(15))
		}
		for _, reverse := range []bool{false, true} {
			page, err := l.Read(t.Context(), eventlog.Query{Filter: one, Reverse: reverse})
			require.NoError(t, err)
			require.Len(t, page.Entries, n+1)
		}
	}
}

// TestGuard: an error is recorded before it is hidden, and nothing reaches the
// disk behind it.
func TestGuard(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem()
	f := newFailure(slog.New(slog.DiscardHandler))
	g := &guardFS{FS: disk, failure: f}
	require.NoError(t, g.Rename("missing", "x"))
	require.ErrorContains(t, f.err(), "rename file")
	f.record(errors.New("second"))
	require.NotContains(t, f.err().Error(), "second", "the first failure counts")

	f = newFailure(f.logger)
	g.failure = f
	file, err := g.Create("x", vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	_, err = file.Write([]byte("before"))
	require.NoError(t, err)
	require.NoError(t, f.err())
	f.record(errors.New("anything"))
	f.release()
	n, err := file.Write([]byte("after"))
	require.NoError(t, err)
	require.Equal(t, 5, n)
	require.NoError(t, file.Sync())
	require.NoError(t, file.Close())
	require.NoError(t, g.Remove("x"))
	require.NoError(t, g.RemoveAll("x"))
	require.NoError(t, g.Rename("x", "y"))
	require.NoError(t, g.Link("x", "z"))
	other, err := g.Create("w", vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	_, err = other.Write([]byte("into the hole"))
	require.NoError(t, err)
	require.NoError(t, other.Close())
	names, err := disk.List("")
	require.NoError(t, err)
	require.Equal(t, []string{"x"}, names)
	info, err := disk.Stat("x")
	require.NoError(t, err)
	require.Equal(t, int64(6), info.Size())
}

// TestPoisonedStoreIsLeftAlone: after a panic inside the store Close must not
// touch it, as its locks may be held.
func TestPoisonedStoreIsLeftAlone(t *testing.T) {
	t.Parallel()
	l := openForTest(t, nil)
	_, err := l.Append(t.Context(), numbered(0, 1))
	require.NoError(t, err)
	require.ErrorIs(t, l.apply(nil, nil), eventlog.ErrFailed) // panics inside
	require.True(t, l.failure.poisoned())
	_, err = l.Append(t.Context(), numbered(1, 2))
	require.ErrorIs(t, err, eventlog.ErrFailed)
	require.NoError(t, l.Close())
	require.NoError(t, l.db.Close(), "it was not closed")
}

func FuzzDecode(f *testing.F) {
	r := numbered(1, 2)[0]
	r.Payload, r.Raw, r.OccurTime = []byte("payload"), []byte("raw"), time.Unix(1, 2).UTC()
	s := stage(&r)
	s.seal(3, 4)
	f.Add(uint64(3), s.value)
	f.Add(uint64(0), []byte{})
	f.Fuzz(func(t *testing.T, seq uint64, value []byte) {
		got, err := decode(eventlog.Sequence(seq), value, names{})
		if err != nil {
			return
		}
		// What can be read must be written the same.
		again := stage(&eventlog.Record{
			Header: got.header, Payload: got.payload, Raw: got.raw,
			Horizon: time.Duration(got.horizon) * time.Microsecond,
		})
		again.seal(got.seq, got.stamp)
		require.Empty(t, cmp.Diff(value, again.value))
	})
}

// TestReadsOvertakenByTrim: a read that has chosen its range before a trim takes
// removed records neither for corrupt ones nor for none.
func TestReadsOvertakenByTrim(t *testing.T) {
	t.Parallel()
	l := openForTest(t, nil)
	_, err := l.Append(t.Context(), numbered(0, 20))
	require.NoError(t, err)
	require.NoError(t, l.index.write())
	before := span{upTo: 20}
	require.NoError(t, l.Trim(t.Context(), 10))
	list := []listRange{listOf(wabaKind, "1")}
	_, err = l.lookups(before, list)
	require.ErrorIs(t, err, eventlog.ErrTrimmed)
	forward, err := l.scanOf(before)
	require.NoError(t, err)
	defer forward.close()
	_, err = forward.next(nil)
	require.ErrorIs(t, err, eventlog.ErrTrimmed)
	require.ErrorIs(t, l.withRecord(5, nil), eventlog.ErrTrimmed)
	before.reverse = true
	for _, open := range []func() (source, error){
		func() (source, error) { return l.scanOf(before) },
		func() (source, error) { return l.lookups(before, list) },
	} {
		src, err := open()
		require.NoError(t, err)
		defer src.close()
		for want := eventlog.Sequence(20); want > 10; want-- {
			found, err := src.next(nil)
			require.NoError(t, err)
			require.Equal(t, want, found.seq)
		}
		_, err = src.next(nil)
		require.ErrorIs(t, err, errEnd, "a reverse read ends where the log begins")
	}
}

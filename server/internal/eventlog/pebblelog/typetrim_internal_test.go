package pebblelog

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// alternating makes records of types t and u in turn.
func alternating(from, to int) []eventlog.Record {
	all := numbered(from, to)
	for i := range all {
		if (from+i)%2 == 1 {
			all[i].Type = "u"
		}
	}
	return all
}

// storedGaps are the first and last sequences of all gaps.
func storedGaps(t *testing.T, l *Log) [][2]eventlog.Sequence {
	t.Helper()
	iter, err := l.records(0, math.MaxUint64)
	require.NoError(t, err)
	defer iter.Close()
	var all [][2]eventlog.Sequence
	for ok := iter.First(); ok; ok = iter.Next() {
		if !isGap(iter.Key()) {
			continue
		}
		gap, err := stretchAt(iter)
		require.NoError(t, err)
		all = append(all, [2]eventlog.Sequence{gap.first, gap.last.seq})
	}
	return all
}

// TestGapsMerge: neighbouring gaps are one, whichever side they meet on.
func TestGapsMerge(t *testing.T) {
	t.Parallel()
	l := openForTest(t, nil)
	_, err := l.Append(t.Context(), alternating(0, 20)) // t has the odd sequences
	require.NoError(t, err)
	require.NoError(t, l.TrimType(t.Context(), "t", 7))
	require.Equal(t, [][2]eventlog.Sequence{{1, 1}, {3, 3}, {5, 5}, {7, 7}}, storedGaps(t, l))
	require.NoError(t, l.TrimType(t.Context(), "u", 4))
	require.Equal(t, [][2]eventlog.Sequence{{1, 5}, {7, 7}}, storedGaps(t, l))
	require.NoError(t, l.TrimType(t.Context(), "u", 10))
	require.Equal(t, [][2]eventlog.Sequence{{1, 8}, {10, 10}}, storedGaps(t, l))
	require.NoError(t, l.TrimType(t.Context(), "t", 9))
	require.Equal(t, [][2]eventlog.Sequence{{1, 10}}, storedGaps(t, l))
	require.NoError(t, l.Trim(t.Context(), 4))
	require.Equal(t, uint64(10), l.view.Load().records())
	require.NoError(t, l.Trim(t.Context(), 15))
	require.Empty(t, storedGaps(t, l))
	left, err := l.readTypeTrims()
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestGapsMergeAcrossBatches: a flood leaves one gap, and no index keys.
func TestGapsMergeAcrossBatches(t *testing.T) {
	t.Parallel()
	const n = 3*trimBatch + 10
	l := openForTest(t, nil)
	for from := 0; from < n; from += 1000 {
		_, err := l.Append(t.Context(), numbered(from, min(from+1000, n)))
		require.NoError(t, err)
	}
	require.NoError(t, l.TrimType(t.Context(), "t", n))
	require.Equal(t, [][2]eventlog.Sequence{{1, n - 1}}, storedGaps(t, l))
	for _, prefix := range [][]byte{{wabaKind}, {typeKind}, {phoneKind}} {
		require.LessOrEqual(t, countKeys(t, l, prefix), 1, "%s", prefix)
	}
	require.Equal(t, 2, countKeys(t, l, []byte{recordKind}))
}

func countKeys(t *testing.T, l *Log, prefix []byte) int {
	t.Helper()
	iter, err := l.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: []byte{prefix[0] + 1}})
	require.NoError(t, err)
	defer iter.Close()
	n := 0
	for ok := iter.First(); ok; ok = iter.Next() {
		n++
	}
	require.NoError(t, iter.Error())
	return n
}

// TestIDsOfRemovedRecordsAreForgotten: at once if their horizon is over, otherwise
// when it is; not those that a newer record has.
func TestIDsOfRemovedRecordsAreForgotten(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	l := openForTest(t, func() time.Time { return now })
	_, err := l.Append(t.Context(), alternating(0, 10))
	require.NoError(t, err)
	require.NoError(t, l.TrimType(t.Context(), "t", 5)) // 0, 2 and 4
	require.Equal(t, 10, storedIDs(t, l, 10))
	e, ok, err := l.storedID(numbered(2, 3)[0].ID)
	require.NoError(t, err)
	require.True(t, ok && e.removed)
	l.ids.forget()
	again, err := l.Append(t.Context(), alternating(2, 3))
	require.NoError(t, err)
	require.True(t, again[0].Duplicate)

	now = now.Add(2 * time.Hour)
	_, err = l.Append(t.Context(), append(alternating(2, 3), numbered(20, 21)...))
	require.NoError(t, err)
	require.NoError(t, l.index.write())
	require.NoError(t, l.TrimType(t.Context(), "t", 9)) // 6 and 8, and the sweep of 0 and 4
	require.Equal(t, 7, storedIDs(t, l, 21), "1, 3, 5, 7, 9, 20 and the newer 2")
	e, ok, err = l.storedID(numbered(2, 3)[0].ID)
	require.NoError(t, err)
	require.True(t, ok && !e.removed && e.seq == 11)
}

// TestReadsOvertakenByTypeTrim: a strict read that has begun before a trim of a type
// it selects does not take what is gone for what never was.
func TestReadsOvertakenByTypeTrim(t *testing.T) {
	t.Parallel()
	l := openForTest(t, nil)
	_, err := l.Append(t.Context(), alternating(0, 20))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		query eventlog.Query
		want  error
	}{
		"strict":      {eventlog.Query{}, eventlog.ErrTrimmed},
		"its type":    {eventlog.Query{Filter: pathMatcher("t")}, eventlog.ErrTrimmed},
		"other type":  {eventlog.Query{Filter: pathMatcher("u")}, nil},
		"held":        {eventlog.Query{Held: true}, nil},
		"behind it":   {eventlog.Query{After: 9}, nil},
		"right in it": {eventlog.Query{After: 8}, eventlog.ErrTrimmed},
	} {
		before := &reader{log: l, query: c.query, view: l.view.Load(), names: names{}}
		before.query.Limit, before.query.Bytes = defaultLimit, defaultBytes
		require.NoError(t, l.TrimType(t.Context(), "t", 10))
		before.view = &view{head: before.view.head} // as it was before the trim
		_, err := before.forward(t.Context())
		require.ErrorIs(t, err, c.want, name)
	}
}

// TestMeasureWithoutSizes: format 1 has written no sizes into the index.
func TestMeasureWithoutSizes(t *testing.T) {
	t.Parallel()
	l := openForTest(t, nil)
	_, err := l.Append(t.Context(), alternating(0, 50))
	require.NoError(t, err)
	require.NoError(t, l.index.write())
	want, err := l.MeasureType(t.Context(), "t", 3, 0)
	require.NoError(t, err)
	require.Equal(t, uint64(23), want.Records)
	for n := range eventlog.Sequence(50) {
		if key := indexKey(typeKind, "t", n+1); n%2 == 0 && n%3 > 0 {
			require.NoError(t, l.db.Set(key, nil, pebble.NoSync))
		}
	}
	got, err := l.MeasureType(t.Context(), "t", 3, 0)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// TestUpgrade: a store of format 1 is one of the present format from the moment it
// is opened.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	l, err := Open(t.Context(), "log", Options{FS: fs})
	require.NoError(t, err)
	require.NoError(t, l.db.Set(formatMetaKey(), []byte{1}, pebble.Sync))
	require.NoError(t, l.Close())
	l, err = Open(t.Context(), "log", Options{FS: fs})
	require.NoError(t, err)
	format, err := l.readMeta(formatMetaKey())
	require.NoError(t, err)
	require.Equal(t, []byte{formatVersion}, format)
	require.NoError(t, l.Close())
}

func FuzzDecodeGap(f *testing.F) {
	gap := stretch{first: 3, last: point{seq: 9, fingerprint: 7, stamp: 8}, removed: true}
	f.Add(uint64(9), encodeGap(gap))
	f.Add(uint64(0), []byte{})
	f.Fuzz(func(t *testing.T, last uint64, value []byte) {
		got, err := decodeGap(eventlog.Sequence(last), value)
		if err != nil {
			return
		}
		require.True(t, got.removed && got.first > 0 && got.first <= got.last.seq)
		require.Empty(t, cmp.Diff(value, encodeGap(got)), "what can be read must be written the same")
	})
}

// TestReclaim: what type trims remove comes back to the disk by itself, and is
// counted until then.
func TestReclaim(t *testing.T) {
	t.Parallel()
	const each, n, size = 500, 10_000, 2000
	l, err := Open(t.Context(), t.TempDir(), Options{MemTableBytes: 1 << 20})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	for from := 0; from < n; from += each {
		batch := alternating(from, from+each)
		for i := range batch {
			batch[i].Payload = incompressible(from+i, size)
		}
		_, err := l.Append(t.Context(), batch)
		require.NoError(t, err)
	}
	require.NoError(t, l.db.Flush())
	before := recordBytes(t, l)
	require.Greater(t, before, uint64(n*size*9/10))
	require.NoError(t, l.TrimType(t.Context(), "t", n-1))
	stats, err := l.Stats(t.Context())
	require.NoError(t, err)
	if bytes := recordBytes(t, l); bytes > before*3/4 {
		require.Greater(t, stats.Reclaimable, uint64(n*size/4))
	}
	require.Eventually(t, func() bool { return l.reclaimer.pending(0) == 0 }, time.Minute, time.Millisecond)
	require.Less(t, recordBytes(t, l), before*6/10)
}

func recordBytes(t *testing.T, l *Log) uint64 {
	t.Helper()
	bytes, err := l.db.EstimateDiskUsage(recordKey(0), recordKey(math.MaxInt64))
	require.NoError(t, err)
	return bytes
}

func incompressible(seed, size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b) // never errs
	return b
}

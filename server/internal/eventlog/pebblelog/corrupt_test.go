package pebblelog_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// rawStore opens the store behind the log's back.
func rawStore(t *testing.T, fs vfs.FS) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("log", &pebble.Options{
		FS: fs, FormatMajorVersion: pebble.FormatTableFormatV6, Logger: testLogger{t},
	})
	require.NoError(t, err)
	return db
}

// testLogger fails the test on what would end a process.
type testLogger struct{ t *testing.T }

func (testLogger) Infof(string, ...any)                {}
func (testLogger) Errorf(string, ...any)               {}
func (l testLogger) Fatalf(format string, args ...any) { l.t.Errorf(format, args...) }

func rawKey(seq uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'r'}, seq) }

// logOf makes a store with n records and closes it.
func logOf(t *testing.T, fs vfs.FS, n int) []eventlog.Position {
	t.Helper()
	log, err := pebblelog.Open(t.Context(), "log", pebblelog.Options{FS: fs})
	require.NoError(t, err)
	var at []eventlog.Position
	for from := 0; from < n; from += 100 {
		records := make([]eventlog.Record, min(100, n-from))
		for i := range records {
			records[i] = testRecord(from + i)
		}
		answers, err := log.Append(t.Context(), records)
		require.NoError(t, err)
		for _, a := range answers {
			at = append(at, a.Position)
		}
	}
	require.NoError(t, log.Close())
	return at
}

func reopen(t *testing.T, fs vfs.FS) *pebblelog.Log {
	t.Helper()
	log, err := pebblelog.Open(t.Context(), "log", pebblelog.Options{FS: fs})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	return log
}

// readAround reads a query to its end and passes over what is corrupt.
func readAround(t *testing.T, log *pebblelog.Log, q eventlog.Query) (good []eventlog.Sequence, bad [][2]eventlog.Sequence) {
	t.Helper()
	for {
		page, err := log.Read(t.Context(), q)
		var corrupt *eventlog.CorruptError
		switch {
		case errors.As(err, &corrupt):
			require.LessOrEqual(t, corrupt.First, corrupt.Last)
			require.ErrorContains(t, err, "corrupt")
			bad = append(bad, [2]eventlog.Sequence{corrupt.First, corrupt.Last})
			q.After = corrupt.Last
			if q.Reverse {
				q.After = corrupt.First
			}
			continue
		case err != nil:
			require.NoError(t, err)
		}
		for _, e := range page.Entries {
			good = append(good, e.Position.Sequence)
		}
		if !page.More {
			return good, bad
		}
		q.After = page.Scanned.Sequence
	}
}

func everyOther(n int, without ...eventlog.Sequence) []eventlog.Sequence {
	var all []eventlog.Sequence
	for s := eventlog.Sequence(1); s <= eventlog.Sequence(n); s++ {
		keep := true
		for _, w := range without {
			keep = keep && s != w
		}
		if keep {
			all = append(all, s)
		}
	}
	return all
}

// TestCorruptRecords damages some records: each way of reading reports those and
// nothing else, and the rest stays readable.
func TestCorruptRecords(t *testing.T) {
	t.Parallel()
	spoil := map[string]func(value []byte) []byte{
		"payload":   func(v []byte) []byte { v[len(v)-20] ^= 1; return v },
		"header":    func(v []byte) []byte { v[20] ^= 0x80; return v },
		"stamp":     func(v []byte) []byte { v[6] ^= 1; return v },
		"version":   func(v []byte) []byte { v[0] = 9; return v },
		"cut off":   func(v []byte) []byte { return v[:len(v)/2] },
		"empty":     func([]byte) []byte { return nil },
		"elsewhere": nil, // an intact value at another record's place
		"missing":   nil,
	}
	for name, change := range spoil {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			at := logOf(t, fs, 50)
			db := rawStore(t, fs)
			for _, seq := range []uint64{10, 30, 31} {
				value, closer, err := db.Get(rawKey(seq))
				require.NoError(t, err)
				value = append([]byte(nil), value...)
				require.NoError(t, closer.Close())
				switch name {
				case "missing":
					require.NoError(t, db.Delete(rawKey(seq), pebble.Sync))
				case "elsewhere":
					other, closer, err := db.Get(rawKey(seq - 5))
					require.NoError(t, err)
					require.NoError(t, db.Set(rawKey(seq), other, pebble.Sync))
					require.NoError(t, closer.Close())
				default:
					require.NoError(t, db.Set(rawKey(seq), change(value), pebble.Sync))
				}
			}
			require.NoError(t, db.Close())
			checkAround(t, reopen(t, fs), at)
		})
	}
}

func checkAround(t *testing.T, log *pebblelog.Log, at []eventlog.Position) {
	t.Helper()
	every := eventlog.NewMatcher([]eventlog.Filter{{Types: []string{"a"}}})
	for _, q := range []eventlog.Query{{}, {Reverse: true}, {Filter: every}, {Filter: every, Reverse: true}, {Limit: 1}} {
		good, bad := readAround(t, log, q)
		require.ElementsMatch(t, everyOther(50, 10, 30, 31), good)
		covered := 0
		for _, r := range bad {
			covered += int(r[1] - r[0] + 1)
		}
		require.Equal(t, 3, covered, "%v", bad)
	}
	_, err := log.Lookup(t.Context(), testRecord(9).ID)
	require.ErrorAs(t, err, new(*eventlog.CorruptError))
	require.NoError(t, log.Check(t.Context(), at[9]), "what cannot be compared passes")
	require.NoError(t, log.Check(t.Context(), at[8]))
	first, err := log.Read(t.Context(), eventlog.Query{Limit: 1})
	require.NoError(t, err)
	_, err = log.Seek(t.Context(), first.Entries[0].AppendTime.AddDate(0, 0, 1))
	require.NoError(t, err)
	require.NoError(t, log.Trim(t.Context(), 10), "a corrupt record can be trimmed")
	good, bad := readAround(t, log, eventlog.Query{After: 10})
	require.Len(t, good, 38)
	require.NotEmpty(t, bad)
	require.NoError(t, log.Trim(t.Context(), 40))
	good, bad = readAround(t, log, eventlog.Query{After: 40})
	require.Len(t, good, 10)
	require.Empty(t, bad)
}

// TestCorruptHead: the newest record cannot be read; the log goes on behind it.
func TestCorruptHead(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	logOf(t, fs, 20)
	db := rawStore(t, fs)
	require.NoError(t, db.Set(rawKey(20), []byte("junk"), pebble.Sync))
	require.NoError(t, db.Close())
	log := reopen(t, fs)
	answers, err := log.Append(t.Context(), []eventlog.Record{testRecord(100)})
	require.NoError(t, err)
	require.Equal(t, eventlog.Sequence(21), answers[0].Position.Sequence)
	good, bad := readAround(t, log, eventlog.Query{})
	require.Equal(t, everyOther(21, 20), good)
	require.Equal(t, [][2]eventlog.Sequence{{20, 20}}, bad)
	bounds, err := log.Bounds(t.Context())
	require.NoError(t, err)
	require.False(t, bounds.HeadTime.Before(bounds.OldestTime))
}

// TestCorruptBlock damages files below the store at many places: whatever is hit,
// every record is either read whole or reported, and most of them are read.
func TestCorruptBlock(t *testing.T) {
	t.Parallel()
	const n = 3000
	for _, tenth := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9} {
		fs := vfs.NewMem()
		logOf(t, fs, n)
		db := rawStore(t, fs)
		require.NoError(t, db.Compact(t.Context(), []byte{0}, []byte{255}, false))
		require.NoError(t, db.Close())
		damage(t, fs, tenth)
		log := reopen(t, fs)
		for _, q := range []eventlog.Query{
			{}, {Reverse: true},
			{Filter: eventlog.NewMatcher([]eventlog.Filter{{Types: []string{"a"}}})},
		} {
			good, bad := readAround(t, log, q)
			lost := 0
			for _, r := range bad {
				lost += int(r[1] - r[0] + 1)
			}
			require.Equal(t, n, len(good)+lost, "every record is read or reported")
			require.Less(t, lost, n/2)
		}
		select {
		case <-log.Failed():
			require.NoError(t, log.Err(), "corruption of old records does not stop the log")
		default:
		}
		_, err := log.Append(t.Context(), []eventlog.Record{testRecord(n)})
		require.NoError(t, err)
	}
}

// damage flips bytes of the largest table.
func damage(t *testing.T, fs vfs.FS, tenth int) {
	t.Helper()
	names, err := fs.List("log")
	require.NoError(t, err)
	largest, size := "", int64(0)
	for _, name := range names {
		info, err := fs.Stat("log/" + name)
		require.NoError(t, err)
		if strings.HasSuffix(name, ".sst") && info.Size() > size {
			largest, size = "log/"+name, info.Size()
		}
	}
	f, err := fs.OpenReadWrite(largest, vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("xxxxxxxxxxxxxxxx"), size*int64(tenth)/10)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

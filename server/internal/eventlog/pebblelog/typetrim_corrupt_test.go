package pebblelog_test

import (
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

func rawGapKey(last uint64) []byte { return append(rawKey(last), 0) }

// thinnedLog makes a store with n records of which those of types a.b0 and a.b1 are
// removed up to a sequence, so that a.b2 is every third: 3, 6, 9 and so on.
func thinnedLog(t *testing.T, fs vfs.FS, n int, upTo eventlog.Sequence) []eventlog.Position {
	t.Helper()
	at := logOf(t, fs, n)
	log := reopen(t, fs)
	for _, path := range []string{"a.b0", "a.b1"} {
		require.NoError(t, log.TrimType(t.Context(), path, upTo))
	}
	require.NoError(t, log.Close())
	return at
}

// spoil changes a stored value; no change deletes it.
func spoil(t *testing.T, fs vfs.FS, key []byte, change func([]byte) []byte) {
	t.Helper()
	db := rawStore(t, fs)
	value, closer, err := db.Get(key)
	require.NoError(t, err)
	value = append([]byte(nil), value...)
	require.NoError(t, closer.Close())
	if change == nil {
		require.NoError(t, db.Delete(key, pebble.Sync))
	} else {
		require.NoError(t, db.Set(key, change(value), pebble.Sync))
	}
	require.NoError(t, db.Close())
}

// TestCorruptGap: what a damaged gap covered is reported, and nothing else.
func TestCorruptGap(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func([]byte) []byte{
		"first sequence": func(v []byte) []byte { v[len(v)-8] ^= 1; return v },
		"fingerprint":    func(v []byte) []byte { v[14] ^= 1; return v },
		"version":        func(v []byte) []byte { v[0] = 9; return v },
		"cut off":        func(v []byte) []byte { return v[:20] },
		"empty":          func([]byte) []byte { return nil },
		"missing":        nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			at := thinnedLog(t, fs, 60, 60)
			spoil(t, fs, rawGapKey(29), change) // covers 28 and 29
			log := reopen(t, fs)
			every := eventlog.NewMatcher([]eventlog.Filter{{Types: []string{"a"}}, {MinSeverity: eventlog.SeverityInfo}})
			for _, q := range []eventlog.Query{
				{Held: true}, {Reverse: true}, {Held: true, Filter: every}, {Held: true, Limit: 1}, {Held: true, Until: 28},
			} {
				good, bad := readAround(t, log, q)
				if q.Until == 0 {
					require.Len(t, good, 20, "%+v", q)
					require.Equal(t, 2, covered(bad), "%v", bad)
					continue
				}
				require.Len(t, good, 9)
				require.Equal(t, [][2]eventlog.Sequence{{28, 28}}, bad)
			}
			for _, p := range at {
				require.NoError(t, log.Check(t.Context(), p))
			}
			require.NoError(t, log.TrimType(t.Context(), "a.b2", 31), "it goes around it")
			good, bad := readAround(t, log, eventlog.Query{Held: true})
			require.Len(t, good, 10)
			require.Equal(t, 2, covered(bad), "%v", bad)
			require.NoError(t, log.Trim(t.Context(), 28), "it is trimmed with everything else")
			_, bad = readAround(t, log, eventlog.Query{After: 28, Held: true})
			require.Equal(t, 1, covered(bad), "%v", bad)
			require.NoError(t, log.Trim(t.Context(), 29))
			good, bad = readAround(t, log, eventlog.Query{After: 29, Held: true})
			require.Len(t, good, 10)
			require.Empty(t, bad)
		})
	}
}

func covered(ranges [][2]eventlog.Sequence) int {
	n := 0
	for _, r := range ranges {
		n += int(r[1] - r[0] + 1)
	}
	return n
}

// TestTrimTypePassesOverCorrupt: a record that cannot be read stays to be reported,
// and holds up nothing.
func TestTrimTypePassesOverCorrupt(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func([]byte) []byte{
		"payload": func(v []byte) []byte { v[len(v)-20] ^= 1; return v },
		"empty":   func([]byte) []byte { return nil },
		"missing": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			logOf(t, fs, 60)
			for _, seq := range []uint64{1, 10, 30, 31, 32, 58} { // 1, 10, 31, 58 are of a.b0
				spoil(t, fs, rawKey(seq), change)
			}
			log := reopen(t, fs)
			for range 2 {
				require.NoError(t, log.TrimType(t.Context(), "a.b0", 60))
				bounds, err := log.Bounds(t.Context())
				require.NoError(t, err)
				require.Equal(t, eventlog.Sequence(55), bounds.TypeTrims[0].UpTo.Sequence, "58 was not removed")
				for _, q := range []eventlog.Query{{Held: true}, {Reverse: true}} {
					good, bad := readAround(t, log, q)
					require.Len(t, good, 38)
					require.Equal(t, 6, covered(bad), "%v", bad)
				}
				require.NoError(t, log.Close())
				log = reopen(t, fs)
			}
			sum, err := log.MeasureType(t.Context(), "a", 0, 0)
			require.NoError(t, err)
			require.GreaterOrEqual(t, sum.Records, uint64(38))
			require.LessOrEqual(t, sum.Records, uint64(44))
		})
	}
}

// TestCorruptBlockOfThinnedLog damages files below a store that types were removed
// from: every record held is either read whole or reported, and trims go on.
func TestCorruptBlockOfThinnedLog(t *testing.T) {
	t.Parallel()
	const n = 3000
	for _, tenth := range []int{2, 5, 8} {
		fs := vfs.NewMem()
		thinnedLog(t, fs, n, 2000)
		db := rawStore(t, fs)
		require.NoError(t, db.Compact(t.Context(), []byte{0}, []byte{255}, false))
		require.NoError(t, db.Close())
		damage(t, fs, tenth)
		log := reopen(t, fs)
		for _, q := range []eventlog.Query{
			{Held: true}, {Reverse: true},
			{Held: true, Filter: eventlog.NewMatcher([]eventlog.Filter{{Types: []string{"a"}}})},
		} {
			good, bad := readAround(t, log, q)
			checkReadOrReported(t, n, good, bad)
		}
		checkGoesOn(t, log, n)
	}
}

func checkReadOrReported(t *testing.T, n int, good []eventlog.Sequence, bad [][2]eventlog.Sequence) {
	t.Helper()
	met := make([]bool, n+1)
	for _, s := range good {
		met[s] = true
	}
	require.Greater(t, len(good), 800, "most are read")
	for _, r := range bad {
		for s := r[0]; s <= r[1]; s++ {
			met[s] = true
		}
	}
	for s := 1; s <= n; s++ {
		if removed := s <= 2000 && s%3 != 0; !met[s] && !removed {
			require.Fail(t, "a record is neither read nor reported", "record %d", s)
		}
	}
}

func checkGoesOn(t *testing.T, log *pebblelog.Log, n int) {
	t.Helper()
	require.NoError(t, log.TrimType(t.Context(), "a", 2500))
	_, err := log.MeasureType(t.Context(), "a", 0, 0)
	require.NoError(t, err)
	require.NoError(t, log.Trim(t.Context(), 2600))
	select {
	case <-log.Failed():
		require.NoError(t, log.Err(), "corruption of old records does not stop the log")
	default:
	}
	_, err = log.Append(t.Context(), []eventlog.Record{testRecord(n)})
	require.NoError(t, err)
}

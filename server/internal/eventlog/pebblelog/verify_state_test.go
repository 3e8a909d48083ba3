package pebblelog

import (
	"errors"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/eventlogtest"
)

// stateful makes a store with the state of a projection, of 300 records of which 100
// are trimmed.
func stateful(t *testing.T) vfs.FS {
	t.Helper()
	disk := vfs.NewMem()
	l, err := Open(t.Context(), "log", Options{FS: disk})
	require.NoError(t, err)
	s, err := l.Project(t.Context(), eventlogtest.Chain())
	require.NoError(t, err)
	records := make([]eventlog.Record, 300)
	for n := range records {
		records[n] = verifyRecord(n + 1)
	}
	_, err = l.Append(t.Context(), records)
	require.NoError(t, err)
	require.NoError(t, s.Wait(t.Context(), 299))
	require.NoError(t, l.Trim(t.Context(), 100))
	require.NoError(t, l.Close())
	return disk
}

func TestVerifyFindsDamageOfStates(t *testing.T) {
	t.Parallel()
	marks := func(at, base eventlog.Sequence) func(*pebble.DB) error {
		return func(db *pebble.DB) error {
			m := mark{version: 1, generation: 1, at: place{seq: at}}
			return errors.Join(
				db.Set(stateKey("chain", stateMark), m.encode(), pebble.Sync),
				db.Set(stateKey("chain", baseMark), place{seq: base}.append(nil), pebble.Sync))
		}
	}
	problem := func(detail string) []Problem { return []Problem{{Kind: ProblemState, Detail: detail}} }
	for name, c := range map[string]struct {
		damage func(*pebble.DB) error
		want   []Problem
	}{
		"nothing":   {func(*pebble.DB) error { return nil }, nil},
		"left over": {func(db *pebble.DB) error { return db.Set(noteKey("chain", 2, 1000), nil, pebble.Sync) }, nil},
		"no mark": {
			func(db *pebble.DB) error { return db.Delete(stateKey("chain", stateMark), pebble.Sync) },
			problem("projection chain: it does not say where it is"),
		},
		"a malformed mark": {
			func(db *pebble.DB) error { return db.Set(stateKey("chain", stateMark), []byte("?"), pebble.Sync) },
			problem("the state of projection chain cannot be read: record is malformed"),
		},
		"a base before the log": {marks(300, 99), problem("projection chain: it is of 300 and its base of 99, and the log holds 101 to 300")},
		"behind its base":       {marks(110, 120), append(problem("projection chain: it is of 110 and its base of 120, and the log holds 101 to 300"), problem("projection chain: it has 48 notes of events behind where it is")...)},
		"beyond the log":        {marks(301, 100), problem("projection chain: it is of 301 and its base of 100, and the log holds 101 to 300")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := stateful(t)
			damaged(t, disk, c.damage)
			got, _ := problemsOf(t, disk)
			require.Equal(t, c.want, got)
		})
	}
}

// TestRebuildTellsDifferences: what somebody has changed in a state is put right, and
// counted.
func TestRebuildTellsDifferences(t *testing.T) {
	t.Parallel()
	disk := stateful(t)
	prefix := valuesPrefix("chain", 1)
	damaged(t, disk, func(db *pebble.DB) error {
		return errors.Join(
			db.Set(append(slices.Clip(prefix), "1"...), []byte("another"), pebble.Sync),
			db.Set(append(slices.Clip(prefix), "zzz"...), []byte("one more"), pebble.Sync),
			db.Delete(noteKey("chain", 1, 200), pebble.Sync))
	})
	l, err := Open(t.Context(), "log", Options{FS: disk})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	s, err := l.Project(t.Context(), eventlogtest.Chain())
	require.NoError(t, err)
	for _, want := range []uint64{3, 0} {
		got, err := s.Rebuild(t.Context(), func(uint64, uint64) {})
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	names, err := l.storedStates()
	require.NoError(t, err)
	require.Equal(t, []string{"chain"}, names)
}

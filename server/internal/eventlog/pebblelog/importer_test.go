package pebblelog_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// elsewhere are entries as another log has held them: it began at 50, and lacks
// every tenth.
func elsewhere(n int) []eventlog.Entry {
	var all []eventlog.Entry
	for i := range n {
		seq := 50 + i
		if i > 0 && seq%10 == 0 {
			continue
		}
		e := eventlog.Entry{Record: testRecord(seq), AppendTime: time.UnixMicro(int64(1_700_000_000_000_000 + i/3)).UTC()}
		e.Raw = fmt.Appendf([]byte{}, "raw %d", seq)
		e.Position.Sequence = eventlog.Sequence(seq)
		e.Position.Fingerprint = eventlog.FingerprintOf(e.ID, e.AppendTime)
		all = append(all, e)
	}
	return all
}

// importAll adds entries and returns the first error.
func importAll(t *testing.T, fs vfs.FS, entries []eventlog.Entry) error {
	t.Helper()
	i, err := pebblelog.OpenImporter(t.Context(), "log", small(fs))
	require.NoError(t, err)
	for n := range entries {
		if err := i.Add(&entries[n]); err != nil {
			return errors.Join(err, i.Close())
		}
	}
	return errors.Join(i.Flush(), i.Close())
}

// requireImported wants the store to hold the entries and nothing else, without a
// fault, and to be a log like any other.
func requireImported(t *testing.T, fs vfs.FS, entries []eventlog.Entry) {
	t.Helper()
	requireSound(t, fs)
	log, err := pebblelog.Open(t.Context(), "log", small(fs))
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close()) }()
	bounds, err := log.Bounds(t.Context())
	require.NoError(t, err)
	stats, err := log.Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(len(entries)), stats.Records)
	want := append([]eventlog.Entry{}, entries...)
	for i := range want {
		want[i].Position.Log = bounds.Head.Log
	}
	require.Equal(t, want, readAll(t, log, eventlog.Query{After: bounds.Start.Sequence, Raw: true}))
	require.Equal(t, want[0].Position.Sequence-1, bounds.Start.Sequence)
	require.Equal(t, want[0].AppendTime, bounds.OldestTime)
	require.Equal(t, want[len(want)-1].Position, bounds.Head)

	found, err := log.Lookup(t.Context(), want[3].ID)
	require.NoError(t, err)
	require.Equal(t, want[3], found)
	again, err := log.Append(t.Context(), []eventlog.Record{want[5].Record, testRecord(1)})
	require.NoError(t, err)
	require.Equal(t, !time.Now().After(want[5].AppendTime.Add(want[5].Horizon)), again[0].Duplicate)
	require.False(t, again[1].Duplicate)
	require.Greater(t, again[1].Position.Sequence, bounds.Head.Sequence)
}

func requireSound(t *testing.T, fs vfs.FS) {
	t.Helper()
	r, err := pebblelog.OpenReader(t.Context(), "log", small(fs))
	require.NoError(t, err)
	_, err = r.Verify(t.Context(), func(p pebblelog.Problem) { t.Errorf("%+v", p) }, func(uint64, uint64) {})
	require.NoError(t, err)
	require.NoError(t, r.Close())
}

func TestImport(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	entries := elsewhere(12_000)
	require.NoError(t, importAll(t, fs, entries[:5000]))
	require.NoError(t, importAll(t, fs, entries[:4000]), "what is there is passed over")
	require.NoError(t, importAll(t, fs, entries))
	requireImported(t, fs, entries)
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	entries := elsewhere(100)
	changed := func(edit func(*eventlog.Entry)) []eventlog.Entry {
		all := elsewhere(100)
		edit(&all[20])
		return all
	}
	for name, c := range map[string]struct {
		entries []eventlog.Entry
		want    string
	}{
		"no sequence":       {changed(func(e *eventlog.Entry) { e.Position.Sequence = 0 }), "no sequence"},
		"no log's sequence": {changed(func(e *eventlog.Entry) { e.Position.Sequence = math.MaxUint64 }), "greater than"},
		"disorder":          {changed(func(e *eventlog.Entry) { e.Position.Sequence = 60 }), "comes after record 71"},
		"time goes back":    {changed(func(e *eventlog.Entry) { e.AppendTime = time.Unix(0, 0) }), "stamped before record 71"},
		"a finer time":      {changed(func(e *eventlog.Entry) { e.AppendTime = e.AppendTime.Add(1) }), "microsecond"},
		"no type":           {changed(func(e *eventlog.Entry) { e.Type = "" }), "type must be set"},
		"another one there": {changed(func(e *eventlog.Entry) { e.ID[0]++ }), "holds another record"},
		"one left out":      {entries[60:], "begins with record 50"},
		"the head left out": {append(append([]eventlog.Entry{}, entries[:10]...), entries[70:]...), "holds record 65, which was left out"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			held := 15
			if name == "another one there" {
				held = 30
			}
			require.NoError(t, importAll(t, fs, entries[:held]))
			require.ErrorContains(t, importAll(t, fs, c.entries), c.want)
			require.NoError(t, importAll(t, fs, entries))
			requireImported(t, fs, entries)
		})
	}
}

// TestImportFarApart: what is left out costs nothing, however much it is.
func TestImportFarApart(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	entries := elsewhere(20)
	for i := range entries[10:] {
		entries[10+i].Position.Sequence += 1 << 61
	}
	require.NoError(t, importAll(t, fs, entries))
	requireImported(t, fs, entries)
}

// TestImportIntoALog: a log that a server has written is left as it is.
func TestImportIntoALog(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	logOf(t, fs, 100)
	require.ErrorContains(t, importAll(t, fs, elsewhere(100)), "begins with record 1")
	require.Len(t, readAll(t, reopen(t, fs), eventlog.Query{}), 100)
}

// TestImportCrash: from whatever a power cut leaves of an import the same import
// goes on, and the outcome is the same.
func TestImportCrash(t *testing.T) {
	t.Parallel()
	entries := elsewhere(9000)
	disk := newCrashDisk()
	i, err := pebblelog.OpenImporter(t.Context(), "log", small(disk))
	require.NoError(t, err)
	partial := 0
	for n := range entries {
		require.NoError(t, i.Add(&entries[n]))
		if n%1000 != 0 {
			continue
		}
		crashed := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(uint64(n), 3))})
		if held(t, crashed) > 0 {
			partial++
		}
		require.NoError(t, importAll(t, crashed, entries))
		requireImported(t, crashed, entries)
	}
	require.NoError(t, i.Close())
	require.Positive(t, partial, "some image was taken in the middle")
}

func held(t *testing.T, fs vfs.FS) int {
	t.Helper()
	log, err := pebblelog.Open(t.Context(), "log", small(fs))
	require.NoError(t, err)
	stats, err := log.Stats(t.Context())
	require.NoError(t, err)
	require.NoError(t, log.Close())
	return int(stats.Records)
}

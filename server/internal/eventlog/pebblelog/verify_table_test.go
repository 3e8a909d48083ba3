package pebblelog

import (
	"context"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// TestVerifyFindsEveryFlip: wherever in a table a bit is wrong, the store cannot be
// opened, or a problem is reported in a line. On the last level that does not hold
// for filters, which nothing reads there.
func TestVerifyFindsEveryFlip(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem()
	l, err := Open(t.Context(), "log", Options{FS: disk})
	require.NoError(t, err)
	var records []eventlog.Record
	for n := range 300 {
		records = append(records, verifyRecord(n))
	}
	appended, err := l.Append(t.Context(), records)
	require.NoError(t, err)
	// Here and not in the background, so that the tables are the same in each run.
	require.NoError(t, l.index.reach(appended[299].Position.Sequence))
	require.NoError(t, l.db.Flush())
	require.NoError(t, l.Close())
	files, found := contents(t, disk), 0
	tables := tablesWithFilters(t, disk)
	require.Len(t, tables, 3, "of meta data, records, and the index before them")
	for _, name := range tables {
		content := files[name]
		for at := 0; at < len(content); at += 1 + len(content)/20 {
			flipped := []byte(content)
			flipped[at] ^= 4
			write(t, disk, name, flipped)
			found += requireDamaged(t, disk, fmt.Sprintf("%s at %d of %d", name, at, len(content)))
		}
		write(t, disk, name, []byte(content))
	}
	require.Greater(t, found, 20)
}

// tablesWithFilters are the files of the tables above the last level.
func tablesWithFilters(t *testing.T, disk vfs.FS) (names []string) {
	t.Helper()
	r, err := OpenReader(t.Context(), "log", Options{FS: disk, LockWait: -1})
	require.NoError(t, err)
	levels, err := r.log.db.SSTables()
	require.NoError(t, err)
	for _, tables := range levels[:len(levels)-1] {
		for _, table := range tables {
			names = append(names, table.FileNum.String()+".sst")
		}
	}
	require.NoError(t, r.Close())
	return names
}

func write(t *testing.T, disk vfs.FS, name string, content []byte) {
	t.Helper()
	f, err := disk.Create(disk.PathJoin("log", name), vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	_, err = f.Write(content)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// requireDamaged returns how many problems are reported; it is none where the store
// cannot be opened.
func requireDamaged(t *testing.T, disk vfs.FS, where string) (problems int) {
	t.Helper()
	r, err := OpenReader(t.Context(), "log", Options{FS: disk, LockWait: -1, CacheBytes: 1 << 20, MemTableBytes: 1 << 20})
	if err != nil {
		return 0
	}
	_, err = r.Verify(context.Background(), func(p Problem) {
		problems++
		require.NotContains(t, p.Detail, "\n")
	}, func(uint64, uint64) {})
	require.NoError(t, err, where)
	require.Positive(t, problems, where)
	require.NoError(t, r.Close())
	return problems
}

package pebblelog_test

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/eventlogtest"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// folder is a store in one folder of a file system.
type folder struct {
	dir  string
	opts pebblelog.Options
}

func (f folder) Open(t *testing.T, now func() time.Time) eventlog.Log {
	t.Helper()
	f.opts.Now = now
	log, err := pebblelog.Open(t.Context(), f.dir, f.opts)
	require.NoError(t, err)
	return log
}

func TestConformanceInMemory(t *testing.T) {
	t.Parallel()
	eventlogtest.Run(t, func(*testing.T) eventlogtest.Store {
		return folder{dir: "data/log", opts: pebblelog.Options{FS: vfs.NewMem()}}
	})
}

func TestConformanceOnDisk(t *testing.T) {
	t.Parallel()
	eventlogtest.Run(t, func(t *testing.T) eventlogtest.Store {
		t.Helper()
		return folder{dir: t.TempDir() + "/data/log"}
	})
}

// TestConformanceSmall runs with memory so small that everything goes to the
// tables on disk early, and ids are looked up there.
func TestConformanceSmall(t *testing.T) {
	t.Parallel()
	eventlogtest.Run(t, func(*testing.T) eventlogtest.Store {
		return folder{dir: "log", opts: pebblelog.Options{
			FS: vfs.NewMem(), CacheBytes: 1 << 16, MemTableBytes: 1 << 16, RecentIDs: 1, IndexBatch: 3,
		}}
	})
}

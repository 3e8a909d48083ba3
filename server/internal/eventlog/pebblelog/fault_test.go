package pebblelog_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// fault fails one operation on certain files, or every one from there on. It
// lets the first ones pass.
type fault struct {
	files string // a pattern for the base name
	ops   []errorfs.OpKind
	pass  int64
	once  bool
	met   atomic.Int64
	armed atomic.Bool
}

func (f *fault) String() string { return f.files }

func (f *fault) MaybeError(op errorfs.Op) error {
	if ok, _ := filepath.Match(f.files, filepath.Base(op.Path)); !ok || !f.armed.Load() {
		return nil
	}
	for _, kind := range f.ops {
		if kind != op.Kind {
			continue
		}
		n := f.met.Add(1)
		if n == f.pass+1 || (n > f.pass && !f.once) {
			return errorfs.ErrInjected
		}
	}
	return nil
}

// faultFS also injects into files that are used again, which errorfs lets go.
type faultFS struct {
	*errorfs.FS
	fault errorfs.Injector
}

func (fs faultFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(oldname, newname, category)
	return usedAgain{f, newname, fs.fault}, err
}

type usedAgain struct {
	vfs.File
	name  string
	fault errorfs.Injector
}

func (f usedAgain) Write(p []byte) (int, error) {
	if err := f.fault.MaybeError(errorfs.Op{Kind: errorfs.OpFileWrite, Path: f.name}); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f usedAgain) SyncData() error {
	if err := f.fault.MaybeError(errorfs.Op{Kind: errorfs.OpFileSyncData, Path: f.name}); err != nil {
		return err
	}
	return f.File.SyncData()
}

func faults() map[string]*fault {
	syncs := []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo}
	writes := []errorfs.OpKind{errorfs.OpFileWrite}
	all := make(map[string]*fault)
	for _, once := range []bool{false, true} {
		suffix := ", for ever"
		if once {
			suffix = ", once"
		}
		add := func(name, files string, ops []errorfs.OpKind, pass int64) {
			all[name+suffix] = &fault{files: files, ops: ops, pass: pass, once: once}
		}
		add("first write of the write-ahead log", "*.log", writes, 0)
		add("write of the write-ahead log", "*.log", writes, 37)
		add("first sync of the write-ahead log", "*.log", syncs, 0)
		add("sync of the write-ahead log", "*.log", syncs, 41)
		add("new write-ahead log", "*.log", []errorfs.OpKind{errorfs.OpCreate, errorfs.OpReuseForWrite}, 1)
		add("sync of the folder", "log", syncs, 2)
		add("write of the manifest", "MANIFEST-*", writes, 1)
		add("sync of the manifest", "MANIFEST-*", syncs, 1)
		add("write of a table", "*.sst", writes, 3)
		add("sync of a table", "*.sst", syncs, 1)
		add("write of a table of the index", "index-*", writes, 0)
		add("sync of a table of the index", "index-*", syncs, 1)
		add("new table of the index", "index-*", []errorfs.OpKind{errorfs.OpCreate}, 1)
		add("link of a table of the index", "*", []errorfs.OpKind{errorfs.OpLink}, 1)
		add("new table", "*.sst", []errorfs.OpKind{errorfs.OpCreate}, 1)
	}
	// Some of these syncs are of commits, some end a file that is full.
	for n := range int64(30 + 10*rounds()) {
		name := fmt.Sprintf("sync %d of the write-ahead log, once", 30+n)
		all[name] = &fault{files: "*.log", ops: syncs, pass: 30 + n, once: true}
	}
	return all
}

// TestCrashOnDiskFault injects disk errors of all kinds while records are written:
// nothing may be acknowledged that is not there when the log is opened again,
// also if the disk seems to work again afterwards.
func TestCrashOnDiskFault(t *testing.T) {
	t.Parallel()
	for name, f := range faults() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := newCrashDisk()
			log, err := pebblelog.Open(t.Context(), "log", small(faultFS{errorfs.Wrap(disk, f), f}))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, log.Close()) })
			y := newTally()
			f.armed.Store(true)
			y.allow(cap(y.budget))
			close(y.budget)
			errs := make(chan error, 5)
			for range 4 {
				go func() { errs <- y.write(log) }()
			}
			go func() { errs <- y.follow(log) }()
			for range 5 {
				require.ErrorIs(t, <-errs, eventlog.ErrFailed)
			}
			checkFailed(t, log)
			image := disk.CrashClone(vfs.CrashCloneCfg{})
			require.NoError(t, log.Close())
			require.Greater(t, f.met.Load(), f.pass, "the fault was met")
			checkAfterCrash(t, image, y.known(), int(y.next.Load()))
			// What was done to the disk after the failure has changed nothing.
			checkAfterCrash(t, disk.CrashClone(vfs.CrashCloneCfg{}), y.known(), int(y.next.Load()))
		})
	}
}

// checkFailed wants every call on a failed log to say so at once.
func checkFailed(t *testing.T, log *pebblelog.Log) {
	t.Helper()
	<-log.Failed()
	require.Error(t, log.Err())
	require.NotContains(t, log.Err().Error(), "payload")
	ctx := context.Background()
	calls := map[string]func() error{
		"Append":      func() error { _, err := log.Append(ctx, []eventlog.Record{testRecord(0)}); return err },
		"Read":        func() error { _, err := log.Read(ctx, eventlog.Query{}); return err },
		"Check":       func() error { return log.Check(ctx, eventlog.Position{}) },
		"Lookup":      func() error { _, err := log.Lookup(ctx, eventlog.ID{}); return err },
		"Seek":        func() error { _, err := log.Seek(ctx, time.Now().Add(time.Hour)); return err },
		"Bounds":      func() error { _, err := log.Bounds(ctx); return err },
		"Stats":       func() error { _, err := log.Stats(ctx); return err },
		"Wait":        func() error { return log.Wait(ctx, 0) },
		"Trim":        func() error { return log.Trim(ctx, 1) },
		"TrimType":    func() error { return log.TrimType(ctx, "a", 1) },
		"MeasureType": func() error { _, err := log.MeasureType(ctx, "a", 0, 0); return err },
	}
	for name, call := range calls {
		err := call()
		require.ErrorIs(t, err, eventlog.ErrFailed, name)
		require.ErrorContains(t, err, log.Err().Error(), "%s names the cause", name)
	}
}

// TestOpenFails: errors while opening are returned, and the folder is let go.
func TestOpenFails(t *testing.T) {
	t.Parallel()
	for _, files := range []string{"*.log", "MANIFEST-*", "log"} {
		f := &fault{files: files, ops: []errorfs.OpKind{
			errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData,
		}}
		f.armed.Store(true)
		disk := vfs.NewMem()
		_, err := pebblelog.Open(t.Context(), "log", small(faultFS{errorfs.Wrap(disk, f), f}))
		require.Error(t, err, files)
		require.ErrorContains(t, err, "open log ")
		log, err := pebblelog.Open(t.Context(), "log", small(disk))
		require.NoError(t, err, "the folder is let go and can be used: %s", files)
		require.NoError(t, log.Close())
	}
}

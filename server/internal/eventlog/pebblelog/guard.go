package pebblelog

import (
	"fmt"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// guardFS stands between Pebble and the disk for two reasons.
//
// Once the log has failed, nothing changes on disk any more. Pebble expects
// Fatalf to end the process; as ours returns, a flush would be retried after a
// failed manifest sync, might seem to succeed, and the write-ahead log that
// still held the records would be deleted.
//
// And Pebble panics when it cannot close or create a write-ahead log file, in a
// way that cannot be recovered from: a deferred unlock finds its mutex unlocked,
// which ends the process in the middle of every other callback. So an error of a
// write-ahead log file is recorded here first and then kept from Pebble. Nobody
// is told that anything succeeded: every commit looks at the failure before it
// is acknowledged.
type guardFS struct {
	vfs.FS
	failure *failure
}

func isWAL(name string) bool { return filepath.Ext(name) == ".log" }

// change runs an operation that changes directories.
func (g guardFS) change(op string, run func() error) error {
	if g.failure.happened() {
		return fmt.Errorf("%s: %w", op, eventlog.ErrFailed)
	}
	return run()
}

// open runs an operation that makes or opens a file for writing.
func (g guardFS) open(name string, run func() (vfs.File, error)) (vfs.File, error) {
	wal := isWAL(name)
	if g.failure.happened() && !wal {
		g.failure.pause()
		return nil, fmt.Errorf("create file: %w", eventlog.ErrFailed)
	}
	if !g.failure.happened() {
		f, err := run()
		if err == nil {
			return &guardFile{File: f, failure: g.failure, hide: wal}, nil
		}
		if !wal {
			return nil, err
		}
		g.failure.record(fmt.Errorf("create write-ahead log: %w", err))
	}
	f, err := vfs.NewMem().Create("nowhere.log", vfs.WriteCategoryUnspecified)
	return &guardFile{File: f, failure: g.failure, hide: true}, err
}

func (g guardFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.open(name, func() (vfs.File, error) { return g.FS.Create(name, category) })
}

func (g guardFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.open(newname, func() (vfs.File, error) { return g.FS.ReuseForWrite(oldname, newname, category) })
}

func (g guardFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return g.open(name, func() (vfs.File, error) { return g.FS.OpenReadWrite(name, category, opts...) })
}

// OpenDir wraps directories too: a new write-ahead log is durable only once its
// directory is synced.
func (g guardFS) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardFile{File: f, failure: g.failure, hide: true}, nil
}

func (g guardFS) Link(oldname, newname string) error {
	return g.change("link file", func() error { return g.FS.Link(oldname, newname) })
}

func (g guardFS) Remove(name string) error {
	return g.change("remove file", func() error { return g.FS.Remove(name) })
}

func (g guardFS) RemoveAll(name string) error {
	return g.change("remove files", func() error { return g.FS.RemoveAll(name) })
}

func (g guardFS) Rename(oldname, newname string) error {
	return g.change("rename file", func() error { return g.FS.Rename(oldname, newname) })
}

func (g guardFS) Unwrap() vfs.FS { return g.FS }

// guardFile is a file opened for writing, or a directory opened for syncing.
type guardFile struct {
	vfs.File
	failure *failure
	hide    bool // keep errors from Pebble once they are recorded
}

func (f *guardFile) before() (goOn bool, err error) {
	switch {
	case !f.failure.happened():
		return true, nil
	case f.hide:
		return false, nil
	default:
		return false, fmt.Errorf("write file: %w", eventlog.ErrFailed)
	}
}

func (f *guardFile) after(op string, err error) error {
	if err == nil || !f.hide {
		return err
	}
	f.failure.record(fmt.Errorf("%s write-ahead log: %w", op, err))
	return nil
}

func (f *guardFile) Write(p []byte) (int, error) {
	if goOn, err := f.before(); !goOn {
		return len(p), err
	}
	n, err := f.File.Write(p)
	if err != nil && f.hide {
		n = len(p)
	}
	return n, f.after("write", err)
}

func (f *guardFile) WriteAt(p []byte, off int64) (int, error) {
	if goOn, err := f.before(); !goOn {
		return len(p), err
	}
	n, err := f.File.WriteAt(p, off)
	if err != nil && f.hide {
		n = len(p)
	}
	return n, f.after("write", err)
}

func (f *guardFile) Sync() error {
	if goOn, err := f.before(); !goOn {
		return err
	}
	return f.after("sync", f.File.Sync())
}

func (f *guardFile) SyncData() error {
	if goOn, err := f.before(); !goOn {
		return err
	}
	return f.after("sync", f.File.SyncData())
}

func (f *guardFile) SyncTo(length int64) (bool, error) {
	if goOn, err := f.before(); !goOn {
		return true, err
	}
	full, err := f.File.SyncTo(length)
	return full, f.after("sync", err)
}

func (f *guardFile) Close() error {
	return f.after("close", f.File.Close())
}

package pebblelog

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// guardFS stands between Pebble and the disk. The first error of a write, a sync
// or a new file is recorded as the log's failure; from then on the disk is a
// black hole: nothing changes on it any more, and Pebble is told that everything
// went well.
//
// Pebble expects its process to end at such an error, and harms itself where it
// does not: a flush retried after a failed manifest sync may seem to succeed, and
// the write-ahead log that still held the records is deleted; a write-ahead log
// that cannot be closed or created panics past an unlock that cannot be repeated,
// which ends the process in the middle of every callback; a table that cannot be
// written holds commits back, and Close, for ever. With the black hole none of
// this happens, and no caller is told that anything succeeded: every commit looks
// at the failure before it is acknowledged, every call before it is answered.
type guardFS struct {
	vfs.FS
	failure *failure
}

// open makes or opens a file for writing.
func (g *guardFS) open(run func() (vfs.File, error)) (vfs.File, error) {
	if !g.failure.happened() {
		f, err := run()
		if err == nil {
			return guardFile{File: f, failure: g.failure}, nil
		}
		g.failure.record(fmt.Errorf("create file: %w", err))
	}
	f, err := vfs.NewMem().Create("nowhere", vfs.WriteCategoryUnspecified)
	return guardFile{File: f, failure: g.failure}, err
}

func (g *guardFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.open(func() (vfs.File, error) { return g.FS.Create(name, category) })
}

func (g *guardFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.open(func() (vfs.File, error) { return g.FS.ReuseForWrite(oldname, newname, category) })
}

func (g *guardFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return g.open(func() (vfs.File, error) { return g.FS.OpenReadWrite(name, category, opts...) })
}

// OpenDir guards directories too: a new file is durable only once its directory
// is synced.
func (g *guardFS) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return guardFile{File: f, failure: g.failure}, nil
}

// Open slows down compactions that look, again and again, for a table that went
// into the black hole.
func (g *guardFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if g.failure.happened() {
		g.failure.pause()
	}
	return g.FS.Open(name, opts...)
}

func (g *guardFS) Link(oldname, newname string) error {
	return g.failure.guard("link file", func() error { return g.FS.Link(oldname, newname) })
}

func (g *guardFS) Rename(oldname, newname string) error {
	return g.failure.guard("rename file", func() error { return g.FS.Rename(oldname, newname) })
}

// Remove may fail without harm: the file is removed at the next start.
func (g *guardFS) Remove(name string) error {
	if g.failure.happened() {
		return nil
	}
	return g.FS.Remove(name)
}

// RemoveAll is like Remove.
func (g *guardFS) RemoveAll(name string) error {
	if g.failure.happened() {
		return nil
	}
	return g.FS.RemoveAll(name)
}

func (g *guardFS) Unwrap() vfs.FS { return g.FS }

// guard runs a change of the disk, unless the log has failed; an error of it is
// the failure, and is not returned.
func (f *failure) guard(what string, change func() error) error {
	if f.happened() {
		return nil
	}
	if err := change(); err != nil {
		f.record(fmt.Errorf("%s: %w", what, err))
	}
	return nil
}

// guardFile is a file opened for writing, or a directory opened for syncing.
type guardFile struct {
	vfs.File
	failure *failure
}

func (f guardFile) Write(p []byte) (int, error) {
	return len(p), f.failure.guard("write file", func() error {
		_, err := f.File.Write(p)
		return err
	})
}

func (f guardFile) WriteAt(p []byte, off int64) (int, error) {
	return len(p), f.failure.guard("write file", func() error {
		_, err := f.File.WriteAt(p, off)
		return err
	})
}

func (f guardFile) Sync() error     { return f.failure.guard("sync file", f.File.Sync) }
func (f guardFile) SyncData() error { return f.failure.guard("sync file", f.File.SyncData) }

func (f guardFile) SyncTo(length int64) (full bool, err error) {
	err = f.failure.guard("sync file", func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}

// Close is guarded after the fact: the file must be closed in any case.
func (f guardFile) Close() error {
	err := f.File.Close()
	return f.failure.guard("close file", func() error { return err })
}

package pebblelog

import (
	"errors"
	"io/fs"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// copying is a backup under way.
type copying struct {
	parent, dir string       // the folder for backups, and the copy's in it
	stopped     func() error // why it should end now, or nil

	// unsynced is the error of a folder that could not be synced. Pebble would
	// panic; it is told nothing, and who makes the backup looks here.
	unsynced error
}

// concerns reports whether a path is the backup's and not the log's.
func (c *copying) concerns(disk vfs.FS, path string) bool {
	return c != nil && (path == c.dir || path == c.parent || disk.PathDir(path) == c.dir)
}

// storeFS is the file system of the store: guarded, except for where a backup is
// written. That a backup cannot be written is no failure of the log.
type storeFS struct {
	guardFS
	copying *atomic.Pointer[copying]
	spared  *spared
}

// at is the file system for what is written to a path.
func (s *storeFS) at(path string) vfs.FS {
	if c := s.copying.Load(); c.concerns(s.FS, path) {
		return backupFS{s.FS, c}
	}
	return &s.guardFS
}

func (s *storeFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return s.at(name).Create(name, category)
}

func (s *storeFS) OpenDir(name string) (vfs.File, error) { return s.at(name).OpenDir(name) }

func (s *storeFS) MkdirAll(dir string, perm fs.FileMode) error { return s.at(dir).MkdirAll(dir, perm) }

func (s *storeFS) Link(oldname, newname string) error { return s.at(newname).Link(oldname, newname) }

func (s *storeFS) Rename(oldname, newname string) error {
	return s.at(newname).Rename(oldname, newname)
}

func (s *storeFS) Remove(name string) error {
	if s.spared.spare(name) {
		return nil
	}
	return s.at(name).Remove(name)
}

func (s *storeFS) RemoveAll(name string) error { return s.at(name).RemoveAll(name) }

// backupFS is where a backup is written. It stops when the backup should.
type backupFS struct {
	vfs.FS
	copying *copying
}

func (b backupFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := b.copying.stopped(); err != nil {
		return nil, err
	}
	f, err := b.FS.Create(name, category)
	if err != nil {
		return nil, err
	}
	return backupFile{f, b.copying}, nil
}

func (b backupFS) Link(oldname, newname string) error {
	if err := b.copying.stopped(); err != nil {
		return err
	}
	return b.FS.Link(oldname, newname)
}

func (b backupFS) OpenDir(name string) (vfs.File, error) {
	f, err := b.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return backupFolder{f, b.copying}, nil
}

// MkdirAll keeps the copy as private as the log.
func (b backupFS) MkdirAll(dir string, perm fs.FileMode) error { return b.FS.MkdirAll(dir, perm&0o700) }

type backupFile struct {
	vfs.File
	copying *copying
}

func (f backupFile) Write(p []byte) (int, error) {
	if err := f.copying.stopped(); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

type backupFolder struct {
	vfs.File
	copying *copying
}

func (f backupFolder) Sync() error {
	f.copying.unsynced = errors.Join(f.copying.unsynced, f.File.Sync())
	return nil
}

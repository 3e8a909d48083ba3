package pebblelog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// incompletePrefix begins the name of a backup until it is whole and durable.
const incompletePrefix = ".incomplete-"

// Backup copies the log into a new folder, which [Open] takes as a log like any
// other. It returns when the copy is durable; a crash before that leaves nothing
// under the folder's name. What such a crash leaves beside it is removed by the
// next backup, so the folder around it must hold backups only, of this log only,
// and must not be the log's own. Appends and readers go on. One backup runs at a
// time, others wait.
//
// The copy holds every record that was acknowledged before the call, and none
// that was trimmed before it. Of what is appended meanwhile it holds a part: in
// log order, whole appends, perhaps one that the log itself loses in a crash
// before its sync. The log may then give that record's sequence to another one;
// positions tell the two apart by their fingerprint ([eventlog.ErrDiverged]), as
// they do for whatever the two logs append later.
//
// Tables are linked where the folder is on the log's file system, and copied
// where it is not. A linked one keeps its room on the disk when the log has
// trimmed it, until the backup is removed.
//
// Errors: one that matches fs.ErrExist if the folder is there,
// eventlog.ErrFull if its disk has less room than Options.MinFreeBytes or runs full,
// ErrClosed, ErrFailed, or the context's. An error leaves no folder, and the log as
// it was.
func (l *Log) Backup(ctx context.Context, dir string) (eventlog.Backup, error) {
	l.backupMu.Lock()
	defer l.backupMu.Unlock()
	made, err := l.backUp(ctx, dir)
	if vfs.IsNoSpaceError(err) && !errors.Is(err, eventlog.ErrFailed) {
		err = fmt.Errorf("%w: %w", eventlog.ErrFull, err) // it ran full on the way
	}
	if err != nil {
		return eventlog.Backup{}, fmt.Errorf("back up to %s: %w", dir, err)
	}
	return made, nil
}

func (l *Log) backUp(ctx context.Context, dir string) (_ eventlog.Backup, err error) {
	disk := l.space.fs
	parent := disk.PathDir(dir)
	if parent == disk.PathJoin(l.space.dir) {
		return eventlog.Backup{}, errors.New("this is the log's own folder: choose another for backups")
	}
	if err := l.prepareBackup(disk, parent, dir); err != nil {
		return eventlog.Backup{}, err
	}
	c := &copying{
		parent: parent,
		dir:    disk.PathJoin(parent, incompletePrefix+disk.PathBase(dir)),
		stopped: func() error {
			if l.isClosing() {
				return eventlog.ErrClosed
			}
			return ctx.Err()
		},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, disk.RemoveAll(c.dir))
		}
	}()
	if err := l.checkpoint(c); err != nil {
		return eventlog.Backup{}, err
	}
	made, err := settle(ctx, disk, c.dir)
	if err != nil {
		return eventlog.Backup{}, fmt.Errorf("open the copy: %w", err)
	}
	if err := c.stopped(); err != nil {
		return eventlog.Backup{}, err
	}
	if err := disk.Rename(c.dir, dir); err != nil {
		return eventlog.Backup{}, err
	}
	if err := syncFolder(disk, parent); err != nil {
		return eventlog.Backup{}, errors.Join(err, disk.RemoveAll(dir))
	}
	return made, nil
}

// prepareBackup makes the folder for backups, removes what a crash left there,
// and checks that there is room for one more.
func (l *Log) prepareBackup(disk vfs.FS, parent, dir string) error {
	if err := makeFolder(disk, parent); err != nil {
		return fmt.Errorf("create folder: %w", err)
	}
	if _, err := disk.Stat(dir); err == nil {
		return fmt.Errorf("%w: choose another name", fs.ErrExist)
	}
	names, err := disk.List(parent)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasPrefix(name, incompletePrefix) {
			continue
		}
		if err := disk.RemoveAll(disk.PathJoin(parent, name)); err != nil {
			return fmt.Errorf("remove an incomplete backup: %w", err)
		}
	}
	return l.roomForBackup(disk, parent)
}

// roomForBackup asks for what appends ask for. A copy by links takes little more
// than the write-ahead log, for which the store keeps room.
func (l *Log) roomForBackup(disk vfs.FS, parent string) error {
	if l.space.minFree < 0 {
		return nil
	}
	usage, err := disk.GetDiskUsage(parent)
	if err != nil {
		return nil //nolint:nilerr // what cannot be told is no reason to refuse
	}
	if required := l.space.required(usage); usage.AvailBytes < required {
		return fmt.Errorf("%w: the disk has %d bytes free, and at least %d must stay free", eventlog.ErrFull, usage.AvailBytes, required)
	}
	return nil
}

// checkpoint makes Pebble copy the store as it is at one moment.
func (l *Log) checkpoint(c *copying) error {
	release, err := l.use()
	if err != nil {
		return err
	}
	defer release()
	if err := c.stopped(); err != nil {
		return err
	}
	l.copying.Store(c)
	defer l.copying.Store(nil)
	// The flush takes along what the index has written without a sync.
	err = l.db.Checkpoint(c.dir, pebble.WithFlushedWAL())
	if failed := l.failure.asFailed(); failed != nil {
		return failed
	}
	return errors.Join(err, c.unsynced)
}

// settle opens the copy once, which turns its write-ahead log into tables and
// completes its index, and tells what it holds.
func settle(ctx context.Context, disk vfs.FS, dir string) (made eventlog.Backup, err error) {
	const enough = 4 << 20 // it only reads once what the write-ahead log holds
	l, err := Open(ctx, dir, Options{FS: disk, LockWait: -1, CacheBytes: enough, MemTableBytes: enough, RecentIDs: 1, MinFreeBytes: -1})
	if err != nil {
		return made, err
	}
	if made.Bounds, err = l.Bounds(ctx); err == nil {
		var stats eventlog.Stats
		stats, err = l.Stats(ctx)
		made.Records = stats.Records
	}
	closed := l.Close()
	// What failed is the copy: not an error that says so of the log. And Close does
	// not tell of it.
	if failed := l.Err(); failed != nil {
		return made, failed
	}
	if err := errors.Join(err, closed); err != nil {
		return made, err
	}
	made.Bytes, err = sizeOf(disk, dir)
	return made, err
}

// sizeOf sums up the files in a folder.
func sizeOf(disk vfs.FS, dir string) (uint64, error) {
	names, err := disk.List(dir)
	if err != nil {
		return 0, err
	}
	var sum uint64
	for _, name := range names {
		info, err := disk.Stat(disk.PathJoin(dir, name))
		if err != nil {
			return 0, err
		}
		sum += uint64(info.Size())
	}
	return sum, nil
}

func syncFolder(disk vfs.FS, dir string) error {
	d, err := disk.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

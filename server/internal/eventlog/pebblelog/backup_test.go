package pebblelog_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

// TestBackupOnDisk: a copy is a log of the same identity that goes its own way,
// and leaves the original alone.
func TestBackupOnDisk(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	log, err := pebblelog.Open(t.Context(), dir, small(nil))
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close()) }()
	appendNumbers(t, log, 0, 1000)
	require.NoError(t, log.Trim(t.Context(), 100))
	copied := filepath.Join(dir, "backups", "first")
	made, err := log.Backup(t.Context(), copied)
	require.NoError(t, err)
	bounds, err := log.Bounds(t.Context())
	require.NoError(t, err)
	require.Equal(t, bounds, made.Bounds)
	require.Equal(t, uint64(900), made.Records)
	require.Greater(t, made.Bytes, uint64(10_000))

	want := readAll(t, log, eventlog.Query{After: 100})
	appendNumbers(t, log, 2000, 2100)
	restored, err := pebblelog.Open(t.Context(), copied, small(nil))
	require.NoError(t, err)
	defer func() { require.NoError(t, restored.Close()) }()
	require.Equal(t, want, readAll(t, restored, eventlog.Query{After: 100}))

	newest := readAll(t, log, eventlog.Query{After: 1000})[0].Position
	require.ErrorIs(t, restored.Check(t.Context(), newest), eventlog.ErrAhead)
	appendNumbers(t, restored, 3000, 3100)
	require.ErrorIs(t, restored.Check(t.Context(), newest), eventlog.ErrDiverged)
	require.NoError(t, restored.Check(t.Context(), made.Bounds.Head))
	require.Len(t, readAll(t, log, eventlog.Query{After: 100}), 1000)
}

func appendNumbers(t *testing.T, log eventlog.Log, from, to int) {
	t.Helper()
	records := make([]eventlog.Record, 0, to-from)
	for n := from; n < to; n++ {
		records = append(records, testRecord(n))
	}
	_, err := log.Append(t.Context(), records)
	require.NoError(t, err)
}

// TestBackupIsIndexed: the copy's index is whole although the log's was
// not, and the copy has no more to do when it is opened.
func TestBackupIsIndexed(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem()
	log, err := pebblelog.Open(t.Context(), "log", small(disk))
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close()) }()
	for n := range 20 {
		appendNumbers(t, log, n*10, n*10+10)
		dir := fmt.Sprintf("backups/%d", n)
		_, err = log.Backup(t.Context(), dir)
		require.NoError(t, err)
		copied, err := pebblelog.Open(t.Context(), dir, small(disk))
		require.NoError(t, err)
		one := eventlog.NewMatcher([]eventlog.Filter{{WABAIDs: []string{"3"}}})
		want := readAll(t, log, eventlog.Query{Filter: one})
		require.Equal(t, want, readAll(t, copied, eventlog.Query{Filter: one}))
		require.NoError(t, copied.Close())
	}
}

func TestBackupRefuses(t *testing.T) {
	t.Parallel()
	room := newRoom(1 << 40)
	log := room.open(t)
	appendNumbers(t, log, 0, 10)
	_, err := log.Backup(t.Context(), "backups/one")
	require.NoError(t, err)
	_, err = log.Backup(t.Context(), "backups/one")
	require.ErrorIs(t, err, fs.ErrExist)
	require.ErrorContains(t, err, "backups/one")
	_, err = log.Backup(t.Context(), "log/000001.log")
	require.ErrorContains(t, err, "log's own folder")

	room.become(1)
	_, err = log.Backup(t.Context(), "backups/two")
	require.ErrorIs(t, err, eventlog.ErrFull)
	room.become(1 << 40)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = log.Backup(ended, "backups/two")
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, log.Close())
	_, err = log.Backup(t.Context(), "backups/two")
	require.ErrorIs(t, err, eventlog.ErrClosed)
}

// backupFault makes the nth write, sync, link or new file of a backup fail.
type backupFault struct {
	mu    sync.Mutex
	after int // guarded by mu
}

// TestBackupDiskRunsFull: a disk for backups that has room at first, and not enough,
// is told as one that is full.
func TestBackupDiskRunsFull(t *testing.T) {
	t.Parallel()
	full := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWrite && strings.HasPrefix(op.Path, "backups") {
			return syscall.ENOSPC
		}
		return nil
	})
	log, err := pebblelog.Open(t.Context(), "log", small(errorfs.Wrap(vfs.NewMem(), full)))
	require.NoError(t, err)
	appendNumbers(t, log, 0, 10)
	_, err = log.Backup(t.Context(), "backups/one")
	require.ErrorIs(t, err, eventlog.ErrFull)
	appendNumbers(t, log, 10, 20)
	require.NoError(t, log.Close())
}

var errBackupDisk = errors.New("backup disk is broken")

func (f *backupFault) String() string { return "backup fault" }

func (f *backupFault) MaybeError(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpCreate, errorfs.OpLink, errorfs.OpRename, errorfs.OpMkdirAll:
	default:
		return nil
	}
	if !strings.HasPrefix(op.Path, "backups") {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.after--; f.after == 0 {
		return errBackupDisk
	}
	return nil
}

// TestBackupFaultsCampaign: wherever a backup fails, nothing bears its name, the log does
// not mind, and the next backup succeeds and cleans up.
func TestBackupFaultsCampaign(t *testing.T) {
	t.Parallel()
	failures, step := 0, 3
	if rounds() > 1 {
		step = 1
	}
	for after := 1; ; after += step {
		disk := vfs.NewMem()
		fault := &backupFault{}
		log, err := pebblelog.Open(t.Context(), "log", small(errorfs.Wrap(disk, fault)))
		require.NoError(t, err)
		appendNumbers(t, log, 0, 300)
		fault.mu.Lock()
		fault.after = after
		fault.mu.Unlock()
		_, err = log.Backup(t.Context(), "backups/one")
		if err == nil {
			require.Positive(t, fault.after, "no fault goes unnoticed")
			require.NoError(t, log.Close())
			break
		}
		failures++
		require.NotErrorIs(t, err, eventlog.ErrFailed)
		require.ErrorIs(t, err, errBackupDisk)
		_, err = disk.Stat("backups/one")
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.NoError(t, log.Err())
		appendNumbers(t, log, 300, 310)
		_, err = log.Backup(t.Context(), "backups/two")
		require.NoError(t, err)
		names, err := disk.List("backups")
		require.NoError(t, err)
		require.Equal(t, []string{"two"}, names)
		require.NoError(t, log.Close())
	}
	require.Greater(t, failures, 10)
}

// TestBackupCrash: in every image of the disk that a power cut could leave while
// backups are made under load, what bears a backup's name is whole: it holds all
// that was known before it was begun.
func TestBackupCrash(t *testing.T) {
	t.Parallel()
	disk := newCrashDisk()
	log, err := pebblelog.Open(t.Context(), "log", small(disk))
	require.NoError(t, err)
	y := newTally()
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() { assert.NoError(t, y.write(log)) })
	}
	var known sync.Map // backup → what was known before it
	backups := 10 * rounds()
	made := make(chan struct{})
	go func() {
		defer close(made)
		for n := range backups {
			dir := fmt.Sprintf("backups/%d", n)
			y.allow(40)
			known.Store(dir, y.known())
			if _, err := log.Backup(context.Background(), dir); !assert.NoError(t, err) {
				return
			}
		}
	}()
	found := 0
	for image, done := uint64(0), false; !done; image++ {
		select {
		case <-made:
			done = true
		default:
		}
		found = checkBackups(t, disk.CrashClone(vfs.CrashCloneCfg{
			UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(image, 7)),
		}), &known)
	}
	require.Equal(t, backups, found)
	close(y.budget)
	writers.Wait()
	require.NoError(t, log.Close())
}

// checkBackups opens the newest backups in an image and returns how many it has.
func checkBackups(t *testing.T, disk vfs.FS, known *sync.Map) int {
	t.Helper()
	names, err := disk.List("backups")
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	require.NoError(t, err)
	whole := 0
	for _, name := range names {
		if strings.HasPrefix(name, ".incomplete-") {
			continue
		}
		whole++
	}
	if whole == 0 {
		return 0
	}
	dir := fmt.Sprintf("backups/%d", whole-1)
	before, ok := known.Load(dir)
	require.True(t, ok, "backups appear in order")
	log, err := pebblelog.Open(t.Context(), dir, small(disk))
	require.NoError(t, err)
	stored := make(map[eventlog.ID]eventlog.Position)
	for _, e := range readAll(t, log, eventlog.Query{}) {
		stored[e.ID] = e.Position
	}
	for id, p := range maps.All(before.(map[eventlog.ID]eventlog.Position)) {
		require.Equal(t, p, stored[id])
	}
	require.NoError(t, log.Close())
	return whole
}

package pebblelog_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
)

func TestNewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	logOf(t, fs, 1)
	db := rawStore(t, fs)
	require.NoError(t, db.Set([]byte("mformat"), binary.AppendUvarint(nil, 7), pebble.Sync))
	require.NoError(t, db.Close())
	for range 2 {
		_, err := pebblelog.Open(t.Context(), "log", pebblelog.Options{FS: fs})
		require.ErrorContains(t, err, "format 7")
		require.ErrorContains(t, err, "up to 3")
	}
	db = rawStore(t, fs)
	require.NoError(t, db.Set([]byte("mformat"), []byte{1}, pebble.Sync))
	require.NoError(t, db.Close())
	require.Len(t, readAll(t, reopen(t, fs), eventlog.Query{}), 1, "refusing changed nothing")
}

// TestDamagedManifest: a store whose manifest is cut off after its first records
// looks like an empty one. It is not taken for a new log, and its tables stay.
func TestDamagedManifest(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	log := reopen(t, fs)
	name := manifestOf(t, fs)
	begun := contents(t, fs, name)
	for n := range 400 {
		_, err := log.Append(t.Context(), []eventlog.Record{testRecord(n)})
		require.NoError(t, err)
	}
	require.NoError(t, log.Close())
	require.NoError(t, reopen(t, fs).Close()) // its write-ahead log becomes a table
	tables := filesIn(t, fs, ".sst")
	require.NotEmpty(t, tables)
	for _, file := range filesIn(t, fs, ".log") {
		require.NoError(t, fs.Remove(fs.PathJoin("log", file)))
	}
	write(t, fs, manifestOf(t, fs), begun)
	for range 2 {
		_, err := pebblelog.Open(t.Context(), "log", small(fs))
		require.ErrorContains(t, err, "manifest is damaged")
		require.Equal(t, tables, filesIn(t, fs, ".sst"))
	}
}

// filesIn lists the files of the store whose names contain the text.
func filesIn(t *testing.T, fs vfs.FS, text string) []string {
	t.Helper()
	names, err := fs.List("log")
	require.NoError(t, err)
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.Contains(name, text) })
	slices.Sort(names)
	return names
}

func manifestOf(t *testing.T, fs vfs.FS) string {
	t.Helper()
	all := filesIn(t, fs, "MANIFEST-")
	all = slices.DeleteFunc(all, func(name string) bool { return strings.HasPrefix(name, "marker") })
	return fs.PathJoin("log", all[len(all)-1])
}

func contents(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	require.NoError(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	require.NoError(t, err)
	return b
}

func write(t *testing.T, fs vfs.FS, name string, b []byte) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	_, err = f.Write(b)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func TestForeignStoreIsRefused(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	db := rawStore(t, fs)
	require.NoError(t, db.Set([]byte("somebody's"), []byte("data"), pebble.Sync))
	require.NoError(t, db.Close())
	_, err := pebblelog.Open(t.Context(), "log", pebblelog.Options{FS: fs})
	require.ErrorContains(t, err, "not an event log")
}

func TestFolderInUse(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	first, err := pebblelog.Open(t.Context(), dir, pebblelog.Options{})
	require.NoError(t, err)
	for _, wait := range []time.Duration{-1, time.Millisecond} {
		_, err = pebblelog.Open(t.Context(), dir, pebblelog.Options{LockWait: wait})
		require.ErrorContains(t, err, dir)
		require.ErrorContains(t, err, "in use")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = pebblelog.Open(ctx, dir, pebblelog.Options{})
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, first.Close())
}

// lines is a log output that tells when the first line was written.
type lines struct {
	mu    sync.Mutex
	text  bytes.Buffer // guarded by mu
	first chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.text.Len() == 0 {
		close(l.first)
	}
	return l.text.Write(p)
}

func TestOpenWaitsForTheFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	first, err := pebblelog.Open(t.Context(), dir, pebblelog.Options{})
	require.NoError(t, err)
	out := &lines{first: make(chan struct{})}
	opened := make(chan error, 1)
	go func() {
		second, err := pebblelog.Open(t.Context(), dir, pebblelog.Options{Logger: slog.New(slog.NewTextHandler(out, nil))})
		if err == nil {
			err = second.Close()
		}
		opened <- err
	}()
	<-out.first // it has found the folder locked
	require.NoError(t, first.Close())
	require.NoError(t, <-opened)
	require.Equal(t, 1, strings.Count(out.text.String(), "waiting for another process"))
}

func TestFolderCannotBeMade(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := pebblelog.Open(t.Context(), filepath.Join(file, "log"), pebblelog.Options{LockWait: -1})
	require.ErrorContains(t, err, "create folder")
}

// TestFolderIsPrivate: the events are nobody else's business.
func TestFolderIsPrivate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "log")
	log, err := pebblelog.Open(t.Context(), dir, pebblelog.Options{})
	require.NoError(t, err)
	require.NoError(t, log.Close())
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

// TestOpenSurvivesPowerCut: a log that has just been created is still there, also
// in folders made for it.
func TestOpenSurvivesPowerCut(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	log, err := pebblelog.Open(t.Context(), "a/b/log", pebblelog.Options{FS: fs})
	require.NoError(t, err)
	answers, err := log.Append(t.Context(), []eventlog.Record{testRecord(1)})
	require.NoError(t, err)
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	require.NoError(t, log.Close())
	log, err = pebblelog.Open(t.Context(), "a/b/log", pebblelog.Options{FS: crashed})
	require.NoError(t, err)
	found, err := log.Lookup(t.Context(), testRecord(1).ID)
	require.NoError(t, err)
	require.Equal(t, answers[0].Position, found.Position)
	require.NoError(t, log.Close())
}

// TestAbandonedAppend: a caller that stops waiting leaves its records to the
// committer, and may change its buffers.
func TestAbandonedAppend(t *testing.T) {
	t.Parallel()
	log, err := pebblelog.Open(t.Context(), "log", pebblelog.Options{FS: vfs.NewMem()})
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close()) }()
	for n := range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		r := testRecord(n)
		go cancel()
		_, err := log.Append(ctx, []eventlog.Record{r})
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
		}
		clear(r.Payload)
	}
	_, err = log.Append(t.Context(), []eventlog.Record{testRecord(1000)})
	require.NoError(t, err)
	for _, e := range readAll(t, log, eventlog.Query{}) {
		require.True(t, bytes.HasPrefix(e.Payload, []byte("payload ")))
	}
}

func TestSourceAndTypeAreRequired(t *testing.T) {
	t.Parallel()
	log := reopen(t, vfs.NewMem())
	for _, spoil := range []func(*eventlog.Record){
		func(r *eventlog.Record) { r.Source = "" },
		func(r *eventlog.Record) { r.Type = "" },
	} {
		r := testRecord(1)
		spoil(&r)
		_, err := log.Append(t.Context(), []eventlog.Record{testRecord(0), r})
		require.ErrorContains(t, err, "record 1: source and type must be set")
	}
}

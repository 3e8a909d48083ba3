package admin_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/admin"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// fakeLog answers each backup as told.
type fakeLog struct {
	dirs   []string
	backup func() (eventlog.Backup, error)
}

func (l *fakeLog) Backup(_ context.Context, dir string) (eventlog.Backup, error) {
	l.dirs = append(l.dirs, dir)
	return l.backup()
}

func serviceOn(log *fakeLog, dir string) *admin.Service {
	return admin.New(admin.Config{
		Log: log, BackupDir: dir,
		Cursor: func(p eventlog.Position) string { return fmt.Sprint("cursor ", p.Sequence) },
		Now:    func() time.Time { return time.Date(2026, 1, 31, 23, 59, 59, 0, time.FixedZone("", -3600)) },
	})
}

func TestCreateBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := &fakeLog{backup: func() (eventlog.Backup, error) {
		return eventlog.Backup{
			Bounds:  eventlog.Bounds{Start: eventlog.Position{Sequence: 3}, Head: eventlog.Position{Sequence: 9, Log: eventlog.LogID{1}}},
			Records: 6, Bytes: 1234,
		}, nil
	}}
	s := serviceOn(log, dir)
	answer, err := s.CreateBackup(t.Context(), &wabastreamv1.CreateBackupRequest{BackupId: "nightly-2026.01_31"})
	require.NoError(t, err)
	backup := answer.GetBackup()
	require.Equal(t, "nightly-2026.01_31", backup.GetBackupId())
	require.Equal(t, filepath.Join(dir, "nightly-2026.01_31"), backup.GetPath())
	require.Equal(t, []string{backup.GetPath()}, log.dirs)
	require.Equal(t, "0100000000000000", backup.GetLogId())
	require.Equal(t, "cursor 3", backup.GetEarliestCursor())
	require.Equal(t, "cursor 9", backup.GetHeadCursor())
	require.Equal(t, uint64(6), backup.GetEventCount())
	require.Equal(t, uint64(1234), backup.GetSizeBytes())
	require.Equal(t, "2026-02-01T00:59:59Z", backup.GetCreateTime().AsTime().Format(time.RFC3339))

	answer, err = s.CreateBackup(t.Context(), &wabastreamv1.CreateBackupRequest{})
	require.NoError(t, err)
	require.Equal(t, "20260201-005959", answer.GetBackup().GetBackupId(), "the clock, in UTC")
}

// TestIDsStayInTheFolder: no id leads out of the folder, or to a backup that is
// not whole yet.
func TestIDsStayInTheFolder(t *testing.T) {
	t.Parallel()
	log := &fakeLog{}
	s := serviceOn(log, t.TempDir())
	for _, id := range []string{".", "..", "../x", "a/b", `a\b`, ".incomplete-a", "-a", "A", "ä", "a b", "a\n", "a\x00", strings.Repeat("a", 65)} {
		_, err := s.CreateBackup(t.Context(), &wabastreamv1.CreateBackupRequest{BackupId: id})
		requireReason(t, err, codes.InvalidArgument, "REQUEST_INVALID")
	}
	require.Empty(t, log.dirs)
}

func requireReason(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	st := status.Convert(err)
	require.Equal(t, code, st.Code(), st.Message())
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			require.Equal(t, "wabastream", info.GetDomain())
			require.Equal(t, reason, info.GetReason())
			return
		}
	}
	require.Empty(t, reason, "no reason")
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		code   codes.Code
		reason string
	}{
		"exists":    {fmt.Errorf("x: %w", fs.ErrExist), codes.AlreadyExists, "BACKUP_EXISTS"},
		"full":      {fmt.Errorf("x: %w", eventlog.ErrFull), codes.ResourceExhausted, "DISK_FULL"},
		"closed":    {eventlog.ErrClosed, codes.Unavailable, "LOG_UNAVAILABLE"},
		"failed":    {eventlog.ErrFailed, codes.Unavailable, "LOG_UNAVAILABLE"},
		"cancelled": {context.Canceled, codes.Canceled, ""},
		"other":     {errors.New("secret path"), codes.Internal, "INTERNAL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serviceOn(&fakeLog{backup: func() (eventlog.Backup, error) { return eventlog.Backup{}, c.err }}, t.TempDir())
			_, err := s.CreateBackup(t.Context(), &wabastreamv1.CreateBackupRequest{})
			requireReason(t, err, c.code, c.reason)
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestOneBackupAtATime(t *testing.T) {
	t.Parallel()
	begun, end := make(chan struct{}), make(chan struct{})
	s := serviceOn(&fakeLog{backup: func() (eventlog.Backup, error) {
		close(begun)
		<-end
		return eventlog.Backup{}, nil
	}}, t.TempDir())
	first := make(chan error)
	go func() {
		_, err := s.CreateBackup(t.Context(), &wabastreamv1.CreateBackupRequest{BackupId: "a"})
		first <- err
	}()
	<-begun
	_, err := s.CreateBackup(t.Context(), &wabastreamv1.CreateBackupRequest{BackupId: "b"})
	requireReason(t, err, codes.Aborted, "BACKUP_IN_PROGRESS")
	close(end)
	require.NoError(t, <-first)
}

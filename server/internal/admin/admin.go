// Package admin serves whoever operates the server: AdminService of the contract.
//
// It guarantees that a backup is answered only when it is whole and durable, that
// a client names a backup and never a path on the server, that one backup is made at
// a time, and that a callback leaves the quarantine only once its events are durable.
//
// It does not authenticate, does not remove old backups, and does not restore: a
// server is started on the copy for that.
package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Log is what is operated on.
type Log interface {
	// Backup copies the log into a new folder and returns when the copy is
	// durable. It holds every record acknowledged before the call. An error
	// leaves no folder. Errors: one that matches ErrNoBackups, fs.ErrExist,
	// eventlog.ErrFull, eventlog.ErrClosed, eventlog.ErrFailed, or the context's.
	Backup(ctx context.Context, dir string) (eventlog.Backup, error)
}

// ErrNoBackups says that the log is not kept here, so that no copy is made of it here.
// What else its error says is for clients.
var ErrNoBackups = errors.New("this server makes no backups")

// Config is what a Service is made of.
type Config struct {
	// Log is operated on; required.
	Log Log
	// BackupDir is the folder that backups are made in; required. It need not
	// exist.
	BackupDir string
	// Cursor is how clients name a position; required.
	Cursor func(eventlog.Position) string
	// Quarantine holds the callbacks that no event could be made of; required.
	Quarantine Quarantine
	// Reinject does with a source's callback what is done with one that was posted,
	// and returns once its events are durable; required. Errors match
	// quarantine.ErrUnreadable, whose text is for clients, quarantine.ErrNoSource,
	// those of eventlog.Log.Append, or the context's.
	Reinject func(ctx context.Context, source string, body []byte) (Reinjected, error)
	// Subscriptions are the streams that are open; required.
	Subscriptions Subscriptions
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Logger receives what operators should know; nil discards it.
	Logger *slog.Logger
}

// Service implements AdminService. Its methods are safe for concurrent use.
type Service struct {
	wabastreamv1.UnimplementedAdminServiceServer

	config      Config
	validID     *regexp.Regexp
	underway    sync.Mutex    // held while a backup is made
	reinjecting chan struct{} // full while a callback is put in again
}

var _ wabastreamv1.AdminServiceServer = (*Service)(nil)

// New makes a service. Register it with Register.
func New(config Config) *Service {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{
		config:      config,
		validID:     regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`),
		reinjecting: make(chan struct{}, 1),
	}
}

// Register adds the service to a server.
func (s *Service) Register(server grpc.ServiceRegistrar) {
	wabastreamv1.RegisterAdminServiceServer(server, s)
}

// CreateBackup implements AdminService.
func (s *Service) CreateBackup(ctx context.Context, req *wabastreamv1.CreateBackupRequest) (*wabastreamv1.CreateBackupResponse, error) {
	id := req.GetBackupId()
	if id == "" {
		id = s.config.Now().UTC().Format("20060102-150405")
	}
	if !s.validID.MatchString(id) {
		return nil, invalidID(id)
	}
	if !s.underway.TryLock() {
		return nil, inProgress()
	}
	defer s.underway.Unlock()
	path, err := filepath.Abs(filepath.Join(s.config.BackupDir, id))
	if err != nil {
		return nil, s.failed(id, fmt.Errorf("find the folder for backups: %w", err))
	}
	begun := s.config.Now()
	made, err := s.config.Log.Backup(ctx, path)
	if errors.Is(err, fs.ErrExist) {
		return nil, exists(id)
	}
	if err != nil {
		return nil, s.failed(id, err)
	}
	now := s.config.Now()
	s.config.Logger.Info("backup made", "path", path, "events", made.Records, "bytes", made.Bytes, "took", now.Sub(begun))
	return &wabastreamv1.CreateBackupResponse{Backup: &wabastreamv1.Backup{
		BackupId:       id,
		Path:           path,
		LogId:          made.Bounds.Head.Log.String(),
		EarliestCursor: s.config.Cursor(made.Bounds.Start),
		HeadCursor:     s.config.Cursor(made.Bounds.Head),
		EventCount:     made.Records,
		SizeBytes:      made.Bytes,
		CreateTime:     timestamppb.New(now),
	}}, nil
}

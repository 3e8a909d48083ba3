package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/wabastream/wabastream/server/internal/apierror"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/quarantine"
)

// The reasons that errors carry: part of the contract.
const (
	reasonRequestInvalid   = "REQUEST_INVALID"
	reasonBackupExists     = "BACKUP_EXISTS"
	reasonBackupInProgress = "BACKUP_IN_PROGRESS"
	reasonNoBackups        = "BACKUP_NOT_SUPPORTED"
	reasonDiskFull         = "DISK_FULL"
	reasonLogUnavailable   = "LOG_UNAVAILABLE"
	reasonInternal         = "INTERNAL"

	reasonQuarantinedNotFound = "QUARANTINED_NOT_FOUND"
	reasonCallbackUnreadable  = "CALLBACK_UNREADABLE"
	reasonSourceNotConfigured = "SOURCE_NOT_CONFIGURED"
	reasonRawJSONNotAllowed   = "RAW_JSON_NOT_ALLOWED" // as of subscriptions

	retryDelay = 5 * time.Second
)

func invalidID(id string) error {
	const want = `want 1 to 64 of a-z, 0-9, ".", "_" and "-", the first a letter or digit`
	return invalid("backup_id", fmt.Sprintf("%.64q: %s", id, want))
}

// bodiesNotAllowed: nobody knows what is in a callback that could not be read, so that
// it cannot be shown in part.
func bodiesNotAllowed() error {
	return apierror.New(codes.PermissionDenied, reasonRawJSONNotAllowed, "include_body: a quarantined callback may name any account and person; "+
		"the caller's grant lacks raw_json, all accounts (unattributed too) or all types: list without bodies, or widen the grant")
}

func invalid(field, problem string) error {
	return apierror.Invalid(reasonRequestInvalid, field, problem)
}

func exists(id string) error {
	return apierror.New(codes.AlreadyExists, reasonBackupExists,
		fmt.Sprintf("there is something named %q in the folder for backups: choose another id", id))
}

func inProgress() error {
	return apierror.New(codes.Aborted, reasonBackupInProgress, "another backup is being made: call again when it is done",
		&errdetails.RetryInfo{RetryDelay: durationpb.New(retryDelay)})
}

// failed answers for a backup that was not made. What only the operator of the
// server can mend is logged here; the client is told to look there.
func (s *Service) failed(id string, err error) error {
	if passing := passingError(err); passing != nil {
		return passing
	}
	if errors.Is(err, ErrNoBackups) {
		return apierror.New(codes.FailedPrecondition, reasonNoBackups, err.Error())
	}
	s.config.Logger.Error("backup failed", "backup_id", id, "error", err)
	if errors.Is(err, eventlog.ErrFull) {
		return apierror.New(codes.ResourceExhausted, reasonDiskFull,
			"the server's disk has too little room for a backup: free some, or see min_free_bytes and backup_dir; the server's log has the figures")
	}
	return apierror.New(codes.Internal, reasonInternal, "backup failed: internal error, see the server's log")
}

// passingError answers for what has nothing to do with what was asked for; nil is
// none of these.
func passingError(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return status.FromContextError(context.Canceled).Err()
	case errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(context.DeadlineExceeded).Err()
	case errors.Is(err, eventlog.ErrClosed), errors.Is(err, eventlog.ErrFailed), errors.Is(err, eventlog.ErrUnavailable):
		return apierror.New(codes.Unavailable, reasonLogUnavailable, "the log is not available; call again",
			&errdetails.RetryInfo{RetryDelay: durationpb.New(retryDelay)})
	}
	return nil
}

func isNotFound(err error) bool { return errors.Is(err, quarantine.ErrNotFound) }

// reinjectError answers for a callback that stays in the quarantine, or is not there.
func (s *Service) reinjectError(id string, err error) error {
	if passing := passingError(err); passing != nil {
		return passing
	}
	switch {
	case isNotFound(err):
		return apierror.New(codes.NotFound, reasonQuarantinedNotFound,
			fmt.Sprintf("quarantine_id %.64q: no such callback is held: it was put in again, or made room for newer ones", id))
	case errors.Is(err, quarantine.ErrUnreadable):
		return apierror.New(codes.InvalidArgument, reasonCallbackUnreadable, err.Error())
	case errors.Is(err, quarantine.ErrNoSource):
		return apierror.New(codes.FailedPrecondition, reasonSourceNotConfigured,
			"the callback's source is not configured any more: add it, under the name that ListQuarantined shows, and call again")
	}
	s.config.Logger.Error("callback in the quarantine failed", "quarantine_id", id, "error", err)
	if errors.Is(err, eventlog.ErrFull) {
		return apierror.New(codes.ResourceExhausted, reasonDiskFull,
			"the server's disk has too little room: free some, or see min_free_bytes; the server's log has the figures")
	}
	return internalError()
}

// internalError answers for what only the operator can mend, once that was logged.
func internalError() error {
	return apierror.New(codes.Internal, reasonInternal, "internal error, see the server's log")
}

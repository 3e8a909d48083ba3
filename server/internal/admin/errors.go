package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// The reasons that errors carry: part of the contract.
const (
	errorDomain            = "wabastream"
	reasonRequestInvalid   = "REQUEST_INVALID"
	reasonBackupExists     = "BACKUP_EXISTS"
	reasonBackupInProgress = "BACKUP_IN_PROGRESS"
	reasonDiskFull         = "DISK_FULL"
	reasonLogUnavailable   = "LOG_UNAVAILABLE"
	reasonInternal         = "INTERNAL"

	retryDelay = 5 * time.Second
)

func statusError(code codes.Code, reason, message string, details ...protoadapt.MessageV1) error {
	st := status.New(code, message)
	info := &errdetails.ErrorInfo{Reason: reason, Domain: errorDomain}
	withDetails, err := st.WithDetails(append([]protoadapt.MessageV1{info}, details...)...)
	if err != nil {
		return st.Err()
	}
	return withDetails.Err()
}

func invalidID(id string) error {
	const want = `want 1 to 64 of a-z, 0-9, ".", "_" and "-", the first a letter or digit`
	message := fmt.Sprintf("backup_id %.64q: %s", id, want)
	return statusError(codes.InvalidArgument, reasonRequestInvalid, message, &errdetails.BadRequest{
		FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "backup_id", Description: want, Reason: reasonRequestInvalid}},
	})
}

func exists(id string) error {
	return statusError(codes.AlreadyExists, reasonBackupExists,
		fmt.Sprintf("there is something named %q in the folder for backups: choose another id", id))
}

func inProgress() error {
	return statusError(codes.Aborted, reasonBackupInProgress, "another backup is being made: call again when it is done",
		&errdetails.RetryInfo{RetryDelay: durationpb.New(retryDelay)})
}

// failed answers for a backup that was not made. What only the operator of the
// server can mend is logged here; the client is told to look there.
func (s *Service) failed(id string, err error) error {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	case errors.Is(err, eventlog.ErrClosed), errors.Is(err, eventlog.ErrFailed):
		return statusError(codes.Unavailable, reasonLogUnavailable, "the log is not available; call again",
			&errdetails.RetryInfo{RetryDelay: durationpb.New(retryDelay)})
	}
	s.config.Logger.Error("backup failed", "backup_id", id, "error", err)
	if errors.Is(err, eventlog.ErrFull) {
		return statusError(codes.ResourceExhausted, reasonDiskFull,
			"the server's disk has too little room for a backup: free some, or see min_free_bytes and backup_dir; the server's log has the figures")
	}
	return statusError(codes.Internal, reasonInternal, "backup failed: internal error, see the server's log")
}

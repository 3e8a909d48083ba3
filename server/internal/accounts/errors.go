package accounts

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/apierror"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// The reasons that errors carry: part of the contract.
const (
	reasonRequestInvalid  = "REQUEST_INVALID"
	reasonCursorMalformed = "CURSOR_MALFORMED"
	reasonCursorExpired   = "CURSOR_EXPIRED"
	reasonCursorAhead     = "CURSOR_AHEAD_OF_LOG"
	reasonCursorMismatch  = "CURSOR_LOG_MISMATCH"
	reasonNodeBehind      = "NODE_BEHIND"
	reasonAccountNotFound = "ACCOUNT_NOT_FOUND"
	reasonGrantChanged    = "GRANT_CHANGED"
	reasonDraining        = "DRAINING"
	reasonMaxStreamAge    = "MAX_STREAM_AGE"
	reasonLogUnavailable  = "LOG_UNAVAILABLE"
	reasonInternal        = "INTERNAL"

	reasonWABANotAllowed         = "WABA_NOT_ALLOWED"
	reasonTypeNotAllowed         = "TYPE_NOT_ALLOWED"
	reasonPersonalDataNotAllowed = "PERSONAL_DATA_NOT_ALLOWED"
	reasonCredentialsMissing     = "CREDENTIALS_MISSING"
	reasonCredentialsInvalid     = "CREDENTIALS_INVALID"
	reasonCredentialsExpired     = "CREDENTIALS_EXPIRED"

	reconnectDelay = 100 * time.Millisecond // about as long as the next process takes to be there
	retryDelay     = 5 * time.Second
	maxQuotedValue = 64
)

// notAllowed refuses what a request names. It says nothing of whether it exists.
func notAllowed(reason, field, problem string) error {
	return apierror.New(codes.PermissionDenied, reason, field+": "+problem)
}

func wabaNotAllowed(field, waba string) error {
	return notAllowed(reasonWABANotAllowed, field, fmt.Sprintf("%q: not granted to this caller", shorten(waba)))
}

func accountNotFound(waba string) error {
	return apierror.New(codes.NotFound, reasonAccountNotFound, fmt.Sprintf("no event has named account %q: ListAccounts has those that were named", shorten(waba)))
}

func retryAfter(d time.Duration) *errdetails.RetryInfo {
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(d)}
}

// cursorError answers for a cursor that the log refused.
func (s *Service) cursorError(field string, err error) error {
	switch {
	case errors.Is(err, eventlog.ErrTrimmed):
		return expired(field)
	case errors.Is(err, eventlog.ErrAhead):
		return apierror.New(codes.OutOfRange, reasonCursorAhead,
			field+": the cursor is ahead of the log's newest event: the log was restored from an older copy; begin anew without one")
	case errors.Is(err, eventlog.ErrOtherLog):
		return apierror.New(codes.FailedPrecondition, reasonCursorMismatch, field+": the cursor comes from another log; begin anew without one")
	case errors.Is(err, eventlog.ErrDiverged):
		return apierror.New(codes.FailedPrecondition, reasonCursorMismatch,
			field+": the log holds another event at the cursor: it was restored from a copy and went on differently; begin anew without one")
	}
	return s.failed(err)
}

func expired(field string) error {
	return apierror.New(codes.OutOfRange, reasonCursorExpired, field+": retention has removed changes after the cursor; begin anew without one")
}

// failed is the one place where what the log answers becomes a status; one that is a
// status stays. What only the operator can mend is logged here; the client is told to
// look there.
func (s *Service) failed(err error) error {
	if _, isStatus := status.FromError(err); isStatus {
		return err
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	case errors.Is(err, eventlog.ErrClosed), errors.Is(err, eventlog.ErrFailed):
		return apierror.New(codes.Unavailable, reasonLogUnavailable, "the log is not available; call again", retryAfter(retryDelay))
	}
	s.config.Logger.Error("reading the state of accounts", "error", err)
	return apierror.New(codes.Internal, reasonInternal, "internal error, see the server's log")
}

// unauthenticated answers a caller that is not let in, or not any more.
func unauthenticated(err error) error {
	reason, message := reasonCredentialsInvalid, "the credentials are not known, or not any more"
	switch {
	case errors.Is(err, access.ErrMissing):
		reason, message = reasonCredentialsMissing, "the call carries no credentials"
	case errors.Is(err, access.ErrExpired):
		reason, message = reasonCredentialsExpired, "the credentials have expired; call again with new ones"
	}
	return apierror.New(codes.Unauthenticated, reason, message)
}

// reasonOf returns the reason that an error of statusError carries.
func reasonOf(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// shorten bounds what of a request is repeated in an error.
func shorten(s string) string {
	if len(s) <= maxQuotedValue {
		return s
	}
	return strings.ToValidUTF8(s[:maxQuotedValue], "") + "…"
}

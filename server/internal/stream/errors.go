package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/wabastream/wabastream/server/internal/apierror"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// The reasons that errors carry: part of the contract.
const (
	reasonCursorExpired   = "CURSOR_EXPIRED"
	reasonCursorAhead     = "CURSOR_AHEAD_OF_LOG"
	reasonCursorMismatch  = "CURSOR_LOG_MISMATCH"
	reasonCursorMalformed = "CURSOR_MALFORMED"
	reasonFilterInvalid   = "FILTER_INVALID"
	reasonRequestInvalid  = "REQUEST_INVALID"
	reasonEventNotFound   = "EVENT_NOT_FOUND"
	reasonLogCorrupt      = "LOG_CORRUPT"
	reasonLogUnavailable  = "LOG_UNAVAILABLE"
	reasonDraining        = "DRAINING"
	reasonMaxStreamAge    = "MAX_STREAM_AGE"
	reasonStreamLimit     = "STREAM_LIMIT"
	reasonOverloaded      = "OVERLOADED"
	reasonInternal        = "INTERNAL"

	reasonCredentialsMissing = "CREDENTIALS_MISSING"
	reasonCredentialsInvalid = "CREDENTIALS_INVALID"
	reasonCredentialsExpired = "CREDENTIALS_EXPIRED"
	reasonWABANotAllowed     = "WABA_NOT_ALLOWED"
	reasonTypeNotAllowed     = "TYPE_NOT_ALLOWED"
	reasonRawJSONNotAllowed  = "RAW_JSON_NOT_ALLOWED"

	reconnectDelay        = 100 * time.Millisecond // about as long as the next process takes to be there
	unavailableRetryDelay = 5 * time.Second
	maxQuotedValue        = 64
)

func malformedCursor(field string) error {
	return apierror.Invalid(reasonCursorMalformed, field,
		"not a cursor of this service; pass the cursor of a frame or event exactly as it was received")
}

func eventNotFound(id string) error {
	return apierror.WithMetadata(codes.NotFound, reasonEventNotFound,
		fmt.Sprintf("no event with id %q in the log", shorten(id)), map[string]string{"id": shorten(id)})
}

// ending is how a stream ends that its client is told of by a closing frame.
type ending struct {
	status error
	// delay is how long the client is to wait before it calls again; nil if calling
	// again as it did is of no use.
	delay *durationpb.Duration
}

// Error makes it an error, or the cause that a stream's context ends with.
func (e ending) Error() string { return e.status.Error() }

// planned ends a stream that nothing is wrong with.
func planned(reason, message string, delay time.Duration) ending {
	wait := durationpb.New(delay)
	return ending{apierror.WithMetadata(codes.Unavailable, reason, message+"; call again with after_cursor = the last cursor received", nil,
		&errdetails.RetryInfo{RetryDelay: wait}), wait}
}

func draining() ending {
	return planned(reasonDraining, "the server is shutting down", reconnectDelay)
}

// aged streams may come back at once.
func aged() ending {
	return planned(reasonMaxStreamAge, "the stream has reached the greatest age that the server allows", 0)
}

// cursorErrorIn answers for a position that Check refused. The bounds tell the
// client where it can go on.
func (s *Service) cursorErrorIn(bounds eventlog.Bounds, err error, field string, p eventlog.Position, matcher *eventlog.Matcher) error {
	switch {
	case errors.Is(err, eventlog.ErrTrimmed):
		return expired(p, bounds, matcher)
	case errors.Is(err, eventlog.ErrAhead):
		return apierror.WithMetadata(codes.OutOfRange, reasonCursorAhead,
			field+": the cursor is ahead of the log's newest event: the log was restored from an older copy",
			map[string]string{"head_cursor": cursorOf(bounds.Head), "earliest_cursor": earliestCursor(bounds, matcher, bounds.Start)})
	case errors.Is(err, eventlog.ErrOtherLog):
		return mismatch(field+": the cursor comes from another log", p, bounds, matcher)
	case errors.Is(err, eventlog.ErrDiverged):
		return mismatch(field+": the log holds another event at the cursor: it was restored from a copy and went on differently", p, bounds, matcher)
	default:
		return s.logError(err)
	}
}

// expired answers a reader of which retention has removed events after the
// position that the filter may select.
func expired(p eventlog.Position, bounds eventlog.Bounds, matcher *eventlog.Matcher) error {
	what, metadata := lost(p, bounds, matcher)
	return apierror.WithMetadata(codes.OutOfRange, reasonCursorExpired,
		what+" after the cursor were removed by retention; to receive what is still held start after earliest_cursor, "+
			"or set expired_cursor_policy to EXPIRED_CURSOR_POLICY_CONTINUE_WITH_GAP", metadata)
}

// expiredPage is the same for a list, which has no policy.
func expiredPage(p eventlog.Position, bounds eventlog.Bounds, matcher *eventlog.Matcher) error {
	what, metadata := lost(p, bounds, matcher)
	return apierror.WithMetadata(codes.OutOfRange, reasonCursorExpired,
		what+" after the page were removed by retention; to receive what is still held list with after_cursor = earliest_cursor", metadata)
}

// lost says which events after the position are gone, and where to go on.
func lost(p eventlog.Position, bounds eventlog.Bounds, matcher *eventlog.Matcher) (what string, metadata map[string]string) {
	metadata = map[string]string{
		"cursor":          cursorOf(p),
		"earliest_cursor": earliestCursor(bounds, matcher, p),
		"complete_cursor": cursorOf(bounds.StartFor(matcher)),
	}
	if p.Sequence < bounds.Start.Sequence {
		return "events", metadata
	}
	var paths []string
	for _, t := range typeTrimsAfter(p, bounds, matcher) {
		paths = append(paths, t.Path)
	}
	metadata["types"] = strings.Join(paths, ",")
	return "events of type " + strings.Join(paths, ", "), metadata
}

func mismatch(message string, p eventlog.Position, bounds eventlog.Bounds, matcher *eventlog.Matcher) error {
	return apierror.WithMetadata(codes.FailedPrecondition, reasonCursorMismatch,
		message+"; resume with after_event_id, or start at EARLIEST",
		map[string]string{"cursor_log_id": p.Log.String(), "log_id": bounds.Head.Log.String(), "earliest_cursor": earliestCursor(bounds, matcher, bounds.Start)})
}

// logError is the one place where what the log answers becomes a status. What
// only the operator can mend is logged here; the client is told to look there.
func (s *Service) logError(err error) error { return s.readError(err, cursorOf) }

// readError is logError for a reader with cursors of its own.
func (s *Service) readError(err error, cursor func(eventlog.Position) string) error {
	if corrupt, ok := errors.AsType[*eventlog.CorruptError](err); ok {
		s.logger.Error("reading the log", "error", err)
		return s.corrupt(corrupt, cursor)
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	case errors.Is(err, eventlog.ErrClosed), errors.Is(err, eventlog.ErrFailed), errors.Is(err, eventlog.ErrUnavailable):
		return logUnavailable()
	default:
		s.logger.Error("reading the log", "error", err)
		return apierror.WithMetadata(codes.Internal, reasonInternal, "reading the log: internal error, see the server's log", nil)
	}
}

func logUnavailable() error {
	return apierror.WithMetadata(codes.Unavailable, reasonLogUnavailable, "the log is not available; call again", nil,
		&errdetails.RetryInfo{RetryDelay: durationpb.New(unavailableRetryDelay)})
}

// corrupt tells which events cannot be read and where to go on: the position of
// a record that cannot be read passes every check.
func (s *Service) corrupt(err *eventlog.CorruptError, cursor func(eventlog.Position) string) error {
	metadata := map[string]string{
		"first_sequence": strconv.FormatUint(uint64(err.First), 10),
		"last_sequence":  strconv.FormatUint(uint64(err.Last), 10),
	}
	if bounds, err2 := s.log.Bounds(context.Background()); err2 == nil {
		metadata["continue_cursor"] = cursor(eventlog.Position{Log: bounds.Head.Log, Sequence: err.Last})
	}
	return apierror.WithMetadata(codes.DataLoss, reasonLogCorrupt,
		fmt.Sprintf("events %d to %d cannot be read; the rest of the log can: go on after continue_cursor", err.First, err.Last), metadata)
}

// reasonOf returns the reason an error carries, for metrics.
func reasonOf(err error) string {
	if err == nil {
		return "OK"
	}
	st := status.Convert(err)
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return st.Code().String()
}

// shorten bounds what of a request is repeated in an error.
func shorten(s string) string {
	if len(s) <= maxQuotedValue {
		return s
	}
	return strings.ToValidUTF8(s[:maxQuotedValue], "") + "…"
}

package client

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Reasons that callers commonly branch on. The server has more; each names one
// condition and never changes its meaning.
const (
	// ReasonCursorExpired: retention removed events after the cursor that the
	// filters may select: all, or those of the types in Metadata["types"]. Start
	// again after Metadata["earliest_cursor"], which receives what is still held
	// and was not received yet, or ask for CONTINUE_WITH_GAP.
	ReasonCursorExpired = "CURSOR_EXPIRED"
	// ReasonCursorLogMismatch: the cursor belongs to another log: the server's
	// store was replaced or restored.
	ReasonCursorLogMismatch = "CURSOR_LOG_MISMATCH"
	// ReasonCursorAheadOfLog: the server's log ends before the cursor.
	ReasonCursorAheadOfLog = "CURSOR_AHEAD_OF_LOG"
	// ReasonCursorMalformed: what was given is no cursor.
	ReasonCursorMalformed = "CURSOR_MALFORMED"
	// ReasonEventNotFound: no such event in the log.
	ReasonEventNotFound = "EVENT_NOT_FOUND"
	// ReasonStreamLimit: the caller has as many streams as it may have.
	ReasonStreamLimit = "STREAM_LIMIT"
	// ReasonGrantChanged: a watch of accounts began before the caller was allowed more or
	// less than it was then.
	ReasonGrantChanged = "GRANT_CHANGED"
	// ReasonCredentialsExpired: the token has expired.
	ReasonCredentialsExpired = "CREDENTIALS_EXPIRED"

	// ReasonProtocolViolation: made by this package when a server breaks the
	// contract, such as by sending an event again. Going on could lose events.
	ReasonProtocolViolation = "PROTOCOL_VIOLATION"
	// ReasonStreamSilent: made by this package; seen by observers only. Nothing
	// came for three heartbeat intervals.
	ReasonStreamSilent = "STREAM_SILENT"
	// ReasonStreamEnded: made by this package; seen by observers only. A stream
	// without a stop ended as if it had one.
	ReasonStreamEnded = "STREAM_ENDED"
	// ReasonNoTLS: made by this package. TLS was begun and what answered was not
	// TLS. Use [WithInsecure] if the network protects the connection.
	ReasonNoTLS = "NO_TLS"
)

const (
	errorDomain = "wabastream"
	// noHandshake is crypto/tls's text of that condition. A status has no more of
	// it than the text.
	noHandshake = "first record does not look like a TLS handshake"
)

// Error is the end of a stream as a status. Find it with errors.As, or match it
// with errors.Is:
//
//	errors.Is(err, &client.Error{Reason: client.ReasonCursorExpired})
type Error struct {
	// Code is the gRPC code.
	Code codes.Code
	// Reason names the condition in upper case; empty when the error is not of
	// a wabastream server but of something in between.
	Reason string
	// Message is for people.
	Message string
	// Metadata is detail by name, such as "earliest_cursor"; may be nil.
	Metadata map[string]string

	status     *status.Status
	retryDelay time.Duration
}

// Error returns code, reason and message.
func (e *Error) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("%s: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("%s (%s): %s", e.Code, e.Reason, e.Message)
}

// Is reports whether target is an *Error whose Code and Reason, as far as they
// are set, are those of e.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && (t.Code != codes.OK || t.Reason != "") &&
		(t.Code == codes.OK || t.Code == e.Code) &&
		(t.Reason == "" || t.Reason == e.Reason)
}

// GRPCStatus returns the status as received, with all its details, so that
// status.FromError and status.Code work on e.
func (e *Error) GRPCStatus() *status.Status {
	if e.status == nil {
		return status.New(e.Code, e.Message)
	}
	return e.status
}

// ErrorOf turns the error of a call of [Client.API] into an *Error, so that it can be
// told by its reason. nil stays nil.
func ErrorOf(err error) *Error {
	if err == nil {
		return nil
	}
	return errorOf(err)
}

// errorOf turns the error of a call into an *Error.
func errorOf(err error) *Error {
	s := status.Convert(err)
	e := &Error{Code: s.Code(), Message: s.Message(), status: s}
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() == errorDomain {
				e.Reason, e.Metadata = d.GetReason(), d.GetMetadata()
			}
		case *errdetails.RetryInfo:
			e.retryDelay = d.GetRetryDelay().AsDuration()
		}
	}
	if e.Code == codes.Unavailable && e.Reason == "" && strings.Contains(e.Message, noHandshake) {
		e.Reason = ReasonNoTLS
		e.Message = "the server there speaks no TLS: use WithInsecure if the network is safe"
	}
	return e
}

func violation(format string, args ...any) *Error {
	return &Error{
		Code:    codes.Internal,
		Reason:  ReasonProtocolViolation,
		Message: "the server broke the contract: " + fmt.Sprintf(format, args...),
	}
}

// GapError reports events that retention removed before they could be read. It
// comes only where the request's expired_cursor_policy is CONTINUE_WITH_GAP, and
// the iteration continues with what is still held. A subscription that is lost
// inside a gap of some types is told of the rest of it again.
type GapError struct {
	// From is the last cursor before the gap.
	From string
	// To is the cursor behind which nothing is missing on account of this gap. It
	// is no place to resume from: events of other types may come before it.
	To string
	// Types are the types of which events between the two are gone, each a path
	// that stands for everything below it; events of other types between them
	// follow. Empty: every event between the two is gone.
	Types []string
}

// Error names what is gone and both ends.
func (e *GapError) Error() string {
	what := "events"
	if len(e.Types) > 0 {
		what += " of type " + strings.Join(e.Types, ", ")
	}
	return fmt.Sprintf("%s after cursor %s and up to cursor %s were removed before they could be read", what, e.From, e.To)
}

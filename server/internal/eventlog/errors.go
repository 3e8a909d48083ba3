package eventlog

import (
	"errors"
	"fmt"
)

// Conditions that callers branch on. Backends wrap them with detail.
var (
	// ErrClosed: the log was closed.
	ErrClosed = errors.New("log is closed")
	// ErrFailed: the log failed for good and must be opened anew.
	ErrFailed = errors.New("log has failed")
	// ErrFull: no room; nothing was stored; try later.
	ErrFull = errors.New("log is full")
	// ErrTooLarge: a record or an append is over its limit; it can never be
	// stored.
	ErrTooLarge = errors.New("record is too large")
	// ErrNotFound: no such record.
	ErrNotFound = errors.New("record not found")
	// ErrTrimmed: records after the position were removed by retention.
	ErrTrimmed = errors.New("records after the position were trimmed")
	// ErrAhead: the position is beyond the durable head.
	ErrAhead = errors.New("position is ahead of the log")
	// ErrOtherLog: the position was handed out by a log with another id.
	ErrOtherLog = errors.New("position belongs to another log")
	// ErrUnprojected: the log keeps the state of a projection that was not named since
	// it was opened, so that nothing can be removed.
	ErrUnprojected = errors.New("the log keeps the state of an unknown projection")
	// ErrUnavailable: what the log is kept by does not answer, or this copy of it is too
	// far behind to answer; try later, or another copy.
	ErrUnavailable = errors.New("log is not available now")
	// ErrDiverged: the record at the position is not the one it was handed out
	// for: this store was restored from a copy and then took other records.
	ErrDiverged = errors.New("log differs at the position")
)

// CorruptError reports records that cannot be read. Records outside the range
// stay readable: continue after Last to pass over it.
type CorruptError struct {
	// First and Last bound the unreadable range, inclusive.
	First, Last Sequence
	// Cause says what is wrong with it.
	Cause error
}

// Error names the range.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("records %d to %d are corrupt: %v", e.First, e.Last, e.Cause)
}

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Cause }

// Package translate turns a provider's authentic callbacks into typed events.
//
// It is pure: no I/O, no clock, no state. The same source and body always give
// the same events with the same ids. Every JSON text gives at least one event:
// what the contract has no message for becomes an unrecognized event that
// carries the JSON, so that nothing authentic is ever lost. Only a body that is
// not JSON is an error.
//
// It does not verify signatures, does not attribute numbers to accounts and
// does not recognise duplicates; it only makes the ids they are recognised by.
package translate

import (
	"errors"
	"time"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// Limits on what becomes typed; what is beyond them becomes unrecognized.
const (
	// MaxTextBytes bounds WABAID and BusinessPhone of an event.
	MaxTextBytes = 256
	// MaxEntries bounds the events that one callback's array becomes.
	MaxEntries = 4096
	// MaxDepth bounds the nesting of a body that is looked into.
	MaxDepth = 1000
	// MaxExpandedBytes bounds the raw JSON of all events of one callback: an
	// array whose entries each repeat a large rest is kept whole instead.
	MaxExpandedBytes = 8 << 20
)

// ErrNotJSON is matched by the error for a body that is not one JSON text.
var ErrNotJSON = errors.New("body is not JSON")

// Event is one logical event of a callback.
type Event struct {
	// ID is a hash of the source and the content.
	ID [20]byte
	// Type is the dotted path made by the contract's rule; never empty.
	Type string
	// Severity is the table's entry for Type.
	Severity wabastreamv1.Severity
	// WABAID is empty when the callback does not name the account.
	WABAID string
	// BusinessPhone is normalised; empty when the callback does not name it.
	BusinessPhone string
	// OccurTime is zero when the callback carries no time or one outside the
	// years 1970 to 9999.
	OccurTime time.Time
	// Timed says that the callback carries a provider time, parsed or not.
	Timed bool
	// Payload has only provider, phone_number_id, occur_time_text and the
	// payload arm set: every other field of the contract's Event is known from
	// the fields above or from the log.
	Payload *wabastreamv1.Event
	// Raw is the callback's JSON, reduced to this entry where it had several;
	// nil on an unrecognized event, whose payload holds it.
	Raw []byte
}

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
	// MaxTextBytes bounds WABAID and BusinessPhone of an event, and
	// phone_number_id and occur_time_text of its payload. A longer id is left
	// empty, a longer time is cut.
	MaxTextBytes = 256
	// MaxTypedBytes bounds the marshalled payload of a typed event, so that an
	// event is never much larger than the callback it came from.
	MaxTypedBytes = 64 << 10
	// MaxEntries bounds the events that one callback's array becomes, and the
	// restrictions of one event.
	MaxEntries = 4096
	// MaxDepth bounds the nesting of a body that becomes typed or is split. A
	// scalar has depth 0, an empty array 1.
	MaxDepth = 1000
	// MaxExpandedBytes bounds the raw JSON of all events of one callback: an
	// array whose entries each repeat a large rest is kept whole instead.
	MaxExpandedBytes = 8 << 20
	// maxExpansion bounds the same beside the size of the body: what is stored
	// must not be many times what was sent. Entries as the provider sends them
	// come to about three times.
	maxExpansion = 16
)

// ErrNotJSON is matched by the error for a body that is not one JSON text.
var ErrNotJSON = errors.New("body is not JSON")

// Event is one logical event of a callback.
type Event struct {
	// ID is a hash of the source and the content. The order of members, white
	// space and escapes in strings do not matter to it, except to a body nested
	// deeper than MaxDepth, where only white space does not.
	ID [20]byte
	// Type is the dotted path made by the contract's rule; never empty.
	Type string
	// Severity is the table's entry for Type.
	Severity wabastreamv1.Severity
	// WABAID is empty when the callback does not name the account.
	WABAID string
	// BusinessPhone is as sent; empty when the callback does not name it.
	BusinessPhone string
	// OccurTime is zero when the callback carries no time or one outside the
	// years 1970 to 9999.
	OccurTime time.Time
	// Timed says that the callback carries a provider time, parsed or not.
	Timed bool
	// Payload has only provider, phone_number_id, occur_time_text and the
	// payload arm set: every other field of the contract's Event is known from
	// the fields above or from the log. Its texts may share memory: one that is
	// kept keeps a copy of the whole body.
	Payload *wabastreamv1.Event
	// Raw is the callback's JSON, reduced to this entry where it had several;
	// nil on an unrecognized event, whose payload holds it. It may share memory
	// with the body.
	Raw []byte
}

// Callback returns the events of one callback of NXCloud, in the order of its
// array if it has one; at least one. source is the name of the source that the
// callback came to: the same content from two sources is two events.
//
// An error that matches ErrNotJSON says at which byte the body stops being JSON:
// RFC 8259 to the letter, in valid UTF-8, nested as deep as it likes. It quotes
// nothing of the body. The only other error is that for a body over 2 GiB.
//
// Work and memory grow with the size of the body, plus MaxExpandedBytes at most.
// Callback keeps no reference to the body other than in Event.Raw, and is safe
// for concurrent use.
func Callback(source string, body []byte) ([]Event, error) {
	doc, err := scan(body)
	if err != nil {
		return nil, err
	}
	c := newCallback(source, doc)
	if events := c.preferenceEvents(); events != nil {
		return events, nil
	}
	return []Event{c.whole()}, nil
}

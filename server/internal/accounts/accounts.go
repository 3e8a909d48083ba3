// Package accounts keeps the state of accounts: what events have told of bans, reviews,
// phone numbers and opt-outs, as it stands now; and which account a phone number belongs
// to. It is a fold of the log ([Projection]), kept by the log, and AccountService, which
// serves it.
//
// It guarantees that the state follows from the log alone: the same events give the
// same bytes, on every replica, after every crash and however often it is made again;
// that a late event changes no value; that a watch tells every change once, in log
// order; and that a caller sees what its grant has, of accounts, of values and of
// persons.
//
// It does not change the log, and it knows no clock but the log's: what expires is
// judged when it is asked for. What no event told of it does not know: a restriction
// without an end is taken to last, and one of unknown kind to be in nobody's way.
package accounts

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// Version is that of the fold. It goes up when the fold, or what it stores, changes:
// servers then make the state again.
const Version = 1

// Projection is the state of accounts as a fold of the log.
func Projection() eventlog.Projection {
	return eventlog.Projection{Name: "accounts", Version: Version, Fold: fold}
}

// CountedProjection is [Projection] with a metric of what comes late.
func CountedProjection(registerer prometheus.Registerer) (eventlog.Projection, error) {
	stale := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "wabastream_account_events_stale_total",
		Help: "Events that this process has folded into the state of accounts and that changed nothing of a value, or of what a person chose, because it is of a later event by the provider's times. What is folded again is not counted again.",
	})
	p := Projection()
	p.Late = func(records uint64) { stale.Add(float64(records)) }
	return p, registerer.Register(stale)
}

const (
	// maxAhead is how far after its receipt an event's time may lie. One that lies
	// further is a mistake, and would make every later event stale.
	maxAhead = 24 * time.Hour
	// maxRestrictions bounds the restrictions kept of an account, and
	// maxRestrictionBytes what they take.
	maxRestrictions     = 32
	maxRestrictionBytes = 64 << 10
)

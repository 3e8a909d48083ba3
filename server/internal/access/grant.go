// Package access decides who a caller is and what it may see.
//
// It guarantees that nobody gets in without a credential that verifies at that
// moment, that a grant holds no more than its file says, what a file does not
// mention being withheld, and that whoever is let in for long is told when its
// credential ends or its grant changes: a [Session] lives as long as a call.
//
// It does not know what an event is, nor which call needs which right: the stream
// applies grants, and the listeners ask.
package access

import "time"

// PersonalData is how much a caller sees of people: the users whom events name.
type PersonalData int

const (
	// PersonalDataNone leaves them out.
	PersonalDataNone PersonalData = iota
	// PersonalDataHashed puts pseudonyms in their place: the same for the same person,
	// and of no use to find out who that is without the server's key.
	PersonalDataHashed
	// PersonalDataFull shows them.
	PersonalDataFull
)

// Grant is what a consumer may see and do. The zero Grant is nothing.
type Grant struct {
	// AllWABAs grants the events of every account, WABAIDs those of some.
	AllWABAs bool
	WABAIDs  []string
	// Unattributed grants events of which no account is known.
	Unattributed bool
	// AllTypes grants events of every type, Types those of some: each a path that
	// stands for everything below it too.
	AllTypes bool
	Types    []string
	// RawJSON grants callbacks as they were received. It needs PersonalDataFull.
	RawJSON bool
	// PersonalData is how much is shown of people.
	PersonalData PersonalData
	// MaxStreams is how many subscriptions may be open at once; zero is the server's
	// bound for every caller.
	MaxStreams int
	// Operate grants AdminService, Metrics the server's metrics.
	Operate, Metrics bool
}

// ReadsCallbacks reports whether a whole callback may be shown, whatever accounts,
// types and people it names.
func (g Grant) ReadsCallbacks() bool {
	return g.AllWABAs && g.Unattributed && g.AllTypes && g.RawJSON && g.PersonalData == PersonalDataFull
}

// Everything is the grant of callers that a server lets in without asking who they
// are, as one does that is open to its own machine only.
func Everything() Grant {
	return Grant{
		AllWABAs: true, Unattributed: true, AllTypes: true, RawJSON: true,
		PersonalData: PersonalDataFull, Operate: true, Metrics: true,
	}
}

// Caller is who calls, and what it may.
type Caller struct {
	// Name is the consumer's, as configured; empty where the server asks nobody.
	Name string
	// Grant is what it may see and do.
	Grant Grant
	// ExpireTime is when its credential ends; zero is never.
	ExpireTime time.Time
}

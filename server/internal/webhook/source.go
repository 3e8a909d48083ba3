package webhook

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/translate"
)

// SourceStatus tells how fresh a source is.
type SourceStatus struct {
	// Name is the source's.
	Name string
	// LastCallback is when a callback was last answered 200; zero when none was
	// since the start.
	LastCallback time.Time
	// RejectedSignatures counts callbacks refused for their signature since the
	// start.
	RejectedSignatures uint64
}

// source is a Source made ready, and what happened to it.
type source struct {
	name                    string
	keys                    map[string]AccessKey
	allowUnsigned           bool
	tolerance               time.Duration
	maxBody                 int64
	discard                 *eventlog.Matcher // nil discards nothing
	numbers                 map[string]string
	horizon, untimedHorizon time.Duration
	allowance               allowance
	accepted                acceptedCounters

	lastCallback       atomic.Int64 // Unix nanoseconds; zero is never
	rejectedSignatures atomic.Uint64
	lines              lineLimits
}

// newSource expects a configuration that was validated.
func newSource(c Source) *source {
	s := &source{
		name:           c.Name,
		keys:           make(map[string]AccessKey, len(c.AccessKeys)),
		allowUnsigned:  c.AllowUnsigned,
		tolerance:      c.TimestampTolerance,
		maxBody:        cmp.Or(c.MaxBodyBytes, defaultBodyBytes),
		numbers:        make(map[string]string, len(c.Numbers)),
		horizon:        cmp.Or(c.DuplicateHorizon, defaultHorizon),
		untimedHorizon: cmp.Or(c.UntimedDuplicateHorizon, defaultUntimedHorizon),
		allowance:      newAllowance(c.Rate, c.Burst),
	}
	for _, k := range c.AccessKeys {
		s.keys[k.Key] = k
	}
	for number, waba := range c.Numbers {
		s.numbers[eventlog.NormalizePhone(number)] = waba
	}
	if len(c.Discard) > 0 {
		// The same matcher that subscribers' filters use: a path means the same
		// in both.
		s.discard = eventlog.NewMatcher([]eventlog.Filter{{Types: c.Discard}})
	}
	return s
}

// keep returns the events that are not discarded.
func (s *source) keep(events []translate.Event) []translate.Event {
	if s.discard == nil {
		return events
	}
	kept := make([]translate.Event, 0, len(events))
	for i := range events {
		if !s.discard.Match(&eventlog.Header{Type: events[i].Type}) {
			kept = append(kept, events[i])
		}
	}
	return kept
}

func (s *source) status() SourceStatus {
	status := SourceStatus{Name: s.name, RejectedSignatures: s.rejectedSignatures.Load()}
	if nanos := s.lastCallback.Load(); nanos != 0 {
		status.LastCallback = time.Unix(0, nanos)
	}
	return status
}

// lineLimits lets one log line a second through for each reason, so that no kind
// of refusal hides another, and counts the others. Reasons are few and fixed.
type lineLimits struct {
	mu     sync.Mutex
	limits map[string]*lineLimit // by reason; guarded by mu
}

func (l *lineLimits) next(reason string, now time.Time) (unlogged uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limits == nil {
		l.limits = make(map[string]*lineLimit)
	}
	limit := l.limits[reason]
	if limit == nil {
		limit = new(lineLimit)
		l.limits[reason] = limit
	}
	return limit.next(now)
}

// lineLimit is the limit of one reason; lineLimits guards it.
type lineLimit struct {
	last     time.Time
	unlogged uint64
}

// next reports whether a line may be written now, and how many were not since
// the last one.
func (l *lineLimit) next(now time.Time) (unlogged uint64, ok bool) {
	if since := now.Sub(l.last); 0 <= since && since < time.Second {
		l.unlogged++
		return 0, false
	}
	unlogged, l.unlogged, l.last = l.unlogged, 0, now
	return unlogged, true
}

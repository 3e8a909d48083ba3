package guarantees

import (
	"cmp"
	"slices"
	"sort"
	"time"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// ledger is the log of a history, made ready for looking things up.
type ledger struct {
	events []Receipt // in log order
	trims  []Trim
}

func newLedger(h *History) *ledger {
	l := &ledger{events: ReceiptsOf(h.Log), trims: h.Trims}
	slices.SortStableFunc(l.events, func(a, b Receipt) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return l
}

// at returns the event with the sequence, or nil.
func (l *ledger) at(sequence uint64) *Receipt {
	i := l.after(sequence - 1)
	if i == len(l.events) || l.events[i].Sequence != sequence {
		return nil
	}
	return &l.events[i]
}

// after returns the index of the first event after the sequence.
func (l *ledger) after(sequence uint64) int {
	return sort.Search(len(l.events), func(i int) bool { return l.events[i].Sequence > sequence })
}

// between returns the events after one sequence, up to and including another.
func (l *ledger) between(after, upTo uint64) []Receipt {
	from, to := l.after(after), l.after(upTo)
	return l.events[from:max(from, to)]
}

func (l *ledger) withID(id string) *Receipt {
	i := slices.IndexFunc(l.events, func(r Receipt) bool { return r.ID == id })
	if i < 0 {
		return nil
	}
	return &l.events[i]
}

// removed reports whether the event may have been removed on purpose.
func (l *ledger) removed(r *Receipt) bool {
	return slices.ContainsFunc(l.trims, func(t Trim) bool {
		return r.Sequence <= t.UpTo && (t.Path == "" || isAtOrBelow(r.Type, t.Path))
	})
}

// trimmedAfter reports whether something was removed after the sequence that the
// request can ask for.
func (l *ledger) trimmedAfter(sequence uint64, req *wabastreamv1.SubscribeRequest) bool {
	return slices.ContainsFunc(l.trims, func(t Trim) bool { return t.UpTo > sequence && maySelect(req, t.Path) })
}

// headAt returns the newest sequence that was stored by then.
func (l *ledger) headAt(t time.Time) uint64 {
	i := sort.Search(len(l.events), func(i int) bool { return l.events[i].ReceiveTime.After(t) })
	if i == 0 {
		return 0
	}
	return l.events[i-1].Sequence
}

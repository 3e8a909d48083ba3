package stream

import (
	"slices"
	"sort"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// maxIndexedAccounts is up to how many accounts are looked up in a block one by one;
// for more its headers are gone through.
const maxIndexedAccounts = 32

// selection is what a subscriber wants of the log.
type selection struct {
	matcher *eventlog.Matcher
	// accounts are those of which all that it wants is, "" standing for none; nil if
	// that is not so, or if they are many.
	accounts []string
}

func selectionOf(matcher *eventlog.Matcher) selection {
	s := selection{matcher: matcher}
	var accounts []string
	filters := matcher.Filters()
	for i := range filters {
		f := &filters[i]
		if !f.ByAccount() {
			return s
		}
		accounts = append(accounts, accountsBeyond(filters[:i], f)...)
		if f.Unattributed {
			accounts = append(accounts, "")
		}
	}
	slices.Sort(accounts)
	if accounts = slices.Compact(accounts); len(accounts) <= maxIndexedAccounts {
		s.accounts = accounts
	}
	return s
}

// everything says that nothing is left out.
func (s *selection) everything() bool { return s.matcher == nil }

// in appends the places, from one on, of what is wanted of a block, ascending.
func (s *selection) in(b *block, from int, places []int) []int {
	if s.accounts == nil {
		for i := from; i < len(b.entries); i++ {
			if s.matcher.Match(&b.entries[i].Header) {
				places = append(places, i)
			}
		}
		return places
	}
	for _, account := range s.accounts {
		of := b.of(account)
		for _, i := range of[sort.SearchInts(of, from):] {
			if s.matcher.Match(&b.entries[i].Header) {
				places = append(places, i)
			}
		}
	}
	if len(s.accounts) > 1 {
		slices.Sort(places)
	}
	return places
}

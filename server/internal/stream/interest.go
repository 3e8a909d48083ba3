package stream

import (
	"slices"
	"strings"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// interest finds the waiters that an event may concern, at a cost that does not grow
// with the others. Each filter of a waiter is filed under its most telling clause.
type interest struct {
	accounts map[string][]*waiter // by WABA; "" stands for none
	phones   map[string][]*waiter
	types    map[string][]*waiter // by path
	rest     []*waiter            // filters without such a clause
	all      []*waiter            // no filter
}

func newInterest() *interest {
	return &interest{
		accounts: make(map[string][]*waiter),
		phones:   make(map[string][]*waiter),
		types:    make(map[string][]*waiter),
	}
}

// add files a waiter once in each list, however often its filters name a value.
func (in *interest) add(w *waiter) {
	in.file(w, func(list []*waiter) []*waiter {
		if last := len(list) - 1; last >= 0 && list[last] == w {
			return list
		}
		return append(list, w)
	})
}

func (in *interest) remove(w *waiter) {
	in.file(w, func(list []*waiter) []*waiter {
		at, last := slices.Index(list, w), len(list)-1
		if at < 0 {
			return list // removed already
		}
		list[at], list[last] = list[last], nil
		return list[:last]
	})
}

// file changes each list that a waiter belongs in, as often as it does.
func (in *interest) file(w *waiter, change func([]*waiter) []*waiter) {
	if w.matcher == nil {
		in.all = change(in.all)
		return
	}
	filters := w.matcher.Filters()
	for i := range filters {
		f := &filters[i]
		switch {
		case f.ByAccount():
			changeLists(in.accounts, accountsBeyond(filters[:i], f), change)
			if f.Unattributed {
				changeLists(in.accounts, []string{""}, change)
			}
		case len(f.BusinessPhones) > 0:
			changeLists(in.phones, f.BusinessPhones, change)
		case len(f.Types) > 0:
			changeLists(in.types, f.Types, change)
		default:
			in.rest = change(in.rest)
		}
	}
}

// accountsBeyond returns a filter's accounts, unless they are the list of one of the
// filters before it: a caller's grant may give many filters one long list.
func accountsBeyond(before []eventlog.Filter, f *eventlog.Filter) []string {
	for i := range before {
		if before[i].ByAccount() && f.SharesAccounts(&before[i]) {
			return nil
		}
	}
	return f.WABAIDs
}

func changeLists(lists map[string][]*waiter, keys []string, change func([]*waiter) []*waiter) {
	for _, key := range keys {
		if list := change(lists[key]); len(list) > 0 {
			lists[key] = list
		} else {
			delete(lists, key)
		}
	}
}

// concern calls visit with every waiter that has a filter which may select the
// record, perhaps more than once, but for those that want everything.
func (in *interest) concern(h *eventlog.Header, visit func(*waiter)) {
	each(in.accounts[h.WABAID], visit)
	if len(in.phones) > 0 {
		each(in.phones[h.BusinessPhone], visit)
	}
	if len(in.types) > 0 {
		for path := h.Type; path != ""; path = path[:max(0, strings.LastIndexByte(path, '.'))] {
			each(in.types[path], visit)
		}
	}
	each(in.rest, visit)
}

func each(waiters []*waiter, visit func(*waiter)) {
	for _, w := range waiters {
		visit(w)
	}
}

// everyone calls visit with every waiter, perhaps more than once.
func (in *interest) everyone(visit func(*waiter)) {
	for _, lists := range []map[string][]*waiter{in.accounts, in.phones, in.types} {
		for _, list := range lists {
			each(list, visit)
		}
	}
	each(in.rest, visit)
	each(in.all, visit)
}

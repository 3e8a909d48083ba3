package eventlog

import (
	"slices"
	"strings"
)

// Filter selects records by header. What is set must all hold; within one list
// any value will do. The zero Filter selects everything.
type Filter struct {
	// WABAIDs, Attributed and Unattributed select by account: records of some
	// accounts, of every account, and those whose WABA is unknown. Together they add
	// up; none of them set selects all of these.
	WABAIDs      []string
	Attributed   bool
	Unattributed bool
	// Types are paths: "a.b" selects type "a.b" and everything below "a.b.".
	Types []string
	// BusinessPhones are normalised numbers.
	BusinessPhones []string
	// MinSeverity is the least severity; zero is any.
	MinSeverity Severity
}

// Matcher is a set of filters made ready for matching: a record matches if any
// of them does. It is immutable and safe for concurrent use.
type Matcher struct {
	filters []Filter
	clauses []clause
}

type clause struct {
	byWABA, byPhone bool
	attributed      bool // every account will do
	wabas           set  // "" stands for unattributed
	phones          set
	types           []string
	min             Severity
}

// NewMatcher compiles filters. No filters gives nil, which matches everything.
// The filters must not be changed afterwards.
func NewMatcher(filters []Filter) *Matcher {
	if len(filters) == 0 {
		return nil
	}
	m := &Matcher{filters: filters, clauses: make([]clause, len(filters))}
	for i := range filters {
		f, c := &filters[i], &m.clauses[i]
		c.types, c.min = f.Types, f.MinSeverity
		if c.byWABA = f.ByAccount() || f.Attributed && !f.Unattributed; c.byWABA {
			c.attributed, c.wabas = f.Attributed, m.accountsOf(i)
		}
		if c.byPhone = len(f.BusinessPhones) > 0; c.byPhone {
			c.phones = setOf(f.BusinessPhones)
		}
	}
	return m
}

// accountsOf makes the set of a filter's accounts. Filters that share a list of them,
// which may be long, share its set.
func (m *Matcher) accountsOf(i int) set {
	f := &m.filters[i]
	for j := range i {
		if c := &m.clauses[j]; c.byWABA && m.filters[j].Unattributed == f.Unattributed && f.SharesAccounts(&m.filters[j]) {
			return c.wabas
		}
	}
	wabas := f.WABAIDs
	if f.Unattributed {
		wabas = append(slices.Clone(wabas), "")
	}
	return setOf(wabas)
}

// ByAccount reports whether WABAIDs and Unattributed name all accounts of which the
// filter selects something.
func (f *Filter) ByAccount() bool { return (len(f.WABAIDs) > 0 || f.Unattributed) && !f.Attributed }

// SharesAccounts reports whether two filters have one list of accounts, and not only
// lists that are equal.
func (f *Filter) SharesAccounts(other *Filter) bool {
	a, b := f.WABAIDs, other.WABAIDs
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// Filters returns what the matcher was made of, for planning a read; not to be
// changed. Nil on a nil matcher.
func (m *Matcher) Filters() []Filter {
	if m == nil {
		return nil
	}
	return m.filters
}

// Match reports whether any filter selects the header. A nil matcher selects
// everything.
func (m *Matcher) Match(h *Header) bool {
	if m == nil {
		return true
	}
	for i := range m.clauses {
		if m.clauses[i].match(h) {
			return true
		}
	}
	return false
}

// MaySelect reports whether the matcher can select records of some type that the
// path selects, going by types alone. A nil matcher selects everything.
func (m *Matcher) MaySelect(path string) bool {
	if m == nil {
		return true
	}
	for i := range m.clauses {
		if types := m.clauses[i].types; len(types) == 0 || overlap(types, path) {
			return true
		}
	}
	return false
}

// overlap reports whether some type is selected by one of the paths and by path.
func overlap(paths []string, path string) bool {
	for _, p := range paths {
		if PathSelects(p, path) || PathSelects(path, p) {
			return true
		}
	}
	return false
}

func (c *clause) match(h *Header) bool {
	if h.Severity < c.min {
		return false
	}
	if c.byWABA {
		if !c.wabas.has(h.WABAID) && (!c.attributed || h.WABAID == "") {
			return false
		}
	}
	if c.byPhone {
		if !c.phones.has(h.BusinessPhone) {
			return false
		}
	}
	return matchType(c.types, h.Type)
}

func matchType(paths []string, t string) bool {
	if len(paths) == 0 {
		return true
	}
	for _, p := range paths {
		if PathSelects(p, t) {
			return true
		}
	}
	return false
}

// PathSelects reports whether a path selects a type: itself or one below it. Whatever
// a path selects that another one selects, the other selects too.
func PathSelects(path, t string) bool {
	rest, ok := strings.CutPrefix(t, path)
	return ok && (rest == "" || rest[0] == '.')
}

// fewValues is up to how many values comparing beats hashing. Most filters have one,
// and there may be thousands of them.
const fewValues = 8

// set is a set of values: either few of them or many.
type set struct {
	few  []string
	many map[string]struct{}
}

func setOf(values []string) set {
	if len(values) <= fewValues {
		return set{few: values}
	}
	many := make(map[string]struct{}, len(values))
	for _, v := range values {
		many[v] = struct{}{}
	}
	return set{many: many}
}

func (s set) has(value string) bool {
	if s.many == nil {
		return slices.Contains(s.few, value)
	}
	_, ok := s.many[value]
	return ok
}

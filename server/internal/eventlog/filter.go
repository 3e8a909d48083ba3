package eventlog

import (
	"slices"
	"strings"
)

// Filter selects records by header. What is set must all hold; within one list
// any value will do. The zero Filter selects everything.
type Filter struct {
	// WABAIDs are accounts; Unattributed adds records whose WABA is unknown. With
	// no WABAIDs, Unattributed selects only those.
	WABAIDs      []string
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
	wabas           set // "" stands for unattributed
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
	for i, f := range filters {
		c := &m.clauses[i]
		c.types, c.min = f.Types, f.MinSeverity
		if c.byWABA = len(f.WABAIDs) > 0 || f.Unattributed; c.byWABA {
			wabas := f.WABAIDs
			if f.Unattributed {
				wabas = append(slices.Clone(wabas), "")
			}
			c.wabas = setOf(wabas)
		}
		if c.byPhone = len(f.BusinessPhones) > 0; c.byPhone {
			c.phones = setOf(f.BusinessPhones)
		}
	}
	return m
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
		if matchType([]string{p}, path) || matchType([]string{path}, p) {
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
		if !c.wabas.has(h.WABAID) {
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
		if rest, ok := strings.CutPrefix(t, p); ok && (rest == "" || rest[0] == '.') {
			return true
		}
	}
	return false
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

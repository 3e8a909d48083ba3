package eventlog_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func TestMatcher(t *testing.T) {
	t.Parallel()
	attributed := eventlog.Header{WABAID: "1", Type: "a.b", BusinessPhone: "49", Severity: eventlog.SeverityWarning}
	unknown := eventlog.Header{Type: "a", Severity: eventlog.SeverityInfo}
	cases := map[string]struct {
		filters             []eventlog.Filter
		attributed, unknown bool
	}{
		"no filters":                {nil, true, true},
		"zero filter":               {[]eventlog.Filter{{}}, true, true},
		"waba":                      {[]eventlog.Filter{{WABAIDs: []string{"2", "1"}}}, true, false},
		"other waba":                {[]eventlog.Filter{{WABAIDs: []string{"10", ""}}}, false, true},
		"unattributed":              {[]eventlog.Filter{{Unattributed: true}}, false, true},
		"waba or unattributed":      {[]eventlog.Filter{{WABAIDs: []string{"1"}, Unattributed: true}}, true, true},
		"attributed":                {[]eventlog.Filter{{Attributed: true}}, true, false},
		"attributed or not":         {[]eventlog.Filter{{Attributed: true, Unattributed: true}}, true, true},
		"attributed, waba":          {[]eventlog.Filter{{Attributed: true, WABAIDs: []string{"9"}}}, true, false},
		"attributed, all of it":     {[]eventlog.Filter{{Attributed: true, WABAIDs: []string{"9"}, Unattributed: true}}, true, true},
		"attributed and type":       {[]eventlog.Filter{{Attributed: true, Types: []string{"x"}}}, false, false},
		"type":                      {[]eventlog.Filter{{Types: []string{"a.b"}}}, true, false},
		"type and below":            {[]eventlog.Filter{{Types: []string{"a"}}}, true, true},
		"type is not a text prefix": {[]eventlog.Filter{{Types: []string{"a.", "a.b.", "a.bb"}}}, false, false},
		"phone":                     {[]eventlog.Filter{{BusinessPhones: []string{"49"}}}, true, false},
		"severity":                  {[]eventlog.Filter{{MinSeverity: eventlog.SeverityWarning}}, true, false},
		"all clauses hold": {[]eventlog.Filter{{
			WABAIDs: []string{"1"}, Types: []string{"a"}, BusinessPhones: []string{"49"}, MinSeverity: eventlog.SeverityInfo,
		}}, true, false},
		"one clause fails":      {[]eventlog.Filter{{WABAIDs: []string{"1"}, Types: []string{"x"}}}, false, false},
		"any filter will do":    {[]eventlog.Filter{{WABAIDs: []string{"9"}}, {Types: []string{"a.b"}}}, true, false},
		"zero filter among any": {[]eventlog.Filter{{WABAIDs: []string{"9"}}, {}}, true, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := eventlog.NewMatcher(c.filters)
			require.Equal(t, c.attributed, m.Match(&attributed))
			require.Equal(t, c.unknown, m.Match(&unknown))
			require.Equal(t, c.filters, m.Filters())
		})
	}
}

func TestMatcherOfNothingIsNil(t *testing.T) {
	t.Parallel()
	require.Nil(t, eventlog.NewMatcher([]eventlog.Filter{}))
}

// TestMaySelect: it must be true of every path that selects a type of a record that
// matches, and should be false of others as far as types tell.
func TestMaySelect(t *testing.T) {
	t.Parallel()
	types := func(paths ...string) eventlog.Filter { return eventlog.Filter{Types: paths} }
	for _, c := range []struct {
		filters []eventlog.Filter
		path    string
		want    bool
	}{
		{nil, "a", true},
		{[]eventlog.Filter{{}}, "a", true},
		{[]eventlog.Filter{{WABAIDs: []string{"1"}, MinSeverity: eventlog.SeverityCritical}}, "a", true},
		{[]eventlog.Filter{types("a.b")}, "a", true},
		{[]eventlog.Filter{types("a.b")}, "a.b", true},
		{[]eventlog.Filter{types("a.b")}, "a.b.c", true},
		{[]eventlog.Filter{types("a.b")}, "a.bb", false},
		{[]eventlog.Filter{types("a.bb")}, "a.b", false},
		{[]eventlog.Filter{types("a.b")}, "b", false},
		{[]eventlog.Filter{types("x", "a")}, "a.b", true},
		{[]eventlog.Filter{types("x"), types("a")}, "a.b", true},
		{[]eventlog.Filter{types("x"), {}}, "a.b", true},
		{[]eventlog.Filter{types("x"), types("y", "z")}, "a.b", false},
	} {
		require.Equal(t, c.want, eventlog.NewMatcher(c.filters).MaySelect(c.path), "%v, %s", c.filters, c.path)
	}
}

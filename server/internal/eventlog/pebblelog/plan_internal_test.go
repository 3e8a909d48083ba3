package pebblelog

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// TestPlan: what is read by an index, and how many lists of it.
func TestPlan(t *testing.T) {
	t.Parallel()
	accounts := make([]string, maxPostings)
	for i := range accounts {
		accounts[i] = strconv.Itoa(i)
	}
	many := append([]string{"one more"}, accounts...)
	for name, c := range map[string]struct {
		filters []eventlog.Filter
		lists   int
		ok      bool
	}{
		"an account":                         {[]eventlog.Filter{{WABAIDs: []string{"1"}, Types: []string{"a"}}}, 1, true},
		"as many accounts as are worth it":   {[]eventlog.Filter{{WABAIDs: accounts}}, maxPostings, true},
		"more":                               {[]eventlog.Filter{{WABAIDs: many}}, 0, false},
		"more, of a type":                    {[]eventlog.Filter{{WABAIDs: many, Types: []string{"a"}}}, 2, true},
		"more, of a phone":                   {[]eventlog.Filter{{WABAIDs: many, BusinessPhones: []string{"49"}, Types: []string{"a"}}}, 1, true},
		"the same accounts in two filters":   {[]eventlog.Filter{{WABAIDs: accounts, Types: []string{"a"}}, {WABAIDs: accounts, MinSeverity: 2}}, maxPostings, true},
		"any account":                        {[]eventlog.Filter{{Attributed: true}}, 0, false},
		"any account, of a type":             {[]eventlog.Filter{{Attributed: true, Types: []string{"a"}}}, 2, true},
		"an account, or any other of a type": {[]eventlog.Filter{{Unattributed: true}, {Attributed: true, Types: []string{"a"}}}, 3, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ranges, ok := planOf(eventlog.NewMatcher(c.filters))
			require.Equal(t, c.ok, ok)
			if ok {
				require.Len(t, ranges, c.lists)
			}
		})
	}
}

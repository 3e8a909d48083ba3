package stream

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func TestNarrow(t *testing.T) {
	t.Parallel()
	type filters = []eventlog.Filter
	everything := access.Everything()
	two := access.Grant{WABAIDs: []string{"1", "2"}, AllTypes: true}
	attributed := access.Grant{AllWABAs: true, AllTypes: true}
	bans := access.Grant{WABAIDs: []string{"1"}, Unattributed: true, Types: []string{"account.ban", "review"}}
	for name, c := range map[string]struct {
		grant     access.Grant
		requested filters
		want      filters
	}{
		"everything, nothing asked":         {everything, nil, nil},
		"everything, a filter":              {everything, filters{{WABAIDs: []string{"7"}}}, filters{{WABAIDs: []string{"7"}}}},
		"accounts, nothing asked":           {two, nil, filters{{WABAIDs: []string{"1", "2"}}}},
		"accounts, one of them":             {two, filters{{WABAIDs: []string{"2"}}}, filters{{WABAIDs: []string{"2"}}}},
		"accounts, none named":              {two, filters{{MinSeverity: 2}}, filters{{WABAIDs: []string{"1", "2"}, MinSeverity: 2}}},
		"accounts, a phone":                 {two, filters{{BusinessPhones: []string{"49"}}}, filters{{WABAIDs: []string{"1", "2"}, BusinessPhones: []string{"49"}}}},
		"no unattributed, nothing asked":    {attributed, nil, filters{{Attributed: true}}},
		"no unattributed, a type":           {attributed, filters{{Types: []string{"a"}}}, filters{{Attributed: true, Types: []string{"a"}}}},
		"no unattributed, an account":       {attributed, filters{{WABAIDs: []string{"7"}}}, filters{{WABAIDs: []string{"7"}}}},
		"types, nothing asked":              {bans, nil, filters{{WABAIDs: []string{"1"}, Unattributed: true, Types: bans.Types}}},
		"types, broader":                    {bans, filters{{WABAIDs: []string{"1"}, Types: []string{"account"}}}, filters{{WABAIDs: []string{"1"}, Types: []string{"account.ban"}}}},
		"types, narrower":                   {bans, filters{{WABAIDs: []string{"1"}, Types: []string{"review.ok"}}}, filters{{WABAIDs: []string{"1"}, Types: []string{"review.ok"}}}},
		"types, both, and once each":        {bans, filters{{Unattributed: true, Types: []string{"account", "review", "review", "review.ok"}}}, filters{{Unattributed: true, Types: []string{"account.ban", "review"}}}},
		"types of no account only":          {bans, filters{{Unattributed: true}}, filters{{Unattributed: true, Types: bans.Types}}},
		"no account, any type":              {access.Grant{Unattributed: true, AllTypes: true}, nil, filters{{Unattributed: true}}},
		"every account and none, some type": {access.Grant{AllWABAs: true, Unattributed: true, Types: []string{"a"}}, nil, filters{{Types: []string{"a"}}}},
		"several filters": {two, filters{{WABAIDs: []string{"1"}}, {Types: []string{"a"}}}, filters{
			{WABAIDs: []string{"1"}}, {WABAIDs: []string{"1", "2"}, Types: []string{"a"}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			granted := scopeOf(c.grant)
			got, err := granted.narrow(c.requested)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestNarrowRefuses(t *testing.T) {
	t.Parallel()
	bans := access.Grant{WABAIDs: []string{"1", "2"}, Types: []string{"account.ban"}}
	many := make([]string, 100)
	for i := range many {
		many[i] = strings.Repeat("9", 1+i)
	}
	for name, c := range map[string]struct {
		grant         access.Grant
		filters       []eventlog.Filter
		reason, field string
		values        string
	}{
		"account":         {bans, []eventlog.Filter{{}, {WABAIDs: []string{"1", "3"}}}, "WABA_NOT_ALLOWED", "filters[1].waba_ids", "3"},
		"many accounts":   {bans, []eventlog.Filter{{WABAIDs: many}}, "WABA_NOT_ALLOWED", "filters[0].waba_ids", strings.Join(many[:5], ",")},
		"unattributed":    {bans, []eventlog.Filter{{Unattributed: true}}, "WABA_NOT_ALLOWED", "filters[0].include_unattributed", ""},
		"with an account": {bans, []eventlog.Filter{{WABAIDs: []string{"1"}, Unattributed: true}}, "WABA_NOT_ALLOWED", "filters[0].include_unattributed", ""},
		"type":            {bans, []eventlog.Filter{{Types: []string{"account", "accounts", "account.bans"}}}, "TYPE_NOT_ALLOWED", "filters[0].types", "accounts,account.bans"},
		"no grant":        {access.Grant{}, nil, "WABA_NOT_ALLOWED", "filters", ""},
		"no accounts":     {access.Grant{AllTypes: true}, nil, "WABA_NOT_ALLOWED", "filters", ""},
		"no types":        {access.Grant{AllWABAs: true, Unattributed: true}, []eventlog.Filter{{MinSeverity: 1}}, "WABA_NOT_ALLOWED", "filters", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			granted := scopeOf(c.grant)
			_, err := granted.narrow(c.filters)
			st := status.Convert(err)
			require.Equal(t, codes.PermissionDenied, st.Code())
			info := st.Details()[0].(*errdetails.ErrorInfo)
			require.Equal(t, c.reason, info.GetReason())
			require.Equal(t, c.field, info.GetMetadata()["field"])
			require.Equal(t, c.values, info.GetMetadata()["values"])
		})
	}
}

// FuzzNarrow: whatever is granted and whatever is asked for, what is selected is what
// both select, every way of finding it agrees, and only who names what is not granted
// is refused.
func FuzzNarrow(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		seed := make([]byte, random.IntN(60))
		for i := range seed {
			seed[i] = byte(random.Uint32())
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := dice{data}
		grant, requested := d.grant(), d.filters()
		granted := scopeOf(grant)
		narrowed, err := granted.narrow(requested)
		require.Equal(t, namesMore(grant, requested), err != nil)
		if err != nil {
			return
		}
		checkSelects(t, grant, requested, eventlog.NewMatcher(narrowed))
	})
}

func checkSelects(t *testing.T, grant access.Grant, requested []eventlog.Filter, matcher *eventlog.Matcher) {
	t.Helper()
	granted := scopeOf(grant)
	headers := allHeaders()
	w, interest := &waiter{matcher: matcher}, newInterest()
	interest.add(w)
	b := blockOf(0, make([]string, len(headers))...)
	var want []int
	for i, h := range headers {
		b.entries[i].Header = h
		require.Equal(t, grantedHeader(grant, &h), granted.permits(&h), "%+v, %+v", grant, h)
		wanted := grantedHeader(grant, &h) && (len(requested) == 0 || slices.ContainsFunc(requested, func(f eventlog.Filter) bool { return wantedHeader(&f, &h) }))
		require.Equal(t, wanted, matcher.Match(&h), "%+v, %+v, %+v", grant, requested, h)
		if !wanted {
			continue
		}
		want = append(want, i)
		require.True(t, matcher.MaySelect(h.Type))
		if matcher != nil {
			found := false
			interest.concern(&h, func(*waiter) { found = true })
			require.True(t, found, "%+v, %+v", requested, h)
		}
	}
	if s := selectionOf(matcher); !s.everything() {
		require.Equal(t, want, s.in(b, 0, nil))
	}
	interest.remove(w)
	require.Empty(t, interest.accounts)
	require.Empty(t, interest.types)
	require.Empty(t, interest.phones)
	require.Empty(t, interest.rest)
}

// What follows says in the plainest way what is granted and what is asked for.

func grantedHeader(g access.Grant, h *eventlog.Header) bool {
	account := g.Unattributed
	if h.WABAID != "" {
		account = g.AllWABAs || slices.Contains(g.WABAIDs, h.WABAID)
	}
	return account && (g.AllTypes || under(g.Types, h.Type))
}

func wantedHeader(f *eventlog.Filter, h *eventlog.Header) bool {
	account := len(f.WABAIDs) == 0 && !f.Unattributed
	account = account || h.WABAID == "" && f.Unattributed || slices.Contains(f.WABAIDs, h.WABAID)
	return account && (len(f.Types) == 0 || under(f.Types, h.Type)) &&
		(len(f.BusinessPhones) == 0 || slices.Contains(f.BusinessPhones, h.BusinessPhone)) && h.Severity >= f.MinSeverity
}

func under(paths []string, t string) bool {
	return slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(t+".", p+".") })
}

// namesMore reports whether a request names what the grant does not hold.
func namesMore(g access.Grant, requested []eventlog.Filter) bool {
	some := func(h eventlog.Header) bool { return grantedHeader(g, &h) }
	if !slices.ContainsFunc(allHeaders(), some) {
		return true
	}
	for _, f := range requested {
		if f.Unattributed && !g.Unattributed {
			return true
		}
		for _, id := range f.WABAIDs {
			if !g.AllWABAs && !slices.Contains(g.WABAIDs, id) {
				return true
			}
		}
		for _, path := range f.Types {
			if !g.AllTypes && !under(g.Types, path) && !slices.ContainsFunc(g.Types, func(p string) bool { return under([]string{path}, p) }) {
				return true
			}
		}
	}
	return false
}

func diceAccounts() []string { return []string{"1", "2", "3", "4"} }
func dicePaths() []string    { return []string{"a", "a.b", "a.b.c", "a.bb", "ab", "c"} }
func dicePhones() []string   { return []string{"49", "1"} }

func allHeaders() (headers []eventlog.Header) {
	for _, account := range append(diceAccounts(), "") {
		for _, path := range append(dicePaths(), "a.b.c.d", "c.e") {
			for _, phone := range append(dicePhones(), "") {
				for severity := range eventlog.SeverityCritical {
					headers = append(headers, eventlog.Header{WABAID: account, Type: path, BusinessPhone: phone, Severity: severity + 1})
				}
			}
		}
	}
	return headers
}

// dice throws what its bytes say, and zeros once they are used up.
type dice struct{ data []byte }

func (d *dice) throw(sides int) int {
	if len(d.data) == 0 {
		return 0
	}
	n := int(d.data[0]) % sides
	d.data = d.data[1:]
	return n
}

func (d *dice) some(of []string) (picked []string) {
	for range d.throw(4) {
		picked = append(picked, of[d.throw(len(of))])
	}
	return picked
}

func (d *dice) grant() access.Grant {
	return access.Grant{
		AllWABAs: d.throw(3) == 0, Unattributed: d.throw(2) == 0, AllTypes: d.throw(3) == 0,
		WABAIDs: d.some(diceAccounts()), Types: d.some(dicePaths()),
	}
}

func (d *dice) filters() []eventlog.Filter {
	filters := make([]eventlog.Filter, d.throw(4))
	for i := range filters {
		filters[i] = eventlog.Filter{
			WABAIDs: d.some(diceAccounts()), Unattributed: d.throw(4) == 1, Types: d.some(dicePaths()),
			BusinessPhones: d.some(dicePhones()), MinSeverity: eventlog.Severity(d.throw(4)),
		}
	}
	return filters
}

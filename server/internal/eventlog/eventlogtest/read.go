package eventlogtest

import (
	"slices"
	"strconv"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func readTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"read_empty_log":           readEmptyLog,
		"read_filters":             readFilters,
		"read_filters_on_old":      readFiltersOnOld,
		"read_limit":               readLimit,
		"read_bytes":               readBytes,
		"read_until":               readUntil,
		"read_after":               readAfter,
		"read_raw":                 readRaw,
		"read_scanned":             readScanned,
		"read_reverse":             readReverse,
		"read_bounds_its_work":     readBoundsItsWork,
		"read_many_accounts":       readManyAccounts,
		"read_types_share_no_list": readTypesShareNoList,
	}
}

func readEmptyLog(b *bench) {
	bounds, err := b.log.Bounds(b.Context())
	require.NoError(b, err)
	for _, q := range []eventlog.Query{{}, {Reverse: true}, {After: 7}, {Until: 9}, {Filter: matcher(eventlog.Filter{WABAIDs: []string{"1"}})}} {
		page, err := b.log.Read(b.Context(), q)
		require.NoError(b, err)
		require.Empty(b, page.Entries)
		require.False(b, page.More)
		require.Equal(b, bounds.Head, page.Scanned)
	}
}

func matcher(filters ...eventlog.Filter) *eventlog.Matcher { return eventlog.NewMatcher(filters) }

// varied makes records that differ in everything a filter can look at.
func varied(n int) []eventlog.Record {
	types := []string{"a", "a.b", "a.b.c", "a.bc", "ab", "z.rare"}
	wabas := []string{"", "1", "10", "100", "2\x00", "2"}
	phones := []string{"", "49", "491", "1"}
	all := records(0, n)
	for i := range all {
		r := &all[i]
		r.WABAID = wabas[i%len(wabas)]
		if r.WABAID == "" {
			r.WABASource = eventlog.WABAUnknown
		}
		r.BusinessPhone = phones[(i/2)%len(phones)]
		r.Type = types[i%5]
		if i%97 == 0 {
			r.Type = types[5]
		}
		r.Severity = eventlog.Severity(1 + (i/3)%3)
	}
	return all
}

func filterCases() map[string][]eventlog.Filter {
	return map[string][]eventlog.Filter{
		"none":                 nil,
		"everything":           {{}},
		"waba":                 {{WABAIDs: []string{"1"}}},
		"waba with zero byte":  {{WABAIDs: []string{"2\x00"}}},
		"several wabas":        {{WABAIDs: []string{"1", "100", "nowhere"}}},
		"unattributed":         {{Unattributed: true}},
		"waba or unattributed": {{WABAIDs: []string{"10"}, Unattributed: true}},
		"any account":          {{Attributed: true}},
		"any account or none":  {{Attributed: true, Unattributed: true}},
		"any account, one too": {{Attributed: true, WABAIDs: []string{"10", "nowhere"}}},
		"any account and type": {{Attributed: true, Types: []string{"a.b", "z"}}},
		"any account or phone": {{Attributed: true, BusinessPhones: []string{"49"}}, {WABAIDs: []string{"2"}}},
		"type":                 {{Types: []string{"a.b.c"}}},
		"type and below":       {{Types: []string{"a"}}},
		"type and below, deep": {{Types: []string{"a.b"}}},
		"types that overlap":   {{Types: []string{"a", "a.b", "ab"}}},
		"rare type":            {{Types: []string{"z"}}},
		"unknown type":         {{Types: []string{"q"}}},
		"phone":                {{BusinessPhones: []string{"49"}}},
		"phones":               {{BusinessPhones: []string{"491", "1"}}},
		"phone or none":        {{BusinessPhones: []string{"", "1"}}},
		"severity":             {{MinSeverity: eventlog.SeverityWarning}},
		"waba and type":        {{WABAIDs: []string{"2"}, Types: []string{"a.b"}}},
		"all clauses": {{
			WABAIDs: []string{"1", "2"}, Types: []string{"a"}, BusinessPhones: []string{"49", "491"},
			MinSeverity: eventlog.SeverityCritical,
		}},
		"waba or type":      {{WABAIDs: []string{"1"}}, {Types: []string{"a.b"}}},
		"waba, phone, type": {{WABAIDs: []string{"100"}}, {BusinessPhones: []string{"1"}}, {Types: []string{"z"}}},
		"waba or severity":  {{WABAIDs: []string{"1"}}, {MinSeverity: eventlog.SeverityCritical}},
		"same filter twice": {{WABAIDs: []string{"1"}}, {WABAIDs: []string{"1"}}},
	}
}

// matching is what a read must yield: the filter applied to every record.
func matching(all []eventlog.Record, m *eventlog.Matcher) []string {
	want := []string{}
	for i := range all {
		if m.Match(&all[i].Header) {
			want = append(want, string(all[i].Payload))
		}
	}
	return want
}

func (b *bench) checkFilters(all []eventlog.Record) {
	b.Helper()
	for name, filters := range filterCases() {
		m := matcher(filters...)
		want := matching(all, m)
		for _, limit := range []int{0, 1, 7} {
			q := eventlog.Query{Filter: m, Limit: limit}
			require.Equal(b, want, payloads(b.readAll(q)), "%s, limit %d", name, limit)
		}
		slices.Reverse(want)
		for _, limit := range []int{0, 7} {
			q := eventlog.Query{Filter: m, Limit: limit, Reverse: true}
			require.Equal(b, want, payloads(b.readAll(q)), "%s, reverse, limit %d", name, limit)
		}
	}
}

func readFilters(b *bench) {
	all := varied(300)
	b.append(all...)
	b.checkFilters(all)
}

// readFiltersOnOld reads what was written before and after the log was opened:
// backends may find the two in different ways.
func readFiltersOnOld(b *bench) {
	all := varied(300)
	b.append(all[:200]...)
	b.reopen()
	b.checkFilters(all[:200])
	b.append(all[200:]...)
	b.checkFilters(all)
}

func readLimit(b *bench) {
	b.append(records(0, 25)...)
	page, err := b.log.Read(b.Context(), eventlog.Query{Limit: 10})
	require.NoError(b, err)
	require.Len(b, page.Entries, 10)
	require.True(b, page.More)
	require.Equal(b, page.Entries[9].Position, page.Scanned)
	page, err = b.log.Read(b.Context(), eventlog.Query{Limit: 25})
	require.NoError(b, err)
	require.Len(b, page.Entries, 25)
	b.append(records(25, 2000)...)
	page, err = b.log.Read(b.Context(), eventlog.Query{})
	require.NoError(b, err)
	require.Len(b, page.Entries, 1000, "the default limit")
}

func readBytes(b *bench) {
	all := records(0, 10)
	for i := range all {
		all[i].Payload, all[i].Raw = make([]byte, 100), make([]byte, 300)
	}
	b.append(all...)
	for _, c := range []struct {
		q    eventlog.Query
		want int
	}{
		{eventlog.Query{Bytes: 1}, 1},
		{eventlog.Query{Bytes: 100}, 1},
		{eventlog.Query{Bytes: 101}, 2},
		{eventlog.Query{Bytes: 350}, 4},
		{eventlog.Query{Bytes: 350, Raw: true}, 1},
		{eventlog.Query{Bytes: 401, Raw: true, Reverse: true}, 2},
		{eventlog.Query{}, 10},
	} {
		page, err := b.log.Read(b.Context(), c.q)
		require.NoError(b, err)
		require.Len(b, page.Entries, c.want, "%+v", c.q)
	}
}

func readUntil(b *bench) {
	at := b.fill(records(0, 10)...)
	seq := func(i int) eventlog.Sequence { return at[i].Sequence }
	waba := matcher(eventlog.Filter{WABAIDs: []string{"1001"}})
	for _, m := range []*eventlog.Matcher{nil, waba} {
		require.Len(b, b.readAll(eventlog.Query{Until: seq(4), Filter: m}), 5, "inclusive")
		require.Len(b, b.readAll(eventlog.Query{After: seq(2), Until: seq(4), Filter: m}), 2)
		require.Empty(b, b.readAll(eventlog.Query{After: seq(4), Until: seq(4), Filter: m}))
		require.Empty(b, b.readAll(eventlog.Query{After: seq(6), Until: seq(4), Filter: m}))
		require.Len(b, b.readAll(eventlog.Query{Until: seq(9) + 100, Filter: m}), 10)
	}
	page, err := b.log.Read(b.Context(), eventlog.Query{Until: seq(4)})
	require.NoError(b, err)
	require.False(b, page.More)
	require.Equal(b, at[4], page.Scanned)
}

func readAfter(b *bench) {
	at := b.fill(records(0, 10)...)
	for i, p := range at {
		require.Len(b, b.readAll(eventlog.Query{After: p.Sequence}), 9-i)
		require.Len(b, b.readAll(eventlog.Query{After: p.Sequence, Reverse: true}), i)
	}
	page, err := b.log.Read(b.Context(), eventlog.Query{After: at[9].Sequence + 5})
	require.NoError(b, err)
	require.Empty(b, page.Entries)
	require.Equal(b, at[9], page.Scanned, "never beyond the head")
}

func readRaw(b *bench) {
	b.append(record(1))
	got := b.readAll(eventlog.Query{})[0]
	require.Nil(b, got.Raw)
	require.Equal(b, record(1).Payload, got.Payload)
	require.Equal(b, record(1).Raw, b.readAll(eventlog.Query{Raw: true})[0].Raw)
}

// readScanned: a read that finds little still says how far it looked.
func readScanned(b *bench) {
	all := records(0, 20)
	all[5].WABAID = "other"
	at := b.fill(all...)
	page, err := b.log.Read(b.Context(), eventlog.Query{Filter: matcher(eventlog.Filter{WABAIDs: []string{"other"}})})
	require.NoError(b, err)
	require.Len(b, page.Entries, 1)
	require.False(b, page.More)
	require.Equal(b, at[19], page.Scanned)
	page, err = b.log.Read(b.Context(), eventlog.Query{
		Until: at[9].Sequence, Filter: matcher(eventlog.Filter{WABAIDs: []string{"nowhere"}}),
	})
	require.NoError(b, err)
	require.Empty(b, page.Entries)
	require.Equal(b, at[9], page.Scanned)
	page, err = b.log.Read(b.Context(), eventlog.Query{After: at[19].Sequence})
	require.NoError(b, err)
	require.Equal(b, at[19], page.Scanned)
	require.NoError(b, b.log.Check(b.Context(), page.Scanned))
}

func readReverse(b *bench) {
	at := b.fill(records(0, 10)...)
	page, err := b.log.Read(b.Context(), eventlog.Query{Reverse: true, Limit: 3})
	require.NoError(b, err)
	require.Equal(b, []string{"payload 9", "payload 8", "payload 7"}, payloads(page.Entries))
	require.Equal(b, at[7].Sequence, page.Scanned.Sequence)
	require.True(b, page.More)
	page, err = b.log.Read(b.Context(), eventlog.Query{Reverse: true, Limit: 100, After: page.Scanned.Sequence})
	require.NoError(b, err)
	require.Len(b, page.Entries, 7)
	require.False(b, page.More)
	page, err = b.log.Read(b.Context(), eventlog.Query{Reverse: true, After: at[0].Sequence})
	require.NoError(b, err)
	require.Empty(b, page.Entries)
	require.False(b, page.More)
}

// readBoundsItsWork reads a filter that only a scan can answer, over more records
// than one call may look at: it must come to the end, by way of empty pages.
func readBoundsItsWork(b *bench) {
	const n = 25_000
	for from := 0; from < n; from += eventlog.MaxAppendRecords {
		call := records(from, min(from+eventlog.MaxAppendRecords, n))
		if last := len(call) - 1; from+len(call) == n {
			call[last].Severity = eventlog.SeverityCritical
		}
		b.append(call...)
	}
	critical := matcher(eventlog.Filter{MinSeverity: eventlog.SeverityCritical})
	require.Len(b, b.readAll(eventlog.Query{Filter: critical}), 1)
	require.Len(b, b.readAll(eventlog.Query{Filter: critical, Reverse: true}), 1)
	require.Len(b, b.readAll(eventlog.Query{}), n)
}

// readManyAccounts asks for more accounts than are worth an index list each.
func readManyAccounts(b *bench) {
	all := records(0, 500)
	for i := range all {
		all[i].WABAID = strconv.Itoa(i % 250)
	}
	b.append(all...)
	for _, n := range []int{63, 64, 65, 200} {
		var f eventlog.Filter
		for i := range n {
			f.WABAIDs = append(f.WABAIDs, strconv.Itoa(i))
		}
		require.Equal(b, matching(all, matcher(f)), payloads(b.readAll(eventlog.Query{Filter: matcher(f)})))
	}
}

// readTypesShareNoList: types whose names are close in sort order stay apart.
func readTypesShareNoList(b *bench) {
	all := records(0, 60)
	types := []string{"a", "a.", "a..", "a.b", "a-b", "a/b", "a0", "a\x00b", "a\x00", "a\xc3\xa9", "A", "b"}
	for i := range all {
		all[i].Type = types[i%len(types)]
	}
	b.append(all...)
	b.reopen()
	for _, path := range types {
		m := matcher(eventlog.Filter{Types: []string{path}})
		require.Equal(b, matching(all, m), payloads(b.readAll(eventlog.Query{Filter: m})), "%q", path)
	}
}

package eventlogtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func typeTrimTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"type_trim":               typeTrim,
		"type_trim_head_stays":    typeTrimHeadStays,
		"type_trim_of_nothing":    typeTrimOfNothing,
		"type_trim_refused":       typeTrimRefused,
		"type_trim_strict_reads":  typeTrimStrictReads,
		"type_trim_inside_a_gap":  typeTrimInsideAGap,
		"type_trim_lookup":        typeTrimLookup,
		"type_trim_seek":          typeTrimSeek,
		"type_trim_duplicates":    typeTrimDuplicates,
		"type_trim_then_trim":     typeTrimThenTrim,
		"type_trim_ends_with_ctx": typeTrimEndsWithContext,
		"type_trim_flood":         typeTrimFlood,
		"type_trim_many_types":    typeTrimManyTypes,
		"type_trim_under_readers": typeTrimUnderReaders,
	}
}

// mixed makes records of four types in turn.
func mixed(from, to int) []eventlog.Record {
	types := []string{"messages.text", "messages.image", "statuses", "bans"}
	all := records(from, to)
	for i := range all {
		all[i].Type = types[(from+i)%len(types)]
	}
	return all
}

// fillMixed appends them a minute apart.
func (b *bench) fillMixed(n int) []eventlog.Position {
	b.Helper()
	var at []eventlog.Position
	for _, r := range mixed(0, n) {
		b.clock.add(time.Minute)
		at = append(at, b.fill(r)...)
	}
	return at
}

func (b *bench) trimType(path string, upTo eventlog.Position) {
	b.Helper()
	require.NoError(b, b.log.TrimType(b.Context(), path, upTo.Sequence))
}

func ofTypes(paths ...string) *eventlog.Matcher { return matcher(eventlog.Filter{Types: paths}) }

// held expects exactly the records that keep selects to be there, in every way of
// reading.
func (b *bench) held(all []eventlog.Record, keep func(n int) bool) {
	b.Helper()
	var left []eventlog.Record
	for n, r := range all {
		if keep(n) {
			left = append(left, r)
		}
	}
	start := b.bounds().Start.Sequence
	for _, m := range []*eventlog.Matcher{
		nil, ofTypes("messages"), ofTypes("messages.image", "bans"), ofTypes("statuses"),
		matcher(eventlog.Filter{WABAIDs: []string{"1001"}}), matcher(eventlog.Filter{MinSeverity: eventlog.SeverityInfo}),
	} {
		want := matching(left, m)
		for _, limit := range []int{0, 1, 3} {
			q := eventlog.Query{After: start, Filter: m, Held: true, Limit: limit}
			require.Equal(b, want, payloads(b.readAll(q)))
		}
		slices.Reverse(want)
		for _, limit := range []int{0, 1, 3} {
			require.Equal(b, want, payloads(b.readAll(eventlog.Query{Reverse: true, Filter: m, Limit: limit})))
		}
	}
	stats, err := b.log.Stats(b.Context())
	require.NoError(b, err)
	require.Equal(b, uint64(len(left)), stats.Records)
}

func typeTrim(b *bench) {
	all := mixed(0, 40)
	at := b.fill(all...)
	for range 2 {
		b.trimType("messages", at[20])
		b.trimType("messages", at[20]) // it is idempotent
		b.trimType("messages", at[10]) // and never goes back
		b.trimType("messages.text", at[30])
		b.held(all, func(n int) bool { return n%4 > 1 || n%4 == 0 && n > 30 || n%4 == 1 && n > 20 })
		got := b.bounds()
		require.Zero(b, got.Start.Sequence)
		require.Equal(b, at[39], got.Head)
		require.ElementsMatch(b, []eventlog.TypeTrim{
			{Path: "messages", UpTo: at[20]}, {Path: "messages.text", UpTo: at[28]},
		}, got.TypeTrims)
		b.reopen()
	}
	b.trimType("statuses", at[39])
	b.trimType("messages", at[39])
	b.held(all, func(n int) bool { return n%4 == 3 })
	next := b.fill(mixed(40, 44)...)
	require.Equal(b, at[39].Sequence+1, next[0].Sequence)
	b.held(mixed(0, 44), func(n int) bool { return n%4 == 3 || n >= 40 })
}

// typeTrimHeadStays: the newest record is what the head is read from.
func typeTrimHeadStays(b *bench) {
	all := records(0, 5)
	at := b.fill(all...)
	b.trimType("account_update", at[4])
	for range 2 {
		b.held(all, func(n int) bool { return n == 4 })
		got := b.bounds()
		require.Equal(b, at[4], got.Head)
		require.Equal(b, got.HeadTime, got.OldestTime)
		require.Equal(b, []eventlog.TypeTrim{{Path: "account_update", UpTo: at[3]}}, got.TypeTrims)
		b.reopen()
	}
	b.append(record(5))
	b.trimType("account_update", at[4])
	b.held(records(0, 6), func(n int) bool { return n == 5 })
}

// typeTrimOfNothing: where nothing is removed nobody is told of a loss.
func typeTrimOfNothing(b *bench) {
	require.NoError(b, b.log.TrimType(b.Context(), "messages", 0))
	at := b.fillMixed(12)
	before := b.bounds()
	b.trimType("calls", at[11])
	b.trimType("message", at[11])
	b.trimType("statuses", at[1])
	require.Equal(b, before, b.bounds())
	require.Len(b, b.readAll(eventlog.Query{}), 12)
	b.trimType("statuses", at[5])
	require.Equal(b, []eventlog.TypeTrim{{Path: "statuses", UpTo: at[2]}}, b.bounds().TypeTrims, "not further than it removed")
}

func typeTrimRefused(b *bench) {
	at := b.fillMixed(8)
	ctx := b.Context()
	require.ErrorIs(b, b.log.TrimType(ctx, "messages", at[7].Sequence+1), eventlog.ErrAhead)
	for _, path := range []string{"", strings.Repeat("a", eventlog.MaxTextBytes+1)} {
		require.ErrorContains(b, b.log.TrimType(ctx, path, at[7].Sequence), "type path")
		_, err := b.log.MeasureType(ctx, path, 0, 0)
		require.ErrorContains(b, err, "type path")
	}
	require.Len(b, b.readAll(eventlog.Query{}), 8)
}

// typeTrimStrictReads: who may miss something is told, and nobody else.
func typeTrimStrictReads(b *bench) {
	at := b.fillMixed(40)
	b.trimType("messages.text", at[20])
	bounds := b.bounds()
	for name, c := range map[string]struct {
		filter *eventlog.Matcher
		told   bool
	}{
		"all":         {nil, true},
		"account":     {matcher(eventlog.Filter{WABAIDs: []string{"1001"}}), true},
		"path":        {ofTypes("messages.text"), true},
		"above":       {ofTypes("messages"), true},
		"below":       {ofTypes("messages.text.long"), true},
		"other types": {ofTypes("messages.image", "bans", "statuses"), false},
	} {
		for _, after := range []int{0, 5, 19, 20, 21, 39} {
			_, err := b.log.Read(b.Context(), eventlog.Query{After: at[after].Sequence, Filter: c.filter})
			if c.told && after < 20 {
				require.ErrorIs(b, err, eventlog.ErrTrimmed, "%s after %d", name, after)
				continue
			}
			require.NoError(b, err, "%s after %d", name, after)
		}
		start := bounds.StartFor(c.filter)
		got := payloads(b.readAll(eventlog.Query{After: start.Sequence, Filter: c.filter}))
		require.Equal(b, matching(mixed(0, 40)[start.Sequence-bounds.Start.Sequence:], c.filter), got, name)
	}
}

// typeTrimInsideAGap: a cursor that stood at a record goes on being good when the
// record is removed, and so does every place between two that are held.
func typeTrimInsideAGap(b *bench) {
	all := records(0, 20)
	all[0].Type, all[10].Type, all[19].Type = "bans", "bans", "bans"
	at := b.fill(all...)
	b.trimType("account_update", at[19])
	for range 2 {
		for n, p := range at {
			require.NoError(b, b.log.Check(b.Context(), p), "record %d", n)
			left := 0
			for _, ban := range []int{0, 10, 19} {
				if ban > n {
					left++
				}
			}
			for _, m := range []*eventlog.Matcher{nil, ofTypes("bans")} {
				after := eventlog.Query{After: p.Sequence, Held: true, Filter: m}
				require.Len(b, b.readAll(after), left, "after %d", n)
				until := eventlog.Query{Until: p.Sequence, Held: true, Filter: m}
				upToHere := 3 - left
				require.Len(b, b.readAll(until), upToHere, "until %d", n)
				before := eventlog.Query{After: p.Sequence, Reverse: true, Filter: m}
				if n == 0 || n == 10 || n == 19 {
					upToHere--
				}
				require.Len(b, b.readAll(before), upToHere, "before %d", n)
			}
			page, err := b.log.Read(b.Context(), eventlog.Query{Until: p.Sequence, Held: true})
			require.NoError(b, err)
			require.Equal(b, p.Sequence, page.Scanned.Sequence)
			require.NoError(b, b.log.Check(b.Context(), page.Scanned))
		}
		for _, n := range []int{0, 10, 19} {
			other := at[n]
			other.Fingerprint++
			require.ErrorIs(b, b.log.Check(b.Context(), other), eventlog.ErrDiverged)
		}
		b.reopen()
	}
}

func typeTrimLookup(b *bench) {
	at := b.fillMixed(12)
	b.trimType("messages", at[7])
	for range 2 {
		for n := range at {
			got, err := b.log.Lookup(b.Context(), idOf(n))
			if n <= 7 && n%4 < 2 {
				require.ErrorIs(b, err, eventlog.ErrNotFound, "record %d", n)
				continue
			}
			require.NoError(b, err, "record %d", n)
			require.Equal(b, at[n], got.Position)
		}
		b.reopen()
	}
}

// typeTrimSeek: whatever was removed, what a time yields is what is held from it on.
func typeTrimSeek(b *bench) {
	begin := b.clock.now()
	at := b.fillMixed(40)
	all := mixed(0, 40)
	b.trimType("messages", at[35])
	b.trimType("statuses", at[17])
	gone := func(n int) bool { return n <= 35 && n%4 < 2 || n <= 17 && n%4 == 2 }
	for range 2 {
		for n := range at {
			from := b.seek(begin.Add(time.Duration(n+1) * time.Minute)) // the stamp of record n
			require.NoError(b, b.log.Check(b.Context(), from))
			var want []string
			for i := n; i < 40; i++ {
				if !gone(i) {
					want = append(want, string(all[i].Payload))
				}
			}
			require.Equal(b, want, payloads(b.readAll(eventlog.Query{After: from.Sequence, Held: true})), "record %d", n)
		}
		b.reopen()
	}
}

// typeTrimDuplicates: an id is known for its horizon, whatever became of its record.
func typeTrimDuplicates(b *bench) {
	at := b.fill(mixed(0, 20)...)
	b.trimType("messages", at[19])
	for range 2 {
		for n, r := range mixed(0, 20) {
			got := b.append(r)[0]
			require.True(b, got.Duplicate, "record %d", n)
			if n%4 > 1 || got.Position.Sequence != 0 {
				require.Equal(b, at[n], got.Position)
			}
		}
		b.reopen()
	}
	b.clock.add(2 * time.Hour)
	again := b.fill(mixed(0, 20)...)
	b.trimType("messages", at[19]) // the first copies are gone already
	b.trimType("statuses", at[19])
	for n, p := range again {
		got, err := b.log.Lookup(b.Context(), idOf(n))
		require.NoError(b, err, "the newer copy stays")
		require.Equal(b, p, got.Position)
		require.True(b, b.append(mixed(n, n+1)...)[0].Duplicate)
	}
}

// typeTrimThenTrim: what is trimmed with everything else counts no more, and the
// start may lie in a gap.
func typeTrimThenTrim(b *bench) {
	all := mixed(0, 40)
	at := b.fill(all...)
	b.trimType("messages", at[30])
	b.trimType("statuses", at[12])
	other := at[17]
	for n := 1; n < 40; n += 4 { // a message that is gone, next to another
		require.NoError(b, b.log.Trim(b.Context(), at[n-1].Sequence))
		for range 2 {
			require.Equal(b, at[n-1].Sequence, b.bounds().Start.Sequence)
			require.NoError(b, b.log.Check(b.Context(), at[n-1]))
			b.held(all, func(i int) bool {
				return i >= n && (i%4 == 3 || i%4 == 2 && i > 12 || i%4 < 2 && i > 30)
			})
			paths := []string{}
			for _, t := range b.bounds().TypeTrims {
				require.Greater(b, t.UpTo.Sequence, at[n-1].Sequence)
				paths = append(paths, t.Path)
			}
			require.Equal(b, n-1 < 29, slices.Contains(paths, "messages"))
			require.Equal(b, n-1 < 10, slices.Contains(paths, "statuses"))
			if n%3 == 0 {
				b.reopen()
			}
		}
	}
	require.ErrorIs(b, b.log.Check(b.Context(), other), eventlog.ErrTrimmed)
	require.NoError(b, b.log.Trim(b.Context(), at[39].Sequence))
	b.trimType("messages", at[39])
	require.Empty(b, b.bounds().TypeTrims)
	b.held(nil, nil)
}

func typeTrimEndsWithContext(b *bench) {
	at := b.fill(mixed(0, 8)...)
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	require.ErrorIs(b, b.log.TrimType(ctx, "messages", at[7].Sequence), context.Canceled)
	_, err := b.log.MeasureType(ctx, "messages", 0, 0)
	require.ErrorIs(b, err, context.Canceled)
	b.trimType("messages", at[7])
	b.held(mixed(0, 8), func(n int) bool { return n%4 > 1 })
}

// typeTrimFlood removes all but a few of many records, in two goes.
func typeTrimFlood(b *bench) {
	const n = 3 * eventlog.MaxAppendRecords
	all := records(0, n)
	for i := 999; i < n; i += 1000 {
		all[i].Type = "bans"
	}
	var at []eventlog.Appended
	for from := 0; from < n; from += eventlog.MaxAppendRecords {
		at = append(at, b.append(all[from:from+eventlog.MaxAppendRecords]...)...)
	}
	for _, upTo := range []int{5000, n - 100} {
		b.trimType("account_update", at[upTo].Position)
		left := slices.DeleteFunc(slices.Clone(all[:upTo+1]), func(r eventlog.Record) bool { return r.Type != "bans" })
		left = append(left, all[upTo+1:]...)
		for range 2 {
			for _, m := range []*eventlog.Matcher{nil, ofTypes("bans"), ofTypes("account_update")} {
				want := matching(left, m)
				require.Equal(b, want, payloads(b.readAll(eventlog.Query{Filter: m, Held: true})))
				slices.Reverse(want)
				require.Equal(b, want, payloads(b.readAll(eventlog.Query{Filter: m, Reverse: true})))
			}
			stats, err := b.log.Stats(b.Context())
			require.NoError(b, err)
			require.Equal(b, uint64(len(left)), stats.Records)
			b.reopen()
		}
	}
}

// typeTrimManyTypes: a path may have more types below it than are worth a list each.
func typeTrimManyTypes(b *bench) {
	all := records(0, 600)
	for i := range all {
		all[i].Type = fmt.Sprintf("messages.%d", i%200)
		if i%10 == 0 {
			all[i].Type = "bans"
		}
	}
	at := b.append(all...)
	sum, err := b.log.MeasureType(b.Context(), "messages", 0, 0)
	require.NoError(b, err)
	require.Equal(b, uint64(540), sum.Records)
	b.trimType("messages", at[399].Position)
	b.held(all, func(n int) bool { return n > 399 || n%10 == 0 })
}

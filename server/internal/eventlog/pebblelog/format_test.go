package pebblelog

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/eventlogtest"
)

// TestOpensEveryEarlierFormat: what any release has written, this one reads, and
// goes on with.
func TestOpensEveryEarlierFormat(t *testing.T) {
	t.Parallel()
	for version := 1; version < formatVersion; version++ {
		dir := filepath.Join("testdata", fmt.Sprintf("format%d", version))
		require.DirExists(t, dir, "freeze the format before the next one begins; see format_fixture_test.go")
	}
	fixtures, err := filepath.Glob("testdata/format*/*.tar.gz")
	require.NoError(t, err)
	require.NotEmpty(t, fixtures)
	for _, file := range fixtures {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			packed, err := os.ReadFile(file)
			require.NoError(t, err)
			checkFixture(t, packed)
		})
	}
}

// TestCurrentFormat holds the fixtures that would be frozen now to the same
// checks, so that they are right when the time comes.
func TestCurrentFormat(t *testing.T) {
	t.Parallel()
	fixtures := makeFixtures(t)
	for name, packed := range fixtures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkFixture(t, packed)
		})
	}
	if os.Getenv("WABASTREAM_FREEZE_FORMAT") != "" {
		freeze(t, fixtures)
	}
}

// checked is a fixture's log, opened by this program, and what it must hold.
type checked struct {
	*testing.T
	log     *Log
	start   eventlog.Sequence
	entries []eventlog.Entry
	trimmed []eventlog.Entry
	removed []eventlog.Entry
	made    frozenLog
}

func checkFixture(t *testing.T, packed []byte) {
	t.Helper()
	fs, made := unpack(t, packed)
	head := made.Entries[len(made.Entries)-1]
	require.Equal(t, made.Unindexed, uint64(rawMark(t, fs)) < head.Sequence)

	c := &checked{T: t, start: eventlog.Sequence(made.Start), made: made}
	now := head.AppendTime.Add(time.Minute)
	c.open(fs, now)
	require.Equal(t, made.LogID, c.log.id.String())
	for _, f := range made.Entries {
		c.entries = append(c.entries, f.entry(t, c.log.id))
	}
	for _, f := range made.Trimmed {
		c.trimmed = append(c.trimmed, f.entry(t, c.log.id))
	}
	for _, f := range made.Removed {
		c.removed = append(c.removed, f.entry(t, c.log.id))
	}
	c.checkAll()
	c.checkState()
	c.knowsDuplicates(now)
	c.goesOn(now)
	require.NoError(t, c.log.Close())
	requireUpgraded(t, fs)
	c.open(fs, now)
	c.checkAll()
	c.knowsDuplicates(now)
	require.NoError(t, c.log.Close())
}

// requireUpgraded wants the store to be of the current format and without a fault.
func requireUpgraded(t *testing.T, fs vfs.FS) {
	t.Helper()
	r, err := OpenReader(t.Context(), "log", fixtureOptions(fs, nil))
	require.NoError(t, err)
	require.Equal(t, uint64(formatVersion), r.Format())
	_, err = r.Verify(t.Context(), func(p Problem) { t.Errorf("%+v", p) }, func(uint64, uint64) {})
	require.NoError(t, err)
	require.NoError(t, r.Close())
}

// checkState wants the state to be as it was, and to be made again as it is.
func (c *checked) checkState() {
	c.Helper()
	if c.made.State == nil {
		return // an earlier format
	}
	require.Equal(c, []string{eventlogtest.Chain().Name}, c.log.unprojected)
	s, err := c.log.Project(c.Context(), eventlogtest.Chain())
	require.NoError(c, err)
	require.Equal(c, c.made.State, stateOf(c.T, c.log, s))
	differences, err := s.Rebuild(c.Context(), func(uint64, uint64) {})
	require.NoError(c, err)
	require.Zero(c, differences)
}

func (c *checked) open(fs vfs.FS, now time.Time) {
	c.Helper()
	var err error
	c.log, err = Open(c.Context(), "log", fixtureOptions(fs, func() time.Time { return now }))
	require.NoError(c, err)
}

func (c *checked) checkAll() {
	c.Helper()
	c.bounds()
	c.reads(nil)
	for _, f := range c.filters() {
		c.reads(eventlog.NewMatcher([]eventlog.Filter{f}))
	}
	c.finds()
	c.checks()
	c.seeks()
}

func (c *checked) bounds() {
	c.Helper()
	b, err := c.log.Bounds(c.Context())
	require.NoError(c, err)
	require.Equal(c, c.start, b.Start.Sequence)
	last := c.entries[len(c.entries)-1]
	require.Equal(c, last.Position, b.Head)
	require.Equal(c, last.AppendTime, b.HeadTime)
	require.Equal(c, c.entries[0].AppendTime, b.OldestTime)
	if c.made.TypeTrim == "" {
		require.Empty(c, b.TypeTrims)
		return
	}
	require.Len(c, b.TypeTrims, 1)
	require.Equal(c, c.made.TypeTrim, b.TypeTrims[0].Path)
	require.Equal(c, c.made.TypeTrimmed, uint64(b.TypeTrims[0].UpTo.Sequence))
}

// filters are one for each text that an entry has, and some of several parts.
func (c *checked) filters() []eventlog.Filter {
	all := []eventlog.Filter{
		{Unattributed: true},
		{Types: []string{"account_update"}, MinSeverity: eventlog.SeverityCritical},
		{WABAIDs: []string{"2"}, Types: []string{"messages"}, Unattributed: true},
	}
	seen := make(map[string]bool)
	add := func(kind, text string, f eventlog.Filter) {
		if text != "" && !seen[kind+text] {
			seen[kind+text] = true
			all = append(all, f)
		}
	}
	for _, e := range c.entries {
		add("type ", e.Type, eventlog.Filter{Types: []string{e.Type}})
		add("waba ", e.WABAID, eventlog.Filter{WABAIDs: []string{e.WABAID}})
		add("phone ", e.BusinessPhone, eventlog.Filter{BusinessPhones: []string{e.BusinessPhone}})
	}
	return all
}

func (c *checked) reads(filter *eventlog.Matcher) {
	c.Helper()
	var want []eventlog.Entry
	for _, e := range c.entries {
		if filter.Match(&e.Header) {
			want = append(want, e)
		}
	}
	require.NotEmpty(c, want)
	forward := eventlog.Query{After: c.start, Filter: filter, Raw: true, Held: true}
	require.Empty(c, cmp.Diff(want, c.readAll(forward), cmp.Comparer(bytes.Equal)))
	slices.Reverse(want)
	backward := eventlog.Query{Reverse: true, Filter: filter, Raw: true}
	require.Empty(c, cmp.Diff(want, c.readAll(backward), cmp.Comparer(bytes.Equal)))
}

func (c *checked) readAll(q eventlog.Query) (all []eventlog.Entry) {
	c.Helper()
	for {
		page, err := c.log.Read(c.Context(), q)
		require.NoError(c, err)
		all = append(all, page.Entries...)
		if !page.More {
			return all
		}
		q.After = page.Scanned.Sequence
	}
}

// newest is the newest entry of each id, also of those that are gone.
func (c *checked) newest() map[eventlog.ID]eventlog.Entry {
	newest := make(map[eventlog.ID]eventlog.Entry)
	for _, e := range slices.Concat(c.trimmed, c.removed, c.entries) {
		if e.Position.Sequence >= newest[e.ID].Position.Sequence {
			newest[e.ID] = e
		}
	}
	return newest
}

func (c *checked) wasRemoved(e eventlog.Entry) bool {
	return slices.ContainsFunc(c.removed, func(r eventlog.Entry) bool { return r.Position == e.Position })
}

func (c *checked) finds() {
	c.Helper()
	for id, want := range c.newest() {
		got, err := c.log.Lookup(c.Context(), id)
		if want.Position.Sequence <= c.start || c.wasRemoved(want) {
			require.ErrorIs(c, err, eventlog.ErrNotFound)
			continue
		}
		require.NoError(c, err)
		require.Empty(c, cmp.Diff(want, got, cmp.Comparer(bytes.Equal)))
	}
}

func (c *checked) checks() {
	c.Helper()
	for _, e := range c.entries {
		require.NoError(c, c.log.Check(c.Context(), e.Position))
		e.Position.Fingerprint++
		require.ErrorIs(c, c.log.Check(c.Context(), e.Position), eventlog.ErrDiverged)
	}
	for _, e := range c.removed {
		require.NoError(c, c.log.Check(c.Context(), e.Position))
	}
	for i, e := range c.trimmed {
		err := c.log.Check(c.Context(), e.Position)
		if i == len(c.trimmed)-1 {
			require.NoError(c, err, "everything after it is there")
		} else {
			require.ErrorIs(c, err, eventlog.ErrTrimmed)
		}
	}
	ahead := c.entries[len(c.entries)-1].Position
	ahead.Sequence++
	require.ErrorIs(c, c.log.Check(c.Context(), ahead), eventlog.ErrAhead)
}

func (c *checked) seeks() {
	c.Helper()
	before := c.start
	for i, e := range c.entries {
		if i > 0 && e.AppendTime.Equal(c.entries[i-1].AppendTime) {
			continue
		}
		if i > 0 {
			before = c.entries[i-1].Position.Sequence
		}
		at, err := c.log.Seek(c.Context(), e.AppendTime)
		require.NoError(c, err)
		require.GreaterOrEqual(c, at.Sequence, before)
		require.Less(c, at.Sequence, e.Position.Sequence, "nothing is held between the two")
	}
}

// knowsDuplicates sends everything again whose horizon is not over, also what was
// trimmed.
func (c *checked) knowsDuplicates(now time.Time) {
	c.Helper()
	sent := 0
	for _, e := range c.newest() {
		if !e.AppendTime.Add(e.Horizon).After(now) {
			continue
		}
		answers, err := c.log.Append(c.Context(), []eventlog.Record{e.Record})
		require.NoError(c, err)
		want := eventlog.Appended{Duplicate: true, Position: e.Position}
		if e.Position.Sequence <= c.start || c.wasRemoved(e) && answers[0].Position == (eventlog.Position{}) {
			want.Position = eventlog.Position{}
		}
		require.Equal(c, want, answers[0])
		sent++
	}
	require.Greater(c, sent, len(c.entries)/2)
}

// goesOn appends something new.
func (c *checked) goesOn(now time.Time) {
	c.Helper()
	r := c.entries[0].Record
	copy(r.ID[:], "not in any fixture..")
	answers, err := c.log.Append(c.Context(), []eventlog.Record{r})
	require.NoError(c, err)
	require.False(c, answers[0].Duplicate)
	require.Equal(c, c.entries[len(c.entries)-1].Position.Sequence+1, answers[0].Position.Sequence)
	c.entries = append(c.entries, eventlog.Entry{Record: r, Position: answers[0].Position, AppendTime: now.Truncate(time.Microsecond)})
}

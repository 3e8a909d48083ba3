package stream

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func at(seq int) eventlog.Position { return eventlog.Position{Sequence: eventlog.Sequence(seq)} }

// blockOf is a block with a record of each account, in order.
func blockOf(after int, accounts ...string) *block {
	page := eventlog.Page{Scanned: at(after + len(accounts))}
	for i, account := range accounts {
		page.Entries = append(page.Entries, eventlog.Entry{
			Record:   eventlog.Record{Header: eventlog.Header{WABAID: account, Type: "a.b"}, Payload: make([]byte, 100)},
			Position: at(after + i + 1),
		})
	}
	return newBlock(at(after), page, false)
}

func forAccount(id string) *eventlog.Matcher {
	return eventlog.NewMatcher([]eventlog.Filter{{WABAIDs: []string{id}}})
}

// TestNobodyIsWokenForOthers: an event wakes whom it concerns and nobody else, and
// those who sleep on know that they missed nothing.
func TestNobodyIsWokenForOthers(t *testing.T) {
	t.Parallel()
	f := newFeed(nil, nil, 1<<20)
	matchers := map[string]*eventlog.Matcher{
		"one": forAccount("1"), "two": forAccount("2"),
		"types":    eventlog.NewMatcher([]eventlog.Filter{{Types: []string{"a"}, MinSeverity: eventlog.SeverityCritical}}),
		"all":      nil,
		"severity": eventlog.NewMatcher([]eventlog.Filter{{MinSeverity: eventlog.SeverityInfo}}),
	}
	waiters := map[string]*waiter{}
	for name, m := range matchers {
		waiters[name] = f.join(m, false, at(10))
		require.True(t, f.arm(waiters[name], 10))
	}
	f.publish([]*block{blockOf(10, "3", "1", "1")})
	woken := map[string]bool{}
	for name, w := range waiters {
		woken[name] = len(w.wake) == 1
	}
	require.Equal(t, map[string]bool{"one": true, "two": false, "types": false, "all": true, "severity": false}, woken)
	require.True(t, f.waking())
	<-waiters["one"].wake
	require.Equal(t, at(10), f.disarm(waiters["one"]), "what follows may concern it")
	require.Equal(t, at(13), f.disarm(waiters["two"]), "nothing up to here did")
	require.False(t, f.arm(waiters["two"], 12), "there is more already")
	require.True(t, f.arm(waiters["two"], 13))
	require.Equal(t, at(10), f.disarm(waiters["all"]), "woken while it gave up")
	require.Empty(t, waiters["all"].wake)

	require.False(t, f.waking(), "all have begun to run")
	require.Len(t, f.taken, 1)

	for _, w := range waiters {
		f.leave(w)
	}
	require.Empty(t, f.interest.accounts)
	require.Empty(t, f.interest.types)
	require.Empty(t, f.interest.rest)
	require.Empty(t, f.interest.all)
	require.Empty(t, f.recent.blocks)
}

// TestTakenIsNotCalledFor: who has taken what is published already from memory sleeps
// on, and is woken for what follows it.
func TestTakenIsNotCalledFor(t *testing.T) {
	t.Parallel()
	f := newFeed(nil, nil, 1<<20)
	all, one := f.join(nil, false, at(10)), f.join(forAccount("1"), false, at(10))
	require.True(t, f.arm(all, 12))
	require.True(t, f.arm(one, 12))
	f.publish([]*block{blockOf(10, "1", "1")})
	require.Equal(t, at(12), f.disarm(all))
	require.True(t, f.arm(all, 12))
	f.publish([]*block{blockOf(12, "1"), blockOf(13, "2", "2")})
	require.Len(t, all.wake, 1)
	require.Len(t, one.wake, 1)
	require.Equal(t, at(12), f.disarm(one))
}

// TestRounds: while those who were woken have not all begun to run the feed reads on,
// so far and no further, and tells of it at once when they have.
func TestRounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &endlessLog{}
		f := newFeed(log, nil, 1<<20)
		ctx, cancel := context.WithCancel(t.Context())
		w := f.join(nil, false, at(0))
		require.True(t, f.arm(w, 0))
		go f.run(ctx)
		synctest.Wait()
		head, _ := f.follow()
		require.EqualValues(t, 1, head.Sequence, "the first block is told of at once")
		require.Equal(t, 1+roundBlocks, log.reads)

		<-w.wake
		f.disarm(w)
		require.False(t, f.arm(w, 0))
		synctest.Wait()
		head, _ = f.follow()
		require.GreaterOrEqual(t, int(head.Sequence), 1+roundBlocks)
		cancel()
		<-f.done
	})
}

// endlessLog has a record in each page and always more, until the test has seen enough.
type endlessLog struct {
	Reader
	reads int
}

func (l *endlessLog) Wait(ctx context.Context, _ eventlog.Sequence) error {
	if l.reads < 10*roundBlocks {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (l *endlessLog) Read(_ context.Context, query eventlog.Query) (eventlog.Page, error) {
	l.reads++
	next := at(int(query.After) + 1)
	return eventlog.Page{Entries: []eventlog.Entry{{Position: next}}, Scanned: next, More: true}, nil
}

// TestFeedReadsForSomebodyOnly: nobody subscribes, nothing is read.
func TestFeedReadsForSomebodyOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &countingLog{head: 5}
		f := newFeed(log, nil, 1<<20)
		ctx, cancel := context.WithCancel(t.Context())
		go f.run(ctx)
		synctest.Wait()
		require.Zero(t, log.calls)
		w := f.join(nil, false, at(2))
		synctest.Wait()
		require.Equal(t, 1, log.reads)
		head, _ := f.follow()
		require.Equal(t, at(5), head)
		f.leave(w)
		cancel()
		<-f.done
		require.ErrorIs(t, w.outage.err, context.Canceled)
	})
}

type countingLog struct {
	Reader
	head         int
	calls, reads int
}

func (l *countingLog) Wait(ctx context.Context, after eventlog.Sequence) error {
	l.calls++
	if int(after) < l.head {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (l *countingLog) Read(context.Context, eventlog.Query) (eventlog.Page, error) {
	l.reads++
	return eventlog.Page{Scanned: at(l.head)}, nil
}

// TestLoadLeavesTheFeedItsPlace: what is loaded ends where the feed stands. Otherwise
// the feed's next block would overlap it and be remembered for nobody.
func TestLoadLeavesTheFeedItsPlace(t *testing.T) {
	t.Parallel()
	log := &untilLog{countingLog{head: 20}}
	f := newFeed(log, nil, 1<<20)
	f.join(nil, false, at(10))
	load := func(after int) (upTo eventlog.Position, remembered bool) {
		b, err := f.load(t.Context(), at(after), false)
		require.NoError(t, err)
		return b.upTo, len(f.recent.next(eventlog.Sequence(after), 1, false, nil)) > 0
	}
	upTo, remembered := load(4)
	require.Equal(t, at(10), upTo)
	require.True(t, remembered)
	upTo, remembered = load(2)
	require.Equal(t, at(4), upTo, "what follows is in memory")
	require.True(t, remembered)
	upTo, remembered = load(12)
	require.Equal(t, at(20), upTo, "the feed has yet to come there")
	require.False(t, remembered)
}

// untilLog has a record at its head and pages that end where they are to.
type untilLog struct{ countingLog }

func (l *untilLog) Read(_ context.Context, query eventlog.Query) (eventlog.Page, error) {
	if query.Until == 0 {
		query.Until = eventlog.Sequence(l.head)
	}
	return eventlog.Page{Scanned: at(int(query.Until))}, nil
}

// TestFiledOnce: however often filters name a value, an event finds the waiter once.
func TestFiledOnce(t *testing.T) {
	t.Parallel()
	f := newFeed(nil, nil, 1<<20)
	other := f.join(forAccount("1"), false, at(0))
	w := f.join(eventlog.NewMatcher([]eventlog.Filter{
		{WABAIDs: []string{"1", "2", "1"}}, {WABAIDs: []string{"1"}, Unattributed: true}, {Types: []string{"a", "a"}},
	}), false, at(0))
	require.Equal(t, []*waiter{other, w}, f.interest.accounts["1"])
	require.Equal(t, []*waiter{w}, f.interest.types["a"])
	f.leave(w)
	require.Equal(t, map[string][]*waiter{"1": {other}}, f.interest.accounts)
	require.Empty(t, f.interest.types)
}

// TestRecent: blocks are found by place, follow each other without gaps, and the
// oldest go first.
func TestRecent(t *testing.T) {
	t.Parallel()
	size := blockOf(0, "1", "2").bytes
	r := &recent{limit: 4 * size}
	found := func(after eventlog.Sequence, events int) string {
		var text strings.Builder
		for _, b := range r.next(after, events, false, nil) {
			fmt.Fprintf(&text, "%d-%d ", b.after.Sequence, b.upTo.Sequence)
		}
		return text.String()
	}
	r.add(blockOf(10, "1", "2"))
	r.add(blockOf(12, "1", "2"))
	r.add(blockOf(20, "1", "2"))
	r.add(blockOf(4, "1", "2"))
	require.Equal(t, "10-12 12-14 ", found(10, 100))
	require.Equal(t, "10-12 12-14 ", found(11, 3))
	require.Equal(t, "10-12 ", found(11, 1))
	require.Equal(t, "4-6 ", found(4, 100))
	require.Empty(t, found(6, 100), "not known")
	require.EqualValues(t, 10, r.before(6, false))
	require.EqualValues(t, 20, r.before(12, false), "not that which it is in")
	require.Zero(t, r.before(6, true), "none of them is raw")
	require.Empty(t, found(22, 100))
	require.Zero(t, r.before(22, false))
	r.add(blockOf(11, "1", "2"))
	r.add(blockOf(5, "1"))
	r.add(blockOf(7))
	require.Equal(t, "10-12 12-14 ", found(10, 100), "one that overlaps is not taken")
	require.Len(t, r.blocks, 4, "nor one of nothing")
	r.add(blockOf(22, "1", "2"))
	require.Empty(t, found(10, 100), "the oldest goes first")
	require.Equal(t, "20-22 22-24 ", found(20, 100))
	require.LessOrEqual(t, r.bytes, r.limit)
	require.Empty(t, r.next(20, 100, true, nil), "these blocks are not raw")
	r.clear()
	require.Empty(t, found(20, 100))
	require.Zero(t, r.bytes)
}

// TestSelection: looking accounts up finds what going through all of them does.
func TestSelection(t *testing.T) {
	t.Parallel()
	b := blockOf(0, "1", "2", "", "1", "3", "2")
	for _, filters := range [][]eventlog.Filter{
		{{WABAIDs: []string{"1"}}},
		{{WABAIDs: []string{"2", "1"}}, {WABAIDs: []string{"2"}}},
		{{WABAIDs: []string{"1"}, Unattributed: true}},
		{{Unattributed: true}},
		{{WABAIDs: []string{"1"}, Types: []string{"other"}}, {WABAIDs: []string{"3"}}},
		{{WABAIDs: []string{"9"}}},
	} {
		fast := selectionOf(eventlog.NewMatcher(filters))
		require.NotNil(t, fast.accounts)
		slow := selection{matcher: fast.matcher}
		for from := range len(b.entries) + 1 {
			require.Equal(t, slow.in(b, from, nil), fast.in(b, from, nil), "%v from %d", filters, from)
		}
	}
	everyWABA := selectionOf(eventlog.NewMatcher([]eventlog.Filter{{WABAIDs: []string{"1"}}, {Types: []string{"a"}}}))
	require.Nil(t, everyWABA.accounts)
	require.Len(t, everyWABA.in(b, 0, nil), len(b.entries))
}

package accounts

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// TestWatchesOfSomeMissNothing: watches of a few accounts, of everything, and of callers
// with part of it, get each change that is theirs, once and in log order, while changes
// come faster than they are received.
func TestWatchesOfSomeMissNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	nobodys := ofAccounts("3")
	nobodys.Unattributed = true
	type watched struct {
		*frames
		wabas []string // none is all
		from  uint64
	}
	var all []watched
	add := func(grant access.Grant, wabas []string, named ...string) {
		w := watched{frames: s.watch(s.as(grant), &wabastreamv1.WatchAccountsRequest{WabaIds: named}), wabas: wabas}
		_, cursor := w.snapshot(t)
		w.from = s.positionOf(cursor)
		all = append(all, w)
	}
	s.post(messages("1", "15550001", 1))
	for range 3 {
		add(access.Everything(), nil)
		add(access.Everything(), []string{"1"}, "1")
		add(access.Everything(), []string{"2", "3"}, "2", "3")
		add(ofAccounts("1", "2"), []string{"1", "2"})
		add(ofAccounts("1", "2"), []string{"2"}, "2")
		add(nobodys, []string{"3", ""})
	}
	random := rand.New(rand.NewPCG(7, 8))
	received := make([][]uint64, len(all))
	var receiving sync.WaitGroup
	for i, w := range all {
		receiving.Go(func() { received[i] = w.until(t, testTime+2000, w.wabas) })
	}
	for range 300 {
		s.postTo("a", randomCallback(random))
	}
	for _, waba := range []string{"1", "2", "3"} {
		s.postTo("a", accountUpdate(waba, "", testTime+2000, "ACCOUNT_VIOLATION", ""))
	}
	receiving.Wait()
	s.settle()
	for i, w := range all {
		require.Equal(t, s.changesOf(w.from, w.wabas), received[i], "%v", w.wabas)
	}
}

// until receives changes up to a violation at a time, of each of some accounts, and tells
// of what they are.
func (f *frames) until(tb testing.TB, at int64, wabas []string) (sequences []uint64) {
	tb.Helper()
	last := make(map[string]bool)
	want := len(slices.DeleteFunc(slices.Clone(wabas), func(waba string) bool { return waba == "" }))
	if want == 0 {
		want = 3
	}
	for len(last) < want {
		for _, c := range f.next(tb).GetChanges().GetChanges() {
			sequences = append(sequences, c.GetOrigin().GetSequence())
			if c.GetCurrent().GetViolation() != nil && c.GetOrigin().GetOccurTime().GetSeconds() == at {
				last[c.GetWabaId()] = true
			}
		}
	}
	return sequences
}

// changesOf tells of what the changes of some accounts are; none is all.
func (s *site) changesOf(from uint64, wabas []string) (sequences []uint64) {
	s.Helper()
	view, err := s.state.View()
	require.NoError(s, err)
	defer view.Close()
	require.NoError(s, view.Notes(eventlog.Sequence(from), func(n eventlog.Note) bool {
		changes := new(wabastreamv1.AccountChanges)
		require.NoError(s, proto.Unmarshal(n.Value, changes))
		for _, c := range changes.GetChanges() {
			if wabas == nil || slices.Contains(wabas, c.GetWabaId()) {
				sequences = append(sequences, uint64(n.At))
			}
		}
		return true
	}))
	return sequences
}

// TestQuietWatchMovesOn: what happens to other accounts moves a watch's cursor with its
// heartbeats, and wakes it for nothing.
func TestQuietWatchMovesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.post(messages("1", "15550001", 1))
		w := s.watch(s.everyone(), &wabastreamv1.WatchAccountsRequest{WabaIds: []string{"1"}, HeartbeatInterval: durationpb.New(time.Minute)})
		w.snapshot(t)
		begin := time.Now()
		s.post(messages("2", "15550002", 1))
		s.post(quality("2", "15550002", testTime, "UPGRADE", "TIER_10K"))
		at := s.settle()
		frame := w.next(t)
		require.NotNil(t, frame.GetProgress())
		require.Equal(t, time.Minute, time.Since(begin).Round(time.Second))
		require.Equal(t, uint64(at.Sequence), s.positionOf(frame.GetCursor()))
		require.NoError(t, s.log.Trim(t.Context(), at.Sequence))
		s.post(ban("1", testTime, "DISABLE"))
		require.Equal(t, []string{"1 banned"}, changesText(w.next(t).GetChanges().GetChanges()))
	})
}

// TestTheFeedRests: it runs only while somebody watches.
func TestTheFeedRests(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first, err := s.service.feed.join([]string{"1"})
	require.NoError(t, err)
	second, err := s.service.feed.join(nil)
	require.NoError(t, err)
	first.leave()
	s.post(messages("2", "15550002", 1))
	<-second.woken
	require.Empty(t, first.woken)
	second.leave()
	require.Nil(t, s.service.feed.stop)
	require.Empty(t, s.service.feed.of)
	again, err := s.service.feed.join([]string{"2"})
	require.NoError(t, err)
	s.post(ban("2", testTime, "DISABLE"))
	<-again.woken
	require.Equal(t, s.settle().Sequence-1, again.quiet().Sequence, "what was before concerns others, or is old")
	again.leave()
}

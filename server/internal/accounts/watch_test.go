package accounts

import (
	"context"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func after(cursor string) *wabastreamv1.WatchAccountsRequest_AfterCursor {
	return &wabastreamv1.WatchAccountsRequest_AfterCursor{AfterCursor: cursor}
}

// TestWatch: the accounts as they are come first, then every change with what it was
// before, and whoever resumes gets the very next one.
func TestWatch(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.post(messages("1", "15550001", 1))
	s.post(messages("2", "15550002", 1))
	w := s.watch(s.everyone(), &wabastreamv1.WatchAccountsRequest{})
	seen, begin := w.snapshot(t)
	require.Equal(t, map[string]string{"1": "seen", "2": "seen", "1/15550001": "seen", "2/15550002": "seen"}, seen)

	s.post(ban("1", testTime, "DISABLE"))
	frame := w.next(t)
	require.Equal(t, []string{"1 banned"}, changesText(frame.GetChanges().GetChanges()))
	change := frame.GetChanges().GetChanges()[0]
	require.Nil(t, change.GetPrevious())
	require.Equal(t, frame.GetCursor(), change.GetOrigin().GetCursor())
	s.post(ban("1", testTime-1, "REINSTATE"))
	require.Equal(t, []string{"1 reinstated stale"}, changesText(w.next(t).GetChanges().GetChanges()))
	s.post(ban("1", testTime+1, "REINSTATE"))
	frame = w.next(t)
	require.Equal(t, []string{"1 reinstated"}, changesText(frame.GetChanges().GetChanges()))
	require.Equal(t, change.GetOrigin().GetCursor(), frame.GetChanges().GetChanges()[0].GetPrevious().GetBan().GetOrigin().GetCursor())

	all := s.watch(s.everyone(), &wabastreamv1.WatchAccountsRequest{Start: after(begin)})
	seen, cursor := all.snapshot(t)
	require.Empty(t, seen)
	require.Equal(t, begin, cursor)
	require.Equal(t, []string{"1 banned", "1 reinstated stale", "1 reinstated"}, changesText(all.next(t).GetChanges().GetChanges()))
	rest := s.watch(s.everyone(), &wabastreamv1.WatchAccountsRequest{Start: after(change.GetOrigin().GetCursor())})
	rest.snapshot(t)
	require.Equal(t, []string{"1 reinstated stale", "1 reinstated"}, changesText(rest.next(t).GetChanges().GetChanges()))

	one := s.watch(s.everyone(), &wabastreamv1.WatchAccountsRequest{WabaIds: []string{"2", "7"}})
	seen, _ = one.snapshot(t)
	require.Equal(t, map[string]string{"2": "seen", "2/15550002": "seen"}, seen)
	s.post(ban("1", testTime+5, "DISABLE"))
	s.post(messages("7", "15550007", 1))
	require.Equal(t, []string{"7 seen", "7/15550007 seen"}, changesText(one.next(t).GetChanges().GetChanges()))
}

// TestWatchWhatChangesMeanwhile: however slowly a snapshot is received, and whatever
// happens meanwhile, in the end it is the state at its cursor, and the changes after
// that lead to the state at theirs.
func TestWatchWhatChangesMeanwhile(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	random := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		s.postTo([]string{"a", "b"}[random.IntN(2)], randomCallback(random))
	}
	s.settle()
	for range 15 {
		var posting sync.WaitGroup
		bodies := make([]string, 40)
		for i := range bodies {
			bodies[i] = randomCallback(random)
		}
		posting.Go(func() {
			for _, body := range bodies {
				s.postTo("a", body)
			}
		})
		w := s.watch(s.everyone(), &wabastreamv1.WatchAccountsRequest{})
		seen, cursor := w.snapshot(t)
		touched := make(map[string]bool)
		posting.Wait()
		head := s.service.config.Cursors.Format(s.settle())
		for s.positionOf(cursor) < s.lastNote() {
			frame := w.next(t)
			require.Greater(t, s.positionOf(frame.GetCursor()), s.positionOf(cursor))
			cursor = frame.GetCursor()
			for _, c := range frame.GetChanges().GetChanges() {
				touched[c.GetWabaId()] = true
				touched[c.GetWabaId()+"/"+c.GetBusinessPhone()] = true
			}
		}
		now := s.watchedText()
		for key, text := range now {
			if !touched[key] {
				require.Equal(t, text, seen[key], "%s has not changed since the snapshot, at %s", key, head)
			}
		}
		for key := range maps.Keys(seen) {
			require.Contains(t, now, key)
		}
	}
}

func (s *site) positionOf(cursor string) uint64 {
	s.Helper()
	p, err := s.service.config.Cursors.Parse(cursor)
	require.NoError(s, err)
	return uint64(p.Sequence)
}

// lastNote is where the last change was, of stale events too.
func (s *site) lastNote() (last uint64) {
	s.Helper()
	view, err := s.state.View()
	require.NoError(s, err)
	defer view.Close()
	require.NoError(s, view.Notes(0, func(n eventlog.Note) bool {
		last = uint64(n.At)
		return true
	}))
	return last
}

// watchedText is the state as a watch shows it: numbers without what stands in the way
// of their accounts.
func (s *site) watchedText() map[string]string {
	s.Helper()
	seen, _ := s.watch(s.everyone(), &wabastreamv1.WatchAccountsRequest{}).snapshot(s)
	return seen
}

// TestWatchBeats: a silent watch is heard of, and its cursor moves on.
func TestWatchBeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		w := s.watch(s.everyone(), &wabastreamv1.WatchAccountsRequest{HeartbeatInterval: durationpb.New(time.Minute)})
		_, first := w.snapshot(t)
		begin := time.Now()
		s.post(`{"field":"nobody","value":{}}`)
		frame := w.next(t)
		require.NotNil(t, frame.GetProgress())
		require.Equal(t, time.Minute, time.Since(begin).Round(time.Second))
		require.Greater(t, s.positionOf(frame.GetCursor()), s.positionOf(first))
	})
}

// TestWatchEnds: every planned end is told, and why.
func TestWatchEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end    func(*site, *access.Session)
		code   codes.Code
		reason string
	}{
		"draining":    {func(s *site, _ *access.Session) { s.service.Drain() }, codes.Unavailable, "DRAINING"},
		"let in":      {func(_ *site, c *access.Session) { c.End(access.ErrInvalid) }, codes.Unauthenticated, "CREDENTIALS_INVALID"},
		"granted":     {func(_ *site, c *access.Session) { c.Update(access.Caller{Grant: ofAccounts("1")}) }, codes.Aborted, "GRANT_CHANGED"},
		"old":         {func(*site, *access.Session) {}, codes.Unavailable, "MAX_STREAM_AGE"},
		"not granted": {func(_ *site, c *access.Session) { c.Update(access.Caller{}) }, codes.Aborted, "GRANT_CHANGED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				s.service.config.MaxStreamAge = time.Hour
				session := access.NewSession(access.Caller{Grant: access.Everything()})
				left := false
				s.admit = func(context.Context, access.Caller) (func(), error) { return func() { left = true }, nil }
				w := s.watch(access.NewContext(t.Context(), session), &wabastreamv1.WatchAccountsRequest{HeartbeatInterval: durationpb.New(5 * time.Minute)})
				w.snapshot(t)
				synctest.Wait()
				more := access.Everything()
				more.Operate = false
				session.Update(access.Caller{Grant: more}) // which is no other view
				c.end(s, session)
				frame := w.next(t)
				for frame.GetProgress() != nil {
					frame = w.next(t)
				}
				require.Equal(t, c.reason, frame.GetClosing().GetReason())
				require.Equal(t, c.code == codes.Unavailable, frame.GetClosing().GetReconnectDelay() != nil)
				requireReason(t, <-w.end, c.code, c.reason)
				require.True(t, left)
			})
		})
	}
}

// TestWatchRefused: what is wrong with a request, or its cursor, is told before anything
// is sent.
func TestWatchRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.post(messages("1", "15550001", 1))
	old := s.service.config.Cursors.Format(s.settle())
	s.post(ban("1", testTime, "DISABLE"))
	s.post(ban("1", testTime+1, "REINSTATE"))
	require.NoError(t, s.log.Trim(t.Context(), s.settle().Sequence-1))
	elsewhere := newSite(t)
	elsewhere.post(messages("1", "15550001", 1))
	foreign := elsewhere.service.config.Cursors.Format(elsewhere.settle())
	limit := status.Error(codes.ResourceExhausted, "limit")
	for name, c := range map[string]struct {
		request *wabastreamv1.WatchAccountsRequest
		grant   access.Grant
		code    codes.Code
		reason  string
	}{
		"malformed": {&wabastreamv1.WatchAccountsRequest{Start: after("x")}, access.Everything(), codes.InvalidArgument, "CURSOR_MALFORMED"},
		"empty":     {&wabastreamv1.WatchAccountsRequest{Start: after("")}, access.Everything(), codes.InvalidArgument, "CURSOR_MALFORMED"},
		"expired":   {&wabastreamv1.WatchAccountsRequest{Start: after(old)}, access.Everything(), codes.OutOfRange, "CURSOR_EXPIRED"},
		"foreign":   {&wabastreamv1.WatchAccountsRequest{Start: after(foreign)}, access.Everything(), codes.FailedPrecondition, "CURSOR_LOG_MISMATCH"},
		"account":   {&wabastreamv1.WatchAccountsRequest{WabaIds: []string{"2"}}, ofAccounts("1"), codes.PermissionDenied, "WABA_NOT_ALLOWED"},
		"no type":   {&wabastreamv1.WatchAccountsRequest{}, access.Grant{AllWABAs: true}, codes.PermissionDenied, "TYPE_NOT_ALLOWED"},
		"nothing":   {&wabastreamv1.WatchAccountsRequest{}, access.Grant{AllTypes: true}, codes.PermissionDenied, "WABA_NOT_ALLOWED"},
		"heartbeat": {&wabastreamv1.WatchAccountsRequest{HeartbeatInterval: durationpb.New(time.Millisecond)}, access.Everything(), codes.InvalidArgument, "REQUEST_INVALID"},
		"too many":  {&wabastreamv1.WatchAccountsRequest{WabaIds: make([]string, 1001)}, access.Everything(), codes.InvalidArgument, "REQUEST_INVALID"},
	} {
		w := s.watch(s.as(c.grant), c.request)
		_, sent := <-w.sent
		require.False(t, sent, name)
		requireReason(t, <-w.end, c.code, c.reason)
	}
	s.admit = func(context.Context, access.Caller) (func(), error) { return nil, limit }
	require.ErrorIs(t, <-s.watch(s.everyone(), &wabastreamv1.WatchAccountsRequest{}).end, limit)
	nobody := s.watch(t.Context(), &wabastreamv1.WatchAccountsRequest{})
	requireReason(t, <-nobody.end, codes.Unauthenticated, "CREDENTIALS_MISSING")
	s.service.Drain()
	requireReason(t, <-s.watch(s.everyone(), &wabastreamv1.WatchAccountsRequest{}).end, codes.Unavailable, "DRAINING")
}

// TestWatchOvertakenByRetention: a watch that lost changes says so.
func TestWatchOvertakenByRetention(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.post(messages("1", "15550001", 1))
		w := s.watch(s.everyone(), &wabastreamv1.WatchAccountsRequest{})
		w.snapshot(t)
		s.post(ban("1", testTime, "DISABLE"))
		<-time.After(time.Second) // it waits to be received
		s.post(ban("1", testTime+1, "REINSTATE"))
		s.post(ban("1", testTime+2, "DISABLE"))
		require.NoError(t, s.log.Trim(t.Context(), s.settle().Sequence))
		require.Equal(t, []string{"1 banned"}, changesText(w.next(t).GetChanges().GetChanges()))
		_, more := <-w.sent
		require.False(t, more)
		requireReason(t, <-w.end, codes.OutOfRange, "CURSOR_EXPIRED")
	})
}

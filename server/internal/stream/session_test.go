package stream_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/stream"
)

func ofAccounts(ids ...string) access.Grant {
	return access.Grant{WABAIDs: ids, AllTypes: true, PersonalData: access.PersonalDataFull}
}

func update(s *access.Session, grant access.Grant) {
	caller := s.Caller()
	caller.Grant = grant
	s.Update(caller)
}

func stopTime(at time.Time) *wabastreamv1.SubscribeRequest_StopTime {
	return &wabastreamv1.SubscribeRequest_StopTime{StopTime: timestamppb.New(at)}
}

// quiet is the longest silence that may be asked for: nothing but the end of a session
// wakes such a stream.
func quiet() *durationpb.Duration { return durationpb.New(5 * time.Minute) }

// TestEndOfASession: every kind of stream ends at once when its caller is let in no
// more, is told why, and not to come again.
func TestEndOfASession(t *testing.T) {
	t.Parallel()
	for _, end := range []struct {
		err    error
		reason string
	}{{access.ErrInvalid, "CREDENTIALS_INVALID"}, {access.ErrExpired, "CREDENTIALS_EXPIRED"}} {
		for name, request := range map[string]*wabastreamv1.SubscribeRequest{
			"of everything": {HeartbeatInterval: quiet()},
			"of an account": {HeartbeatInterval: quiet(), Filters: []*wabastreamv1.EventFilter{{WabaIds: []string{"w1"}}}},
			"with an end":   {HeartbeatInterval: quiet(), Stop: stopTime(time.Now().Add(time.Hour))},
			"from later on": {HeartbeatInterval: quiet(), Start: startTime(time.Now().Add(time.Hour))},
		} {
			t.Run(name+", "+end.reason, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					h := newHarness(t)
					session := h.grant("caller", access.Everything())
					if request.GetStart() != nil {
						request.Start = startTime(time.Now().Add(time.Hour))
					}
					if request.GetStop() != nil {
						request.Stop = stopTime(time.Now().Add(time.Hour))
					}
					s := h.subscribeAs("caller", request)
					require.NotNil(t, s.recv().GetCaughtUp())
					synctest.Wait()
					begin := time.Now()
					session.End(end.err)
					closing := s.recv().GetClosing()
					require.Equal(t, end.reason, closing.GetReason())
					require.Nil(t, closing.GetReconnectDelay())
					_, err := s.stream.Recv()
					requireReason(t, status.Convert(err), codes.Unauthenticated, end.reason)
					require.Zero(t, time.Since(begin))
					requireReason(t, h.refusedIn(as(t.Context(), "caller"), request), codes.Unauthenticated, end.reason)
				})
			})
		}
	}
}

// TestEndWhileSearching: a stream that goes through the log and finds nothing ends too.
func TestEndWhileSearching(t *testing.T) {
	t.Parallel()
	session := access.NewSession(access.Caller{Name: "c", Grant: access.Everything()})
	fake := &fakeLog{head: eventlog.Position{Sequence: 1 << 40}}
	pages := 0
	fake.read = func(ctx context.Context, query eventlog.Query) (eventlog.Page, error) {
		if query.Reverse {
			return eventlog.Page{More: true}, nil
		}
		if pages++; pages == 100 {
			session.End(access.ErrInvalid)
		}
		return eventlog.Page{Scanned: eventlog.Position{Sequence: query.After + 1}, More: true}, ctx.Err()
	}
	for _, stop := range []bool{false, true} {
		session = access.NewSession(access.Caller{Name: "c", Grant: access.Everything()})
		pages = 0
		request := &wabastreamv1.SubscribeRequest{Start: earliest(), Filters: []*wabastreamv1.EventFilter{{WabaIds: []string{"w"}}}}
		if stop {
			request.Stop = atHead()
		}
		out := &frames{ctx: access.NewContext(t.Context(), session)}
		err := newService(t, stream.Config{Log: fake}).Subscribe(request, out)
		requireReason(t, status.Convert(err), codes.Unauthenticated, "CREDENTIALS_INVALID")
		require.Equal(t, 100, pages)
		closing := out.sent[len(out.sent)-1].(*wabastreamv1.SubscribeResponse).GetClosing()
		require.Equal(t, "CREDENTIALS_INVALID", closing.GetReason())
	}
}

// TestNothingAfterTheEnd: a client that does not read receives what gRPC had taken when
// its session ended, and nothing that was there to be sent after it.
func TestNothingAfterTheEnd(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	session := h.grant("slow", access.Everything())
	const many = 4000
	records := make([]eventlog.Record, many)
	for i := range records {
		records[i] = h.record()
	}
	_, err := h.log.Append(t.Context(), records)
	require.NoError(t, err)
	slow := h.subscribeAs("slow", &wabastreamv1.SubscribeRequest{Start: earliest(), MaxBatchEvents: 1})
	slow.events(1)
	session.End(access.ErrInvalid)
	events, err := slow.rest()
	requireReason(t, status.Convert(err), codes.Unauthenticated, "CREDENTIALS_INVALID")
	require.Less(t, len(events), many/2, "only what was on its way")
}

// TestGrantChanges: whatever changes, a stream goes on with exactly what is granted
// then, from the cursor that its client has.
func TestGrantChanges(t *testing.T) {
	t.Parallel()
	bans := ofAccounts("w1", "w2")
	bans.AllTypes, bans.Types = false, []string{"a.ban"}
	everything := access.Everything()
	attributed := access.Everything()
	attributed.Unattributed = false
	grants := []access.Grant{ofAccounts("w1"), ofAccounts("w1", "w2"), bans, everything, attributed, ofAccounts("w1", "w2", "w3")}
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			recent := []int{1, 4 << 10, 0}[seed%3]
			h := newHarnessWith(t, stream.Config{RecentBytes: recent})
			h.subscribe(&wabastreamv1.SubscribeRequest{}) // somebody else, for whom the feed runs
			session := h.grant("caller", grants[0])
			s := h.subscribeAs("caller", &wabastreamv1.SubscribeRequest{HeartbeatInterval: quiet(), MaxBatchEvents: 1 + int32(seed)})
			in := s.follow()
			granted := grants[0]
			for range 40 {
				allArrived()
				want := h.grantedAfter(in.take(), granted)
				require.Empty(t, want, "all that is granted has come")
				// What comes and is not granted now may be granted next, behind the cursor.
				for range random.IntN(4) {
					h.append(waba([]string{"w1", "w2", "w3", ""}[random.IntN(4)]), ofType([]string{"a.ban", "a"}[random.IntN(2)]))
					if random.IntN(2) == 0 {
						allArrived()
					}
				}
				allArrived()
				cursor := in.take()
				granted = grants[random.IntN(len(grants))]
				want = h.grantedAfter(cursor, granted)
				update(session, granted)
				allArrived()
				require.Equal(t, want, in.takeSince(cursor), "after a change, from the cursor that the client had")
			}
			s.cancel()
			<-in.done
		})
	}
}

// allArrived returns once whatever was appended has come wherever it is to come: the
// feed pauses between two looks at the log.
func allArrived() {
	<-time.After(time.Second)
	synctest.Wait()
}

// follow receives a stream's frames as they come.
func (s *subscriber) follow() *following {
	in := &following{cursor: s.cursor, done: make(chan struct{})}
	go func() {
		defer close(in.done)
		for {
			frame, err := s.stream.Recv()
			if err != nil {
				return
			}
			in.mu.Lock()
			in.cursor = frame.GetCursor()
			in.events = append(in.events, frame.GetBatch().GetEvents()...)
			in.mu.Unlock()
		}
	}()
	return in
}

// following is what a client has received.
type following struct {
	done   chan struct{}
	mu     sync.Mutex // guards the rest
	cursor string
	events []*wabastreamv1.Event
}

// take returns the newest cursor.
func (f *following) take() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cursor
}

// takeSince returns which events came behind a cursor, in the order they came in.
func (f *following) takeSince(cursor string) []eventlog.Sequence {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := stream.ParseCursorForTest(cursor)
	if err != nil {
		panic(err)
	}
	got := sequences(f.events)
	at := slices.IndexFunc(got, func(s eventlog.Sequence) bool { return s > p.Sequence })
	if at < 0 {
		return nil
	}
	return got[at:]
}

// grantedAfter is what the log holds for a grant behind a cursor.
func (h *harness) grantedAfter(cursor string, grant access.Grant) (want []eventlog.Sequence) {
	h.tb.Helper()
	p, err := stream.ParseCursorForTest(cursor)
	require.NoError(h.tb, err)
	page, err := h.log.Read(context.Background(), eventlog.Query{After: p.Sequence})
	require.NoError(h.tb, err)
	for _, e := range page.Entries {
		account := grant.Unattributed
		if e.WABAID != "" {
			account = grant.AllWABAs || slices.Contains(grant.WABAIDs, e.WABAID)
		}
		if account && (grant.AllTypes || slices.Contains(grant.Types, e.Type)) {
			want = append(want, e.Position.Sequence)
		}
	}
	return want
}

// TestWhatWasNamedIsTakenAway: a stream that had named what is taken away ends, one
// that had not goes on without.
func TestWhatWasNamedIsTakenAway(t *testing.T) {
	t.Parallel()
	full := access.Everything()
	noRaw := full
	noRaw.RawJSON = false
	one := full
	one.AllWABAs, one.WABAIDs = false, []string{"w1"}
	oneType := full
	oneType.AllTypes, oneType.Types = false, []string{"b"}
	attributed := full
	attributed.Unattributed = false
	for name, c := range map[string]struct {
		request *wabastreamv1.SubscribeRequest
		grant   access.Grant
		reason  string
	}{
		"WABA":         {&wabastreamv1.SubscribeRequest{Filters: []*wabastreamv1.EventFilter{{WabaIds: []string{"w1", "w2"}}}}, one, "WABA_NOT_ALLOWED"},
		"type":         {&wabastreamv1.SubscribeRequest{Filters: []*wabastreamv1.EventFilter{{Types: []string{"a"}}}}, oneType, "TYPE_NOT_ALLOWED"},
		"unattributed": {&wabastreamv1.SubscribeRequest{Filters: []*wabastreamv1.EventFilter{{IncludeUnattributed: true}}}, attributed, "WABA_NOT_ALLOWED"},
		"raw JSON":     {&wabastreamv1.SubscribeRequest{IncludeRawJson: true}, noRaw, "RAW_JSON_NOT_ALLOWED"},
		"everything":   {&wabastreamv1.SubscribeRequest{}, access.Grant{}, "WABA_NOT_ALLOWED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				session := h.grant("caller", full)
				c.request.HeartbeatInterval = quiet()
				s := h.subscribeAs("caller", c.request)
				other := h.subscribeAs("caller", &wabastreamv1.SubscribeRequest{Filters: []*wabastreamv1.EventFilter{{WabaIds: []string{"w1"}}}})
				require.NotNil(t, s.recv().GetCaughtUp())
				synctest.Wait()
				begin := time.Now()
				update(session, c.grant)
				closing, end := s.untilClosing()
				require.Equal(t, c.reason, closing.GetReason())
				requireReason(t, status.Convert(end), codes.PermissionDenied, c.reason)
				require.Zero(t, time.Since(begin))
				if c.grant.PersonalData != access.PersonalDataFull {
					_, end = other.untilClosing()
					requireReason(t, status.Convert(end), codes.PermissionDenied, c.reason)
					return
				}
				p := h.append(waba("w1"), ofType("b"))
				require.Equal(t, []eventlog.Sequence{p.Sequence}, sequences(other.events(1)))
			})
		})
	}
}

// TestViewChanges: what is shown of people, and the callbacks' JSON, change with the
// grant while the stream goes on.
func TestViewChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarnessWith(t, stream.Config{Pseudonym: func(id string) string { return "p(" + id + ")" }})
		full := access.Everything()
		session := h.grant("caller", full)
		s := h.subscribeAs("caller", &wabastreamv1.SubscribeRequest{IncludeRawJson: true})
		next := func() seen {
			h.append(preference(t, "491511"))
			return seenIn(s.events(1)[0])
		}
		raw := seen{waID: "491511", name: "Jo", detail: "Jo wants no more", raw: `{"wa_id":"491511"}`}
		require.Equal(t, raw, next())
		hashed, none := full, full
		hashed.PersonalData, none.PersonalData = access.PersonalDataHashed, access.PersonalDataNone
		update(session, hashed)
		synctest.Wait()
		require.Equal(t, seen{waID: "p(491511)", redacted: true}, next())
		update(session, none)
		synctest.Wait()
		require.Equal(t, seen{redacted: true}, next())
		update(session, full)
		synctest.Wait()
		require.Equal(t, raw, next())
	})
}

// TestWidenedByATypeThatWasTrimmed: a stream that is granted a type of which events
// behind its cursor are gone already is told, as one that begins there would be.
func TestWidenedByATypeThatWasTrimmed(t *testing.T) {
	t.Parallel()
	for _, policy := range []wabastreamv1.ExpiredCursorPolicy{
		wabastreamv1.ExpiredCursorPolicy_EXPIRED_CURSOR_POLICY_FAIL, wabastreamv1.ExpiredCursorPolicy_EXPIRED_CURSOR_POLICY_CONTINUE_WITH_GAP,
	} {
		t.Run(policy.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				ofA, all := access.Everything(), access.Everything()
				ofA.AllTypes, ofA.Types = false, []string{"a"}
				session := h.grant("caller", ofA)
				s := h.subscribeAs("caller", &wabastreamv1.SubscribeRequest{HeartbeatInterval: quiet(), ExpiredCursorPolicy: policy})
				require.NotNil(t, s.recv().GetCaughtUp())
				h.append(ofType("b"))
				kept := h.append(ofType("b"))
				h.append(ofType("c")) // a trim keeps the head
				require.NoError(t, h.log.TrimType(t.Context(), "b", kept.Sequence-1))
				synctest.Wait()
				update(session, all)
				if policy == wabastreamv1.ExpiredCursorPolicy_EXPIRED_CURSOR_POLICY_FAIL {
					_, err := s.rest()
					info := requireReason(t, status.Convert(err), codes.OutOfRange, "CURSOR_EXPIRED")
					require.Equal(t, "b", info.GetMetadata()["types"])
					return
				}
				frame := s.recv()
				for frame.GetFellBehind() != nil {
					frame = s.recv()
				}
				require.Equal(t, []string{"b"}, frame.GetGap().GetTypes())
				require.Equal(t, []eventlog.Sequence{kept.Sequence, kept.Sequence + 1}, sequences(s.events(2)))
			})
		})
	}
}

// TestStartTimeHoldsAfterAChange: a wider grant brings nothing from before the time
// that the stream was to begin at.
func TestStartTimeHoldsAfterAChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		session := h.grant("caller", ofAccounts("w1"))
		s := h.subscribeAs("caller", &wabastreamv1.SubscribeRequest{HeartbeatInterval: quiet(), Start: startTime(time.Now().Add(time.Minute))})
		require.NotNil(t, s.recv().GetCaughtUp())
		h.append(waba("w2"))
		<-time.After(2 * time.Minute)
		h.append(waba("w3"))
		synctest.Wait()
		update(session, ofAccounts("w1", "w2"))
		synctest.Wait()
		p := h.append(waba("w2"))
		require.Equal(t, []eventlog.Sequence{p.Sequence}, sequences(s.events(1)))
	})
}

// TestGrantsUnderLoad: while grants change all the time, what is granted throughout
// arrives in order, once and completely, and the rest only in order.
func TestGrantsUnderLoad(t *testing.T) {
	t.Parallel()
	h := newHarnessWith(t, stream.Config{RecentBytes: 64 << 10})
	const streams, events = 12, 3000
	sessions := make([]*access.Session, streams)
	ended := make(chan error, streams)
	for i := range sessions {
		name := string(rune('a' + i))
		sessions[i] = h.grant(name, ofAccounts("w1"))
	}
	for i := range sessions {
		s := h.subscribeAs(string(rune('a'+i)), &wabastreamv1.SubscribeRequest{Start: earliest()})
		go func() { ended <- s.checkOrder(events) }()
	}
	changing, stop := context.WithCancel(t.Context())
	var changers sync.WaitGroup
	changers.Go(func() {
		grants := []access.Grant{ofAccounts("w1"), ofAccounts("w1", "w2"), access.Everything()}
		for n := 0; changing.Err() == nil; n++ {
			update(sessions[n%streams], grants[n/streams%len(grants)])
			<-time.After(time.Millisecond)
		}
	})
	for n := 0; n < events; n += 10 {
		records := make([]eventlog.Record, 0, 20)
		for range 10 {
			records = append(records, h.record(waba("w1")), h.record(waba("w2")))
		}
		_, err := h.log.Append(t.Context(), records)
		require.NoError(t, err)
	}
	for range streams {
		require.NoError(t, <-ended)
	}
	stop()
	changers.Wait()
}

// checkOrder receives until so many events of w1 have come.
func (s *subscriber) checkOrder(events int) error {
	last, next := uint64(0), uint64(1) // those of w1 have odd sequences
	for events > 0 {
		frame, err := s.stream.Recv()
		if err != nil {
			return err
		}
		for _, e := range frame.GetBatch().GetEvents() {
			if e.GetSequence() <= last {
				return errors.New("out of order, or twice")
			}
			last = e.GetSequence()
			if e.GetWabaId() != "w1" {
				continue
			}
			if e.GetSequence() != next {
				return errors.New("an event is missing")
			}
			next += 2
			events--
		}
	}
	return nil
}

// TestListWaitsForAsLongAsItMay: a list that waits ends with its session, and goes on
// waiting by another grant.
func TestListWaitsForAsLongAsItMay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		session := h.grant("caller", ofAccounts("w1"))
		type answer struct {
			page *wabastreamv1.ListEventsResponse
			err  error
		}
		answers := make(chan answer)
		wait := func() {
			go func() {
				page, err := h.client.ListEvents(as(t.Context(), "caller"), &wabastreamv1.ListEventsRequest{
					Order: wabastreamv1.ListOrder_LIST_ORDER_OLDEST_FIRST, Wait: durationpb.New(time.Minute),
				})
				answers <- answer{page, err}
			}()
			synctest.Wait()
		}
		begin := time.Now()
		h.append(waba("w3"))
		wait()
		<-time.After(30 * time.Second)
		update(session, ofAccounts("w2"))
		synctest.Wait()
		got := <-answers
		require.NoError(t, got.err)
		require.Empty(t, got.page.GetEvents())
		require.Equal(t, time.Minute, time.Since(begin), "no longer than it was to wait")

		wait()
		update(session, ofAccounts("w3"))
		got = <-answers
		require.NoError(t, got.err)
		require.Len(t, got.page.GetEvents(), 1, "what it may see now")

		update(session, ofAccounts("w1"))
		wait()
		begin = time.Now()
		session.End(access.ErrExpired)
		got = <-answers
		requireReason(t, status.Convert(got.err), codes.Unauthenticated, "CREDENTIALS_EXPIRED")
		require.Zero(t, time.Since(begin))
	})
}

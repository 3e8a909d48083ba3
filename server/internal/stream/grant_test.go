package stream_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/stream"
)

func ofType(path string) func(*eventlog.Record) {
	return func(r *eventlog.Record) { r.Type = path }
}

// twoAccounts sees bans of two accounts, and of people nothing.
func twoAccounts() access.Grant {
	return access.Grant{WABAIDs: []string{"w1", "w2"}, Types: []string{"a.ban"}, PersonalData: access.PersonalDataFull}
}

func TestOnlyWhatIsGranted(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.grant("two", twoAccounts())
	var want []eventlog.Sequence
	for _, id := range []string{"w1", "w2", "w3", ""} {
		for _, path := range []string{"a.ban", "a.ban.soon", "a", "a.bans"} {
			p := h.append(waba(id), ofType(path))
			if (id == "w1" || id == "w2") && (path == "a.ban" || path == "a.ban.soon") {
				want = append(want, p.Sequence)
			}
		}
	}
	s := h.subscribeAs("two", &wabastreamv1.SubscribeRequest{Start: earliest(), Stop: atHead()})
	require.Empty(t, cmp.Diff(&wabastreamv1.Grant{
		Consumer: "two", WabaIds: []string{"w1", "w2"}, Types: []string{"a.ban"},
		PersonalData: wabastreamv1.PersonalData_PERSONAL_DATA_FULL, MaxStreams: stream.DefaultMaxStreamsPerCaller,
	}, s.ready.GetGrant(), protocmp.Transform()))
	require.Empty(t, cmp.Diff([]*wabastreamv1.EventFilter{{WabaIds: []string{"w1", "w2"}, Types: []string{"a.ban"}}},
		s.ready.GetFilters(), protocmp.Transform()))
	require.Empty(t, s.ready.GetWarnings())
	events, err := s.rest()
	require.NoError(t, err)
	require.Equal(t, want, sequences(events))

	live := h.subscribeAs("two", &wabastreamv1.SubscribeRequest{Filters: []*wabastreamv1.EventFilter{{Types: []string{"a"}}}})
	require.Equal(t, []string{"a.ban"}, live.ready.GetFilters()[0].GetTypes())
	h.append(waba("w3"), ofType("a.ban"))
	h.append(waba("w1"), ofType("a"))
	p := h.append(waba("w2"), ofType("a.ban.soon"))
	require.Equal(t, []eventlog.Sequence{p.Sequence}, sequences(live.events(1)))

	ctx := as(t.Context(), "two")
	page, err := h.client.ListEvents(ctx, &wabastreamv1.ListEventsRequest{Order: wabastreamv1.ListOrder_LIST_ORDER_OLDEST_FIRST})
	require.NoError(t, err)
	require.Equal(t, append(want, p.Sequence), sequences(page.GetEvents()))
}

func TestNotAllowed(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.grant("two", twoAccounts())
	h.grant("operator", access.Grant{Operate: true})
	h.append(waba("w3"))
	for name, c := range map[string]struct {
		caller string
		filter *wabastreamv1.EventFilter
		raw    bool
		reason string
		values string
	}{
		"WABA":                {"two", &wabastreamv1.EventFilter{WabaIds: []string{"w1", "w3"}}, false, "WABA_NOT_ALLOWED", "w3"},
		"WABA that is not":    {"two", &wabastreamv1.EventFilter{WabaIds: []string{"w1", "none"}}, false, "WABA_NOT_ALLOWED", "none"},
		"type":                {"two", &wabastreamv1.EventFilter{Types: []string{"a", "b"}}, false, "TYPE_NOT_ALLOWED", "b"},
		"unattributed":        {"two", &wabastreamv1.EventFilter{IncludeUnattributed: true}, false, "WABA_NOT_ALLOWED", ""},
		"raw JSON":            {"two", &wabastreamv1.EventFilter{WabaIds: []string{"w1"}}, true, "RAW_JSON_NOT_ALLOWED", ""},
		"anything":            {"operator", nil, false, "WABA_NOT_ALLOWED", ""},
		"anything, with JSON": {"operator", nil, true, "WABA_NOT_ALLOWED", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var filters []*wabastreamv1.EventFilter
			if c.filter != nil {
				filters = append(filters, c.filter)
			}
			ctx := as(t.Context(), c.caller)
			info := requireReason(t, h.refusedIn(ctx, &wabastreamv1.SubscribeRequest{Filters: filters, IncludeRawJson: c.raw}), codes.PermissionDenied, c.reason)
			require.Equal(t, c.values, info.GetMetadata()["values"])
			_, err := h.client.ListEvents(ctx, &wabastreamv1.ListEventsRequest{Filters: filters, IncludeRawJson: c.raw})
			requireReason(t, status.Convert(err), codes.PermissionDenied, c.reason)
		})
	}
}

// TestNotGrantedIsNotThere: an event outside the grant and one that does not exist are
// answered alike.
func TestNotGrantedIsNotThere(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.grant("two", twoAccounts())
	ctx := as(t.Context(), "two")
	for range 2 {
		h.append(waba("w3"), ofType("a.ban"))
		h.append(waba("w1"), ofType("a"))
	}
	events := h.list(&wabastreamv1.ListEventsRequest{}).GetEvents()
	unknown := eventlog.ID{9}.String()
	answer := func(id string) (messages []string) {
		_, err := h.client.GetEvent(ctx, &wabastreamv1.GetEventRequest{Id: id})
		requireReason(t, status.Convert(err), codes.NotFound, "EVENT_NOT_FOUND")
		st := h.refusedIn(ctx, &wabastreamv1.SubscribeRequest{Start: &wabastreamv1.SubscribeRequest_AfterEventId{AfterEventId: id}})
		requireReason(t, st, codes.NotFound, "EVENT_NOT_FOUND")
		return []string{status.Convert(err).Message(), st.Message()}
	}
	for _, e := range events {
		got := answer(e.GetId())
		for i, message := range answer(unknown) {
			require.Equal(t, message, strings.ReplaceAll(got[i], e.GetId(), unknown))
		}
	}
	p := h.append(waba("w1"), ofType("a.ban"))
	newest := h.list(&wabastreamv1.ListEventsRequest{PageSize: 1}).GetEvents()[0].GetId()
	got, err := h.client.GetEvent(ctx, &wabastreamv1.GetEventRequest{Id: newest})
	require.NoError(t, err)
	require.EqualValues(t, p.Sequence, got.GetEvent().GetSequence())
}

// TestWarningsTellNothing: that a type was never seen is told of what is granted, and
// not of what others have.
func TestWarningsTellNothing(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.grant("two", access.Grant{WABAIDs: []string{"w1", "w2"}, Types: []string{"a", "b"}})
	request := &wabastreamv1.SubscribeRequest{Filters: []*wabastreamv1.EventFilter{{WabaIds: []string{"w1"}}, {Types: []string{"b"}}}}
	before := h.subscribeAs("two", request).ready.GetWarnings()
	require.Len(t, before, 2)
	h.append(waba("w3"), ofType("b"))
	h.append(waba("w1"), ofType("c"))
	require.Equal(t, before, h.subscribeAs("two", request).ready.GetWarnings())
	h.append(waba("w2"), ofType("b"))
	h.append(waba("w1"), ofType("a"))
	require.Empty(t, h.subscribeAs("two", request).ready.GetWarnings())
}

// TestTypeTrimsOfTheGrant: what retention did to other types is not told.
func TestTypeTrimsOfTheGrant(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.grant("a", access.Grant{AllWABAs: true, Types: []string{"a"}})
	h.grant("operator", access.Grant{Operate: true})
	for _, path := range []string{"a", "b", "b", "a", "c"} {
		h.append(ofType(path))
	}
	require.NoError(t, h.log.TrimType(t.Context(), "b", 3))
	for caller, want := range map[string]int{"a": 0, "operator": 0, "": 1} {
		ctx := t.Context()
		if caller != "" {
			ctx = as(ctx, caller)
		}
		info, err := h.client.GetLogInfo(ctx, &wabastreamv1.GetLogInfoRequest{})
		require.NoError(t, err)
		require.Len(t, info.GetTypeTrims(), want, caller)
		require.NotEmpty(t, info.GetEarliestCursor())
	}
}

// TestNobody: a call of which nobody asked who makes it gets nothing.
func TestNobody(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.append()
	for name, c := range map[string]struct {
		end    error
		reason string
	}{
		"missing": {nil, "CREDENTIALS_MISSING"},
		"revoked": {access.ErrInvalid, "CREDENTIALS_INVALID"},
		"expired": {access.ErrExpired, "CREDENTIALS_EXPIRED"},
	} {
		if c.end != nil {
			h.grant(name, access.Everything()).End(c.end)
		}
		ctx := as(t.Context(), name)
		requireReason(t, h.refusedIn(ctx, &wabastreamv1.SubscribeRequest{}), codes.Unauthenticated, c.reason)
		for _, call := range []func(context.Context) error{
			func(ctx context.Context) error {
				_, err := h.client.ListEvents(ctx, &wabastreamv1.ListEventsRequest{})
				return err
			},
			func(ctx context.Context) error {
				_, err := h.client.GetEvent(ctx, &wabastreamv1.GetEventRequest{Id: eventlog.ID{}.String()})
				return err
			},
			func(ctx context.Context) error {
				_, err := h.client.GetLogInfo(ctx, &wabastreamv1.GetLogInfoRequest{})
				return err
			},
		} {
			requireReason(t, status.Convert(call(ctx)), codes.Unauthenticated, c.reason)
		}
	}
}

// TestQuota: a consumer's quota is its own, wherever it calls from and whatever others
// have open.
func TestQuota(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarnessWith(t, stream.Config{MaxStreamsPerCaller: 2})
		few, one := access.Everything(), access.Everything()
		few.MaxStreams, one.MaxStreams = 3, 1
		h.grant("few", few)
		h.grant("one", one)
		h.grant("unbounded", access.Everything())
		request := &wabastreamv1.SubscribeRequest{}
		first := h.subscribeAs("few", request)
		require.EqualValues(t, 3, first.ready.GetGrant().GetMaxStreams())
		for range 2 {
			h.subscribeAs("few", request)
		}
		h.subscribeAs("one", request)
		for _, name := range []string{"few", "one"} {
			info := requireReason(t, h.refusedIn(as(t.Context(), name), request), codes.ResourceExhausted, "STREAM_LIMIT")
			require.NotEmpty(t, info.GetMetadata()["limit"])
		}
		require.EqualValues(t, 2, h.subscribeAs("unbounded", request).ready.GetGrant().GetMaxStreams())
		h.subscribe(request)
		requireReason(t, h.refusedIn(as(t.Context(), "unbounded"), request), codes.ResourceExhausted, "STREAM_LIMIT")
		first.cancel()
		<-time.After(time.Second)
		h.subscribeAs("few", request)
	})
}

package stream_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func (h *harness) list(req *wabastreamv1.ListEventsRequest) *wabastreamv1.ListEventsResponse {
	h.tb.Helper()
	page, err := h.client.ListEvents(context.Background(), req)
	require.NoError(h.tb, err)
	return page
}

// pages follows next_page_token to the end.
func (h *harness) pages(req *wabastreamv1.ListEventsRequest) (got []eventlog.Sequence) {
	h.tb.Helper()
	for {
		page := h.list(req)
		require.LessOrEqual(h.tb, len(page.GetEvents()), int(req.GetPageSize()))
		got = append(got, sequences(page.GetEvents())...)
		if page.GetNextPageToken() == "" {
			return got
		}
		req.PageToken, req.AfterCursor = page.GetNextPageToken(), ""
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	var w1, all []eventlog.Sequence
	for i := range 23 {
		id := "w2"
		if i%3 == 0 {
			id = "w1"
		}
		p := h.append(waba(id)).Sequence
		all = append(all, p)
		if id == "w1" {
			w1 = append(w1, p)
		}
	}
	reversed := func(s []eventlog.Sequence) (out []eventlog.Sequence) {
		for _, v := range slices.Backward(s) {
			out = append(out, v)
		}
		return out
	}
	filter := []*wabastreamv1.EventFilter{{WabaIds: []string{"w1"}}}
	oldest := wabastreamv1.ListOrder_LIST_ORDER_OLDEST_FIRST
	for _, size := range []int32{1, 4, 23, 1000} {
		require.Equal(t, reversed(all), h.pages(&wabastreamv1.ListEventsRequest{PageSize: size}))
		require.Equal(t, all, h.pages(&wabastreamv1.ListEventsRequest{PageSize: size, Order: oldest}))
		require.Equal(t, reversed(w1), h.pages(&wabastreamv1.ListEventsRequest{PageSize: size, Filters: filter}))
		require.Equal(t, w1, h.pages(&wabastreamv1.ListEventsRequest{PageSize: size, Filters: filter, Order: oldest}))
	}
	third := h.list(&wabastreamv1.ListEventsRequest{PageSize: 3, Order: oldest}).GetEvents()[2]
	require.Equal(t, all[3:], h.pages(&wabastreamv1.ListEventsRequest{PageSize: 5, Order: oldest, AfterCursor: third.GetCursor()}))
}

func TestListEmptyLog(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	require.Empty(t, h.list(&wabastreamv1.ListEventsRequest{}).GetEvents())
	page := h.list(&wabastreamv1.ListEventsRequest{Order: wabastreamv1.ListOrder_LIST_ORDER_OLDEST_FIRST})
	require.Empty(t, page.GetEvents())
	p := h.append()
	next := h.list(&wabastreamv1.ListEventsRequest{Order: wabastreamv1.ListOrder_LIST_ORDER_OLDEST_FIRST, AfterCursor: page.GetCursor()})
	require.Equal(t, []eventlog.Sequence{p.Sequence}, sequences(next.GetEvents()))
}

func TestListWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		req := &wabastreamv1.ListEventsRequest{
			Order: wabastreamv1.ListOrder_LIST_ORDER_OLDEST_FIRST, Wait: durationpb.New(time.Minute),
			Filters: []*wabastreamv1.EventFilter{{WabaIds: []string{"w1"}}},
		}
		begin := time.Now()
		require.Empty(t, h.list(req).GetEvents())
		require.Equal(t, time.Minute, time.Since(begin))

		done := make(chan *wabastreamv1.ListEventsResponse)
		go func() { done <- h.list(req) }()
		synctest.Wait()
		h.append(waba("other"))
		synctest.Wait()
		p := h.append(waba("w1"))
		require.Equal(t, []eventlog.Sequence{p.Sequence}, sequences((<-done).GetEvents()))
		require.Equal(t, time.Minute, time.Since(begin), "it answers at once")
	})
}

func TestListRefusals(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.appendMany(3)
	oldest := wabastreamv1.ListOrder_LIST_ORDER_OLDEST_FIRST
	token := h.list(&wabastreamv1.ListEventsRequest{PageSize: 1}).GetNextPageToken()
	foreign := newHarness(t)
	foreign.appendMany(2)
	foreignToken := foreign.list(&wabastreamv1.ListEventsRequest{PageSize: 1}).GetNextPageToken()
	cursor := h.list(&wabastreamv1.ListEventsRequest{PageSize: 1}).GetEvents()[0].GetCursor()
	for name, c := range map[string]struct {
		req    *wabastreamv1.ListEventsRequest
		code   codes.Code
		reason string
		field  string
	}{
		"page size":           {&wabastreamv1.ListEventsRequest{PageSize: 1001}, codes.InvalidArgument, "REQUEST_INVALID", "page_size"},
		"page size negative":  {&wabastreamv1.ListEventsRequest{PageSize: -1}, codes.InvalidArgument, "REQUEST_INVALID", "page_size"},
		"order":               {&wabastreamv1.ListEventsRequest{Order: 9}, codes.InvalidArgument, "REQUEST_INVALID", "order"},
		"wait, newest first":  {&wabastreamv1.ListEventsRequest{Wait: durationpb.New(time.Second)}, codes.InvalidArgument, "REQUEST_INVALID", "wait"},
		"wait too long":       {&wabastreamv1.ListEventsRequest{Order: oldest, Wait: durationpb.New(time.Hour)}, codes.InvalidArgument, "REQUEST_INVALID", "wait"},
		"cursor newest first": {&wabastreamv1.ListEventsRequest{AfterCursor: cursor}, codes.InvalidArgument, "REQUEST_INVALID", "after_cursor"},
		"cursor and token":    {&wabastreamv1.ListEventsRequest{Order: oldest, AfterCursor: cursor, PageToken: token}, codes.InvalidArgument, "REQUEST_INVALID", "after_cursor"},
		"malformed cursor":    {&wabastreamv1.ListEventsRequest{Order: oldest, AfterCursor: "x"}, codes.InvalidArgument, "CURSOR_MALFORMED", "after_cursor"},
		"malformed token":     {&wabastreamv1.ListEventsRequest{PageToken: "x"}, codes.InvalidArgument, "REQUEST_INVALID", "page_token"},
		"other order's token": {&wabastreamv1.ListEventsRequest{PageToken: token, Order: oldest}, codes.InvalidArgument, "REQUEST_INVALID", "page_token"},
		"other log's token":   {&wabastreamv1.ListEventsRequest{PageToken: foreignToken}, codes.FailedPrecondition, "CURSOR_LOG_MISMATCH", ""},
		"filter":              {&wabastreamv1.ListEventsRequest{Filters: []*wabastreamv1.EventFilter{{}}}, codes.InvalidArgument, "FILTER_INVALID", "filters[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := h.client.ListEvents(context.Background(), c.req)
			info := requireReason(t, status.Convert(err), c.code, c.reason)
			require.Equal(t, c.field, info.GetMetadata()["field"])
		})
	}
}

func TestGetEvent(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.append()
	listed := h.list(&wabastreamv1.ListEventsRequest{}).GetEvents()[0]
	got, err := h.client.GetEvent(t.Context(), &wabastreamv1.GetEventRequest{Id: listed.GetId()})
	require.NoError(t, err)
	require.Equal(t, listed.GetCursor(), got.GetEvent().GetCursor())
	require.Empty(t, got.GetEvent().GetRawJson())
	got, err = h.client.GetEvent(t.Context(), &wabastreamv1.GetEventRequest{Id: listed.GetId(), IncludeRawJson: true})
	require.NoError(t, err)
	require.NotEmpty(t, got.GetEvent().GetRawJson())

	_, err = h.client.GetEvent(t.Context(), &wabastreamv1.GetEventRequest{})
	requireReason(t, status.Convert(err), codes.InvalidArgument, "REQUEST_INVALID")
	_, err = h.client.GetEvent(t.Context(), &wabastreamv1.GetEventRequest{Id: eventlog.ID{9}.String()})
	requireReason(t, status.Convert(err), codes.NotFound, "EVENT_NOT_FOUND")
}

func TestGetLogInfo(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	info, err := h.client.GetLogInfo(t.Context(), &wabastreamv1.GetLogInfoRequest{})
	require.NoError(t, err)
	require.Equal(t, info.GetEarliestCursor(), info.GetHeadCursor())
	require.Nil(t, info.GetHeadTime())
	require.Zero(t, info.GetEventCount())
	h.appendMany(3)
	info, err = h.client.GetLogInfo(t.Context(), &wabastreamv1.GetLogInfoRequest{})
	require.NoError(t, err)
	require.EqualValues(t, 3, info.GetEventCount())
	require.NotEqual(t, info.GetEarliestCursor(), info.GetHeadCursor())
	require.False(t, info.GetHeadTime().AsTime().Before(info.GetEarliestTime().AsTime()))
	require.Equal(t, "test", info.GetServerVersion())
}

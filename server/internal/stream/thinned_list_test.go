package stream_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func TestListsAndTypeTrims(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.appendTypes("bmbmmbmb")
	old := h.cursors()
	h.trimType(message, 5)
	held := []eventlog.Sequence{1, 3, 6, 7, 8}
	for _, size := range []int32{1, 2, 100} {
		require.Equal(t, held, h.pages(&wabastreamv1.ListEventsRequest{PageSize: size, Order: oldest}))
		require.Equal(t, []eventlog.Sequence{8, 7, 6, 3, 1}, h.pages(&wabastreamv1.ListEventsRequest{PageSize: size}))
	}
	_, err := h.client.ListEvents(t.Context(), &wabastreamv1.ListEventsRequest{Order: oldest, AfterCursor: old[1]})
	info := requireReason(t, status.Convert(err), codes.OutOfRange, "CURSOR_EXPIRED")
	require.Equal(t, message, info.GetMetadata()["types"])
	require.Equal(t, held[1:], h.pages(&wabastreamv1.ListEventsRequest{PageSize: 2, Order: oldest, AfterCursor: info.GetMetadata()["earliest_cursor"]}))
	require.Equal(t, []eventlog.Sequence{3, 6, 8}, h.pages(&wabastreamv1.ListEventsRequest{
		PageSize: 2, Order: oldest, AfterCursor: old[1], Filters: onlyType("account_update"),
	}))

	page := h.list(&wabastreamv1.ListEventsRequest{PageSize: 1, Order: oldest})
	require.Equal(t, held[1:], h.pages(&wabastreamv1.ListEventsRequest{PageSize: 1, Order: oldest, AfterCursor: page.GetCursor()}), "to ask for what comes later")
	require.Equal(t, "3 6 7 8", h.story(&wabastreamv1.SubscribeRequest{Start: after(page.GetEvents()[0].GetCursor()), Stop: atHead()}))
}

// A page that begins behind what was gone is overtaken like any reader.
func TestTypeTrimBetweenPages(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.appendTypes("bmbmmbmb")
	h.trimType(message, 2)
	req := &wabastreamv1.ListEventsRequest{PageSize: 1, Order: oldest}
	req.PageToken = h.list(req).GetNextPageToken()
	h.trimType(message, 4)
	second := h.list(req)
	require.EqualValues(t, 3, second.GetEvents()[0].GetSequence(), "it has not come to the end of what it asked for")
	req.PageToken = second.GetNextPageToken()
	third := h.list(req)
	require.EqualValues(t, 5, third.GetEvents()[0].GetSequence())
	h.trimType(message, 7)
	req.PageToken = third.GetNextPageToken()
	_, err := h.client.ListEvents(t.Context(), req)
	info := requireReason(t, status.Convert(err), codes.OutOfRange, "CURSOR_EXPIRED")
	require.Equal(t, []eventlog.Sequence{6, 8}, h.pages(&wabastreamv1.ListEventsRequest{PageSize: 9, Order: oldest, AfterCursor: info.GetMetadata()["earliest_cursor"]}))
}

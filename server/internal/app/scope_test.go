package app

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// A caller with two accounts who asks for everything gets those two, and of people
// nothing, on every way there is.
func TestScopeHoldsOnEveryWay(t *testing.T) {
	t.Parallel()
	const person = "4915112345678"
	two := newConsumer("two", "waba_ids: ['1001', '1002']\ntypes: ['*']\npersonal_data: none")
	config := testConfig(t)
	config.AccessFile = newRoster(t, two).path
	config.Sources[0].Numbers = map[string]string{"1555": "1002", "1666": "1003"}
	a := startApp(t, config)
	for _, body := range []string{
		`{"field":"account_update","value":{"event":"ACCOUNT_DELETED","time":1757450905,"wabaId":"1001"}}`,
		`{"field":"account_update","value":{"event":"ACCOUNT_DELETED","time":1757450905,"wabaId":"1003"}}`,
		`{"field":"user_preferences","value":{"metadata":{"display_phone_number":"1555"},"user_preferences":[{"wa_id":"` + person + `","category":"marketing_messages","value":"stop","timestamp":"1753407219"}]}}`,
		`{"field":"user_preferences","value":{"metadata":{"display_phone_number":"1666"},"user_preferences":[{"wa_id":"` + person + `","category":"marketing_messages","value":"stop","timestamp":"1753407219"}]}}`,
		`{"field":"who_knows","value":{"wa_id":"` + person + `","wabaId":"1001"}}`,
	} {
		got := request(t, http.MethodPost, "http://"+a.Addrs().HTTP+"/webhooks/nxcloud", body, http.Header{"Content-Type": {"application/json"}})
		require.Equal(t, http.StatusOK, got.code)
	}
	ctx, cancel := context.WithCancel(carrying(t.Context(), two.token))
	defer cancel()
	events := wabastreamv1.NewEventServiceClient(a.conn)
	sub, err := events.Subscribe(ctx, &wabastreamv1.SubscribeRequest{
		Start: &wabastreamv1.SubscribeRequest_Position{Position: wabastreamv1.StartPosition_START_POSITION_EARLIEST},
		Stop:  &wabastreamv1.SubscribeRequest_StopAtHead{StopAtHead: true},
	}, grpc.WaitForReady(true))
	require.NoError(t, err)
	ready, err := sub.Recv()
	require.NoError(t, err)
	require.Equal(t, []string{"1001", "1002"}, ready.GetReady().GetGrant().GetWabaIds())
	var streamed []*wabastreamv1.Event
	for {
		frame, err := sub.Recv()
		if err != nil {
			break
		}
		streamed = append(streamed, frame.GetBatch().GetEvents()...)
	}
	page, err := events.ListEvents(ctx, &wabastreamv1.ListEventsRequest{IncludeRawJson: true}) // which names people
	require.NoError(t, err)
	for _, list := range [][]*wabastreamv1.Event{streamed, page.GetEvents()} {
		require.Len(t, list, 3)
		for _, e := range list {
			require.Contains(t, []string{"1001", "1002"}, e.GetWabaId())
			require.NotContains(t, e.String(), person)
			require.Empty(t, e.GetRawJson())
		}
	}

	_, err = events.ListEvents(ctx, &wabastreamv1.ListEventsRequest{Filters: []*wabastreamv1.EventFilter{{WabaIds: []string{"1001", "1003"}}}})
	requireReason(t, err, codes.PermissionDenied, "WABA_NOT_ALLOWED")

	api, bearer := "http://"+a.Addrs().API, "Bearer "+two.token
	got := request(t, http.MethodPost, api+"/v1/events:subscribe", `{"position":"START_POSITION_EARLIEST","stopAtHead":true}`, http.Header{"Authorization": {bearer}})
	require.Equal(t, http.StatusOK, got.code)
	require.Contains(t, got.body, "1002")
	require.NotContains(t, got.body, "1003")
	require.NotContains(t, got.body, person)

	r := subscribeSSE(t, oneUse(), api+"/v1/events:sse?from=earliest", "Authorization", bearer)
	defer r.close()
	var messages int
	for m, ok := r.next(); ok && m.event != "caught_up"; m, ok = r.next() {
		require.NotContains(t, m.data, "1003")
		require.NotContains(t, m.data, person)
		if m.event == "" {
			messages++
		}
	}
	require.Equal(t, 3, messages)
	got = request(t, http.MethodGet, api+"/v1/events:sse?waba_id=1003", "", http.Header{"Authorization": {bearer}})
	require.Equal(t, http.StatusForbidden, got.code)
	require.Contains(t, got.body, "WABA_NOT_ALLOWED")
}

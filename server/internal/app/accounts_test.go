package app

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// choice is a person's choice about a number, which names no account.
func choice(phone string, at int64) string {
	return fmt.Sprintf(`{"field":"user_preferences","value":{"metadata":{"display_phone_number":%q,"phone_number_id":"7"},"contacts":[{"wa_id":"4915112345678"}],"user_preferences":[{"wa_id":"4915112345678","category":"marketing_messages","value":"stop","timestamp":%d}]}}`, phone, at)
}

// tell posts a callback, and returns once the state of accounts has it.
func (r *running) tell(t *testing.T, body string) {
	t.Helper()
	got := request(t, http.MethodPost, "http://"+r.Addrs().HTTP+"/webhooks/nxcloud", body, http.Header{"Content-Type": {"application/json"}})
	require.Equal(t, http.StatusOK, got.code)
	bounds, err := r.log.Bounds(t.Context())
	require.NoError(t, err)
	require.NoError(t, r.state.Wait(t.Context(), bounds.Head.Sequence-1))
}

// choicesOf are the persons' choices that a subscriber to an account receives.
func (r *running) choicesOf(t *testing.T, waba string, unattributed bool) []*wabastreamv1.Event {
	t.Helper()
	stream, err := wabastreamv1.NewEventServiceClient(r.conn).Subscribe(t.Context(), &wabastreamv1.SubscribeRequest{
		Filters: []*wabastreamv1.EventFilter{{WabaIds: []string{waba}, IncludeUnattributed: unattributed, Types: []string{"user_preferences"}}},
		Start:   earliest(), Stop: &wabastreamv1.SubscribeRequest_StopAtHead{StopAtHead: true},
	}, grpc.WaitForReady(true))
	require.NoError(t, err)
	var events []*wabastreamv1.Event
	for {
		frame, err := stream.Recv()
		if err != nil {
			return events
		}
		events = append(events, frame.GetBatch().GetEvents()...)
	}
}

// A subscriber to an account receives what people chose about its numbers once these
// are known to be its, by configuration or because another callback said so, also after
// a restart; before that, only with what belongs to nobody.
func TestSubscribersOfAnAccountReceiveWhatPeopleChose(t *testing.T) {
	t.Parallel()
	config := testConfig(t)
	config.Sources[0].Numbers = map[string]string{"15559999": "1002"}
	a := startApp(t, config)
	a.tell(t, choice("15550001", 1753407219))
	require.Empty(t, a.choicesOf(t, "1001", false))
	require.Len(t, a.choicesOf(t, "1001", true), 1)

	a.tell(t, `{"field":"account_update","value":{"event":"ACCOUNT_VIOLATION","time":1757450905,"business_phone":"+1 555-0001","wabaId":"1001"}}`)
	a.tell(t, choice("15550001", 1753407220))
	got := a.choicesOf(t, "1001", false)
	require.Len(t, got, 1, "what came before stays as it was decided")
	require.Equal(t, wabastreamv1.WabaIdSource_WABA_ID_SOURCE_LEARNED, got[0].GetWabaIdSource())
	require.Len(t, a.choicesOf(t, "1001", true), 2)

	a.tell(t, choice("15559999", 1753407221))
	got = a.choicesOf(t, "1002", false)
	require.Len(t, got, 1)
	require.Equal(t, wabastreamv1.WabaIdSource_WABA_ID_SOURCE_CONFIGURED, got[0].GetWabaIdSource())

	require.NoError(t, a.stop())
	a = startApp(t, config)
	a.tell(t, choice("15550001", 1753407222))
	require.Len(t, a.choicesOf(t, "1001", false), 2)

	list, err := wabastreamv1.NewAccountServiceClient(a.conn).ListMarketingOptOuts(t.Context(), &wabastreamv1.ListMarketingOptOutsRequest{BusinessPhone: "15550001"})
	require.NoError(t, err)
	require.Len(t, list.GetOptOuts(), 1)
	code, answer := callAPI(t, a, "/v1/marketing-opt-outs:list", `{"businessPhone":"15550001"}`)
	require.Equal(t, http.StatusOK, code)
	require.Len(t, answer["optOuts"], 1)
	metrics := request(t, http.MethodGet, "http://"+a.Addrs().API+"/metrics", "", nil)
	require.Contains(t, metrics.body, `wabastream_attributions_total{outcome="learned"} 1`)
	require.Contains(t, metrics.body, `wabastream_accounts_behind_events 0`)
	require.Contains(t, metrics.body, `wabastream_account_events_stale_total 0`)
	require.NotContains(t, metrics.body, "15550001")
}

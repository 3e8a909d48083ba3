package stream_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/stream"
)

// preference is a person's, as package webhook stores it.
func preference(tb testing.TB, waID string) func(*eventlog.Record) {
	tb.Helper()
	payload, err := proto.Marshal(&wabastreamv1.Event{Payload: &wabastreamv1.Event_UserPreference{UserPreference: &wabastreamv1.UserPreference{
		WaId: waID, ProfileName: "Jo", Detail: "Jo wants no more", MessagingProduct: "whatsapp",
		Category: wabastreamv1.PreferenceCategory_PREFERENCE_CATEGORY_MARKETING_MESSAGES, CategoryText: "marketing_messages",
		Value: wabastreamv1.PreferenceValue_PREFERENCE_VALUE_STOP, ValueText: "stop",
	}}})
	require.NoError(tb, err)
	return func(r *eventlog.Record) {
		r.Payload, r.Raw, r.Type = payload, []byte(`{"wa_id":"`+waID+`"}`), "user_preferences.marketing_messages.stop"
	}
}

// seen is what is left of people in an event.
type seen struct {
	waID, name, detail, unrecognized, raw string
	redacted                              bool
}

func seenIn(e *wabastreamv1.Event) seen {
	p := e.GetUserPreference()
	return seen{p.GetWaId(), p.GetProfileName(), p.GetDetail(), e.GetUnrecognized().GetJson(), e.GetRawJson(), e.GetRedacted()}
}

// TestPersonalData: each caller sees of people what its grant says, live, replayed,
// listed and looked up, while others see more or less of the same events.
func TestPersonalData(t *testing.T) {
	t.Parallel()
	for _, recentBytes := range []int{1, 0} {
		t.Run(fmt.Sprintf("%d bytes", recentBytes), func(t *testing.T) {
			t.Parallel()
			h := newHarnessWith(t, stream.Config{RecentBytes: recentBytes, Pseudonym: func(id string) string { return "p(" + id + ")" }})
			personalData(h)
		})
	}
}

func personalData(h *harness) {
	h.tb.Helper()
	grant := func(p access.PersonalData, raw bool) access.Grant {
		return access.Grant{AllWABAs: true, Unattributed: true, AllTypes: true, PersonalData: p, RawJSON: raw}
	}
	full := seen{waID: "491511", name: "Jo", detail: "Jo wants no more"}
	raw := full
	raw.raw = `{"wa_id":"491511"}`
	hashed, none := seen{waID: "p(491511)", redacted: true}, seen{redacted: true}
	cases := map[string]struct {
		grant    access.Grant
		askRaw   bool
		sees     seen
		ofOthers seen
	}{
		"full":                {grant(access.PersonalDataFull, false), false, full, seen{unrecognized: "1"}},
		"full, may JSON":      {grant(access.PersonalDataFull, true), false, full, seen{unrecognized: "1"}},
		"full, wants JSON":    {grant(access.PersonalDataFull, true), true, raw, seen{unrecognized: "1", raw: `{"n":1}`}},
		"hashed":              {grant(access.PersonalDataHashed, false), false, hashed, none},
		"hashed, wants JSON":  {grant(access.PersonalDataHashed, false), true, hashed, none},
		"hashed, granted raw": {grant(access.PersonalDataHashed, true), true, hashed, none},
		"none":                {grant(access.PersonalDataNone, false), true, none, none},
		"unknown":             {grant(access.PersonalData(7), true), true, none, none},
	}
	live := map[string]*subscriber{}
	for name, c := range cases {
		h.grant(name, c.grant)
		live[name] = h.subscribeAs(name, &wabastreamv1.SubscribeRequest{IncludeRawJson: c.askRaw})
	}
	h.append()
	h.append(preference(h.tb, "491511"))
	for name, c := range cases {
		check := func(where string, events []*wabastreamv1.Event) {
			require.Len(h.tb, events, 2, "%s, %s", name, where)
			require.Equal(h.tb, c.ofOthers, seenIn(events[0]), "%s, %s", name, where)
			require.Equal(h.tb, c.sees, seenIn(events[1]), "%s, %s", name, where)
			require.Equal(h.tb, "user_preferences.marketing_messages.stop", events[1].GetType())
		}
		check("live", live[name].events(2))
		ended, err := h.subscribeAs(name, &wabastreamv1.SubscribeRequest{Start: earliest(), Stop: atHead(), IncludeRawJson: c.askRaw}).rest()
		require.NoError(h.tb, err)
		check("with an end", ended)
		check("replayed", h.subscribeAs(name, &wabastreamv1.SubscribeRequest{Start: earliest(), IncludeRawJson: c.askRaw}).events(2))

		ctx := as(context.Background(), name)
		page, err := h.client.ListEvents(ctx, &wabastreamv1.ListEventsRequest{Order: wabastreamv1.ListOrder_LIST_ORDER_OLDEST_FIRST, IncludeRawJson: c.askRaw})
		require.NoError(h.tb, err)
		check("listed", page.GetEvents())
		var got []*wabastreamv1.Event
		for _, e := range page.GetEvents() {
			one, err := h.client.GetEvent(ctx, &wabastreamv1.GetEventRequest{Id: e.GetId(), IncludeRawJson: c.askRaw})
			require.NoError(h.tb, err)
			got = append(got, one.GetEvent())
		}
		check("looked up", got)
	}
}

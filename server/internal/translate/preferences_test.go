package translate_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/translate"
)

func TestPreferencesThatStayWhole(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		`{}`,
		`{"user_preferences":[]}`,
		`{"user_preferences":null}`,
		`{"user_preferences":{"wa_id":"1"}}`,
		`{"user_preferences":"x"}`,
		`{"User_Preferences":[{}]}`,
		`{"user_preferences":[{}],"user_preferences":[]}`,
		`[{"user_preferences":[{}]}]`,
		`null`,
	} {
		body := `{"field":"user_preferences","value":` + value + `}`
		event := translateOne(t, body)
		require.Equal(t, "user_preferences", event.Type, body)
		require.Equal(t, body, event.Payload.GetUnrecognized().GetJson())
	}
}

func TestPreferenceEntriesKeepTheirOrderAndKind(t *testing.T) {
	t.Parallel()
	events := translateAll(t, []byte(preferences(`{"wa_id":"1"}`, `null`, `[]`, `{}`, `5`)))
	require.Len(t, events, 5)
	for i, want := range []string{`{"wa_id":"1"}`, `null`, `[]`, `{}`, `5`} {
		reduced, unrecognized := preferences(want), events[i].Payload.GetUnrecognized()
		if strings.HasPrefix(want, "{") {
			require.NotNil(t, events[i].Payload.GetUserPreference())
			require.Equal(t, reduced, string(events[i].Raw))
			continue
		}
		require.Equal(t, reduced, unrecognized.GetJson())
		require.Equal(t, "user_preferences", unrecognized.GetField())
		require.Nil(t, events[i].Raw)
	}
}

func TestReducedCallback(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, body string
		want       []string
	}{
		{
			"one entry: the body, strange contacts and white space included",
			" " + value("user_preferences", `"contacts":[ {"wa_id":"9"} ],"user_preferences":[ {"wa_id":"1"} ]`) + "\n",
			[]string{
				" " + value("user_preferences", `"contacts":[ {"wa_id":"9"} ],"user_preferences":[ {"wa_id":"1"} ]`) + "\n",
			},
		},
		{
			"contacts of other entries go, those of none stay",
			value("user_preferences", `"contacts":[{"wa_id":"9"},{"wa_id":"1"},{},{"wa_id":"2"},7],`+
				`"user_preferences":[{"wa_id":"1"},{"wa_id":"2"}]`),
			[]string{
				value("user_preferences", `"contacts":[{"wa_id":"9"},{"wa_id":"1"},{},7],"user_preferences":[{"wa_id":"1"}]`),
				value("user_preferences", `"contacts":[{"wa_id":"9"},{},{"wa_id":"2"},7],"user_preferences":[{"wa_id":"2"}]`),
			},
		},
		{
			"contacts after the entries; several of one person; ids as number and string",
			value("user_preferences", `"user_preferences":[{"wa_id":1},{"wa_id":"2"}],`+
				`"contacts":[{"wa_id":"1"},{"wa_id":2},{"wa_id":1,"b":0}],"z":0`),
			[]string{
				value("user_preferences", `"user_preferences":[{"wa_id":1}],"contacts":[{"wa_id":"1"},{"wa_id":1,"b":0}],"z":0`),
				value("user_preferences", `"user_preferences":[{"wa_id":"2"}],"contacts":[{"wa_id":2}],"z":0`),
			},
		},
		{
			"two entries of one person keep that person's contact",
			value("user_preferences", `"contacts":[{"wa_id":"1"}],"user_preferences":[{"wa_id":"1"},{"wa_id":"1","a":0}]`),
			[]string{
				value("user_preferences", `"contacts":[{"wa_id":"1"}],"user_preferences":[{"wa_id":"1"}]`),
				value("user_preferences", `"contacts":[{"wa_id":"1"}],"user_preferences":[{"wa_id":"1","a":0}]`),
			},
		},
		{
			"no id is nobody's id",
			value("user_preferences", `"contacts":[{"wa_id":""},{}],"user_preferences":[{"wa_id":""},{}]`),
			[]string{
				value("user_preferences", `"contacts":[{"wa_id":""},{}],"user_preferences":[{"wa_id":""}]`),
				value("user_preferences", `"contacts":[{"wa_id":""},{}],"user_preferences":[{}]`),
			},
		},
		{
			"white space around kept elements",
			value("user_preferences", `"contacts":[ {"wa_id":"1"} , {"wa_id":"2"} ],"user_preferences":[ {"wa_id":"1"} , {"wa_id":"2"}  ]`),
			[]string{
				value("user_preferences", `"contacts":[ {"wa_id":"1"} ],"user_preferences":[ {"wa_id":"1"}  ]`),
				value("user_preferences", `"contacts":[ {"wa_id":"2"} ],"user_preferences":[ {"wa_id":"2"}  ]`),
			},
		},
		{
			"contacts that are no array, and arrays of a name that comes again",
			`{"value":{"user_preferences":[8]},"field":"user_preferences","value":{"contacts":[{"wa_id":"1"}],` +
				`"contacts":{"wa_id":"2"},"user_preferences":[7],"user_preferences":[{"wa_id":"1"},{"wa_id":"2"}]}}`,
			[]string{
				`{"value":{"user_preferences":[8]},"field":"user_preferences","value":{"contacts":[{"wa_id":"1"}],` +
					`"contacts":{"wa_id":"2"},"user_preferences":[7],"user_preferences":[{"wa_id":"1"}]}}`,
				`{"value":{"user_preferences":[8]},"field":"user_preferences","value":{"contacts":[{"wa_id":"1"}],` +
					`"contacts":{"wa_id":"2"},"user_preferences":[7],"user_preferences":[{"wa_id":"2"}]}}`,
			},
		},
		{
			"no contacts, and empty contacts",
			value("user_preferences", `"contacts":[ ],"user_preferences":[{},{"a":1}]`),
			[]string{
				value("user_preferences", `"contacts":[ ],"user_preferences":[{}]`),
				value("user_preferences", `"contacts":[ ],"user_preferences":[{"a":1}]`),
			},
		},
	} {
		events := translateAll(t, []byte(tc.body))
		got := make([]string, len(events))
		for i := range events {
			got[i] = string(events[i].Raw)
		}
		require.Equal(t, tc.want, got, tc.name)
		for i := range events {
			again := translateOne(t, got[i])
			require.Equal(t, events[i].ID, again.ID, "%s: the reduced callback is the same event", tc.name)
			require.Equal(t, events[i].Type, again.Type, tc.name)
		}
	}
}

func TestProfileName(t *testing.T) {
	t.Parallel()
	for contacts, want := range map[string]string{
		`[{"wa_id":"1","profile":{"name":"Ada"}}]`:                                         "Ada",
		`[{"wa_id":1,"profile":{"name":"Ada"}}]`:                                           "Ada",
		`[{"wa_id":"2","profile":{"name":"Eve"}},{"wa_id":"1","profile":{"name":"Ada"}}]`:  "Ada",
		`[{"wa_id":"1"},{"wa_id":"1","profile":{"name":"Ada"}}]`:                           "Ada",
		`[{"wa_id":"1","profile":{"name":"Ada"}},{"wa_id":"1","profile":{"name":"Lady"}}]`: "Ada",
		`[{"wa_id":"2","profile":{"name":"Eve"}}]`:                                         "",
		`[{"wa_id":"1","profile":"Ada"}]`:                                                  "",
		`[{"profile":{"name":"Ada"}}]`:                                                     "",
		`[["wa_id","1"]]`:                                                                  "",
		`{"wa_id":"1","profile":{"name":"Ada"}}`:                                           "",
		`null`:                                                                             "",
	} {
		body := value("user_preferences", `"contacts":%s,"user_preferences":[{"wa_id":"1"}]`, contacts)
		require.Equal(t, want, translateOne(t, body).Payload.GetUserPreference().GetProfileName(), contacts)
	}
}

func TestEntriesAreBounded(t *testing.T) {
	t.Parallel()
	entries := make([]string, translate.MaxEntries+1)
	for i := range entries {
		entries[i] = fmt.Sprintf(`{"wa_id":"%d"}`, i)
	}
	require.Len(t, translateAll(t, []byte(preferences(entries[1:]...))), translate.MaxEntries)

	body := preferences(entries...)
	event := translateOne(t, body)
	require.Equal(t, "user_preferences", event.Type)
	require.Equal(t, body, event.Payload.GetUnrecognized().GetJson())
}

// A large rest times many entries would make a small body an enormous append.
func TestExpansionIsBounded(t *testing.T) {
	t.Parallel()
	const entries, frame = 16, len(`{"field":"user_preferences","value":{"rest":"","user_preferences":[{}]}}`)
	body := func(rest int) string {
		return value("user_preferences", `"rest":"%s","user_preferences":[%s{}]`,
			digits(rest), strings.Repeat("{},", entries-1))
	}
	fitting := translate.MaxExpandedBytes/entries - frame
	events := translateAll(t, []byte(body(fitting)))
	require.Len(t, events, entries)
	total := 0
	for i := range events {
		total += len(events[i].Raw)
	}
	require.Equal(t, translate.MaxExpandedBytes, total)

	require.Equal(t, body(fitting+1), translateOne(t, body(fitting+1)).Payload.GetUnrecognized().GetJson())
}

// What is stored is also bounded by what was sent.
func TestSmallBodiesDoNotExpandManyTimes(t *testing.T) {
	t.Parallel()
	body := value("user_preferences", `"rest":"%s","user_preferences":[%s{}]`, digits(2000), strings.Repeat("{},", 4000))
	require.Equal(t, body, translateOne(t, body).Payload.GetUnrecognized().GetJson())

	contacts := value("user_preferences", `"contacts":[%s0],"user_preferences":[%s0]`, strings.Repeat("0,", 500_000), strings.Repeat("0,", 2000))
	require.Equal(t, contacts, translateOne(t, contacts).Payload.GetUnrecognized().GetJson())
}

func TestReducedCallbacksAreJSON(t *testing.T) {
	t.Parallel()
	body := value("user_preferences", `"contacts":[%s],"user_preferences":[%s]`,
		`{"wa_id":"a"},{"wa_id":"b"},{"wa_id":"c"},{"wa_id":"x"},{"wa_id":"a"}`,
		`{"wa_id":"a"},{"wa_id":"c"},"b",{"wa_id":"b"},{"wa_id":"a"}`)
	for _, event := range translateAll(t, []byte(body)) {
		raw := event.Raw
		if raw == nil {
			raw = []byte(event.Payload.GetUnrecognized().GetJson())
		}
		require.True(t, json.Valid(raw), "%s", raw)
	}
}

package translate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/testing/protocmp"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/translate"
)

func TestType(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 70)
	for _, tc := range []struct{ body, want string }{
		{`{"field":"f","value":{"event":"E"}}`, "f.e"},
		{`{"field":"f","value":{"decision":"D"}}`, "f.d"},
		{`{"field":"f","value":{"event":"E","decision":"D"}}`, "f.e"},
		{`{"field":"f","value":{"event":null,"decision":"D"}}`, "f.d"},
		{`{"field":"f","value":{"event":5,"decision":"D"}}`, "f"},
		{`{"field":"f","value":{"event":"","decision":"D"}}`, "f"},
		{`{"field":"f","value":{"event":["E"]}}`, "f"},
		{`{"field":"f","value":{"Event":"E"}}`, "f"},
		{`{"field":"f","value":{"\u0065vent":"E"}}`, "f.e"},
		{`{"field":"f","value":{"event":"A","event":"B"}}`, "f.b"},
		{`{"field":"f","value":"E"}`, "f"},
		{`{"field":"f"}`, "f"},
		{`{"field":"a","field":"b"}`, "b"},
		{`{"field":"Some  Field-Name!"}`, "some_field_name_"},
		{`{"field":"a-_-b"}`, "a___b"},
		{`{"field":"a.b"}`, "a_b"},
		{`{"field":"ÄÖ9"}`, "_9"},
		{`{"field":"\ud800\u0000z"}`, "_z"},
		{`{"field":"` + long + `","value":{"event":"` + long + `"}}`, long[:64] + "." + long[:64]},

		{`{"field":"account_update","value":{"event":"DISABLED_UPDATE","ban_info":{"waba_ban_state":"DISABLE"}}}`,
			"account_update.disabled_update.disable"},
		{`{"field":"account_update","value":{"event":"DISABLED_UPDATE","ban_info":{"waba_ban_state":7}}}`,
			"account_update.disabled_update"},
		{`{"field":"account_update","value":{"event":"DISABLED_UPDATE"}}`, "account_update.disabled_update"},
		{`{"field":"account_update","value":{"event":"X","ban_info":{"waba_ban_state":"DISABLE"}}}`, "account_update.x"},
		{`{"field":"other","value":{"event":"DISABLED_UPDATE","ban_info":{"waba_ban_state":"DISABLE"}}}`,
			"other.disabled_update"},
		{preferences(`{"category":"c","value":"v"}`), "user_preferences.c.v"},
		{preferences(`{"category":"c"}`), "user_preferences.c"},
		{preferences(`{"value":"v"}`), "user_preferences.v"},
		{preferences(`{"category":1,"value":""}`), "user_preferences"},

		{`{"messages":[],"statuses":[],"calls":[]}`, "messages"},
		{`{"calls":[],"statuses":[]}`, "statuses"},
		{`{"calls":[]}`, "calls"},
		{`{"messages":null,"calls":{}}`, "calls"},
		{`{"field":"","messages":[]}`, "messages"},
		{`{"field":5,"calls":[]}`, "calls"},
		{`{"field":null}`, "unrecognized"},
		{`{"Field":"f","value":{"event":"E"}}`, "unrecognized"},
		{`{}`, "unrecognized"},
		{`[{"field":"f"}]`, "unrecognized"},
		{`"field"`, "unrecognized"},
		{`null`, "unrecognized"},
	} {
		require.Equal(t, tc.want, translateOne(t, tc.body).Type, tc.body)
	}
}

// A log's header bounds the type, and a preference with an event is the longest.
func TestLongestTypeFitsTheLog(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 100)
	event := translateOne(t, fmt.Sprintf(
		`{"field":"user_preferences","value":{"event":%q,"user_preferences":[{"category":%q,"value":%q}]}}`,
		long, long, long))
	require.Len(t, event.Type, len("user_preferences")+3*65)
	require.LessOrEqual(t, len(event.Type), translate.MaxTextBytes)
}

func TestSeverity(t *testing.T) {
	t.Parallel()
	const (
		info     = wabastreamv1.Severity_SEVERITY_INFO
		warning  = wabastreamv1.Severity_SEVERITY_WARNING
		critical = wabastreamv1.Severity_SEVERITY_CRITICAL
	)
	for _, tc := range []struct {
		field, value string
		want         wabastreamv1.Severity
	}{
		{"account_update", `{"event":"DISABLED_UPDATE","ban_info":{"waba_ban_state":"DISABLE"}}`, critical},
		{"account_update", `{"event":"DISABLED_UPDATE","ban_info":{"waba_ban_state":"SCHEDULE_FOR_DISABLE"}}`, critical},
		{"account_update", `{"event":"DISABLED_UPDATE","ban_info":{"waba_ban_state":"REINSTATE"}}`, info},
		{"account_update", `{"event":"DISABLED_UPDATE","ban_info":{"waba_ban_state":"NEW"}}`, warning},
		{"account_update", `{"event":"DISABLED_UPDATE"}`, warning},
		{"account_update", `{"event":"ACCOUNT_DELETED"}`, critical},
		{"account_update", `{"event":"PARTNER_REMOVED"}`, critical},
		{"account_update", `{"event":"ACCOUNT_VIOLATION"}`, warning},
		{"account_update", `{"event":"ACCOUNT_RESTRICTION"}`, warning},
		{"account_update", `{"event":"MM_LITE_TERMS_SIGNED"}`, info},
		{"account_update", `{"event":"PHONE_NUMBER_ADDED"}`, info},
		{"account_update", `{"event":"PHONE_NUMBER_REMOVED"}`, info},
		{"account_update", `{"event":"DISABLED_UPDATES"}`, info},
		{"account_update", `{}`, info},
		{"account_review_update", `{"decision":"APPROVED"}`, info},
		{"account_review_update", `{"decision":"REJECTED"}`, warning},
		{"account_review_update", `{"decision":"PENDING"}`, info},
		{"phone_number_name_update", `{"decision":"APPROVED"}`, info},
		{"phone_number_name_update", `{"decision":"REJECTED"}`, warning},
		{"phone_number_name_update", `{"decision":"DEFERRED"}`, info},
		{"phone_number_quality_update", `{"event":"FLAGGED"}`, warning},
		{"phone_number_quality_update", `{"event":"DOWNGRADE"}`, warning},
		{"phone_number_quality_update", `{"event":"UNFLAGGED"}`, info},
		{"phone_number_quality_update", `{"event":"UPGRADE"}`, info},
		{"user_preferences", `{"user_preferences":[{"category":"marketing_messages","value":"stop"}]}`, info},
		{"message_template_status_update", `{"event":"REJECTED"}`, info},
	} {
		body := fmt.Sprintf(`{"field":%q,"value":%s}`, tc.field, tc.value)
		require.Equal(t, tc.want, translateOne(t, body).Severity, body)
	}
}

func TestSubject(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ body, waba, phone, phoneID string }{
		{`{"field":"f","value":{"wabaId":"1","business_phone":"2","metadata":{"phone_number_id":"3"}}}`, "1", "2", "3"},
		{`{"field":"f","value":{"wabaId":1,"business_phone":2,"metadata":{"phone_number_id":3}}}`, "1", "2", "3"},
		{`{"field":"f","value":{"wabaId":9007199254740993}}`, "9007199254740993", "", ""},
		{`{"field":"f","value":{"waba_info":{"waba_id":"7"}}}`, "7", "", ""},
		{`{"field":"f","value":{"wabaId":"1","waba_info":{"waba_id":"7"}}}`, "1", "", ""},
		{`{"field":"f","value":{"wabaId":null,"waba_info":{"waba_id":"7"}}}`, "7", "", ""},
		{`{"field":"f","value":{"wabaId":true,"business_phone":[2],"metadata":{"phone_number_id":{}}}}`, "", "", ""},
		{`{"field":"f","value":{"wabaid":"1","WABAID":"1","Business_Phone":"2"}}`, "", "", ""},
		{`{"field":"f","value":{"wabaId":"1","wabaId":"2"}}`, "2", "", ""},
		{`{"field":"f","wabaId":"1","business_phone":"2","metadata":{"phone_number_id":"3"},"value":{}}`, "1", "2", "3"},
		{`{"field":"f","wabaId":"no","business_phone":"no","value":{"wabaId":"1","business_phone":"2"}}`, "1", "2", ""},
		{`{"calls":[],"wabaId":"1","business_phone":"2","metadata":{"phone_number_id":"3"}}`, "1", "2", "3"},
		{`{"calls":[],"wabaId":"1","value":{"wabaId":"no","business_phone":"2"}}`, "1", "2", ""},
		{`{"field":"f","value":{"metadata":{"display_phone_number":"2"}}}`, "", "", ""},
		{`{"field":"f","value":{"display_phone_number":"2"}}`, "", "2", ""},
		{`{"field":"f","value":{"display_phone_number":"no","business_phone":"2"}}`, "", "2", ""},
		{`{"field":"user_preferences","value":{"metadata":{"display_phone_number":"2"},"business_phone":"no"}}`, "", "2", ""},
		{`{"field":"f","value":{"business_phone":"+1 (555) 790-2885"}}`, "", "+1 (555) 790-2885", ""},
		{`[{"wabaId":"1"}]`, "", "", ""},
	} {
		event := translateOne(t, tc.body)
		require.Equal(t, tc.waba, event.WABAID, tc.body)
		require.Equal(t, tc.phone, event.BusinessPhone, tc.body)
		require.Equal(t, tc.phoneID, event.Payload.GetPhoneNumberId(), tc.body)
	}
}

func TestOversizeIDsAreLeftOutAndTheEventIsUnrecognized(t *testing.T) {
	t.Parallel()
	const fit = translate.MaxTextBytes
	for _, tc := range []struct {
		name, body string
		typed      bool
		phone      int
	}{
		{"id that fits", value("account_review_update", `"wabaId":"%s"`, digits(fit)), true, 0},
		{"id too long", value("account_review_update", `"wabaId":"%s"`, digits(fit+1)), false, 0},
		{"phone that fits", value("account_review_update", `"business_phone":"%s"`, digits(fit)), true, fit},
		{"phone too long", value("account_review_update", `"business_phone":"%s"`, digits(fit+1)), false, 0},
		{"phone id too long", value("account_review_update", `"metadata":{"phone_number_id":"%s"}`, digits(fit+1)), false, 0},
		{"number of a preference too long", value("user_preferences",
			`"user_preferences":[{"wa_id":"1"}],"metadata":{"display_phone_number":"%s"}`, digits(fit+1)), false, 0},
	} {
		event := translateOne(t, tc.body)
		require.Equal(t, tc.typed, event.Payload.GetUnrecognized() == nil, tc.name)
		require.Len(t, event.BusinessPhone, tc.phone, tc.name)
		if !tc.typed {
			require.Empty(t, event.WABAID, tc.name)
			require.Equal(t, tc.body, event.Payload.GetUnrecognized().GetJson(), tc.name)
			require.Nil(t, event.Raw, tc.name)
		}
	}
}

func TestOccurTime(t *testing.T) {
	t.Parallel()
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
	long := strings.Repeat("é", 200)
	for _, tc := range []struct {
		time  string
		want  time.Time
		text  string
		timed bool
	}{
		{`1761265095`, at(1761265095), "", true},
		{`"1761265095"`, at(1761265095), "", true},
		{`"0001761265095"`, at(1761265095), "", true},
		{`0`, at(0), "", true},
		{`253402300799`, at(253402300799), "", true},
		{`253402300800`, time.Time{}, "253402300800", true},
		{`9404640000000`, time.Time{}, "9404640000000", true}, // the year 300000
		{`1761265095000`, time.Time{}, "1761265095000", true}, // milliseconds
		{`-1`, time.Time{}, "-1", true},
		{`"+1"`, time.Time{}, "+1", true},
		{`1761265095.0`, time.Time{}, "1761265095.0", true},
		{`1.761265095e9`, time.Time{}, "1.761265095e9", true},
		{`99999999999999999999999`, time.Time{}, "99999999999999999999999", true},
		{`"1_000"`, time.Time{}, "1_000", true},
		{`" 1761265095"`, time.Time{}, " 1761265095", true},
		{`"2025-10-24"`, time.Time{}, "2025-10-24", true},
		{`"` + long + `"`, time.Time{}, long[:256], true},
		{`"x` + long + `"`, time.Time{}, "x" + long[:254], true},
		{`""`, time.Time{}, "", false},
		{`null`, time.Time{}, "", false},
		{`true`, time.Time{}, "", false},
		{`{"a":1}`, time.Time{}, "", false},
		{`[1761265095]`, time.Time{}, "", false},
	} {
		for _, body := range []string{
			value("account_update", `"time":%s`, tc.time),
			value("anything", `"time":%s`, tc.time),
			preferences(`{"timestamp":` + tc.time + `}`),
		} {
			event := translateOne(t, body)
			require.Equal(t, tc.want, event.OccurTime, body)
			require.Equal(t, tc.text, event.Payload.GetOccurTimeText(), body)
			require.Equal(t, tc.timed, event.Timed, body)
		}
	}
}

func TestPreferenceTimeIsItsOwnBeforeTheCallbacks(t *testing.T) {
	t.Parallel()
	events := translateAll(t, []byte(`{"field":"user_preferences","value":{"time":5,"user_preferences":[{"timestamp":6},{}]}}`))
	require.Len(t, events, 2)
	require.Equal(t, int64(6), events[0].OccurTime.Unix())
	require.Equal(t, int64(5), events[1].OccurTime.Unix())
}

func TestBanDate(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text string
		want *wabastreamv1.CalendarDate
	}{
		{"October 22, 2025", &wabastreamv1.CalendarDate{Year: 2025, Month: 10, Day: 22}},
		{"Oct 2, 2025", &wabastreamv1.CalendarDate{Year: 2025, Month: 10, Day: 2}},
		{"May 01, 0001", &wabastreamv1.CalendarDate{Year: 1, Month: 5, Day: 1}},
		{"February 29, 2028", &wabastreamv1.CalendarDate{Year: 2028, Month: 2, Day: 29}},
		{"February 29, 2027", nil},
		{"January 1, 0000", nil},
		{"Octo 22, 2025", nil},
		{"October 32, 2025", nil},
		{"October 22, 12025", nil},
		{"22 October 2025", nil},
		{"2025-10-22", nil},
		{"", nil},
	} {
		event := translateOne(t, value("account_update", `"ban_info":{"waba_ban_date":%q}`, tc.text))
		got := event.Payload.GetAccountUpdate().GetBanInfo()
		require.Equal(t, tc.text, got.GetDateText())
		require.Empty(t, cmp.Diff(tc.want, got.GetDate(), protocmp.Transform()), tc.text)
	}
}

func TestTypedPayloads(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, body string
		typed      bool
	}{
		{"value is an object", `{"field":"account_update","value":{}}`, true},
		{"value is an array", `{"field":"account_update","value":[]}`, false},
		{"value is null", `{"field":"account_update","value":null}`, false},
		{"value is missing", `{"field":"account_update"}`, false},
		{"the last value counts", `{"field":"account_update","value":{},"value":1}`, false},
		{"field in another case", `{"field":"Account_Update","value":{}}`, false},
		{"field with a space", `{"field":"account_update ","value":{}}`, false},
		{"field escaped", `{"field":"account\u005fupdate","value":{}}`, true},
		{"field without a message", `{"field":"history","value":{}}`, false},
		{"no field", `{"value":{"event":"DISABLED_UPDATE"}}`, false},
	} {
		event := translateOne(t, tc.body)
		require.Equal(t, tc.typed, event.Payload.GetUnrecognized() == nil, tc.name)
		require.Equal(t, wabastreamv1.Provider_PROVIDER_NXCLOUD, event.Payload.GetProvider())
		if tc.typed {
			require.Equal(t, tc.body, string(event.Raw), tc.name)
		} else {
			require.Nil(t, event.Raw, tc.name)
			require.Equal(t, tc.body, event.Payload.GetUnrecognized().GetJson(), tc.name)
		}
	}
}

func TestUnrecognizedKeepsTheBodyTrimmedAndTheFieldCut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 200)
	event := translateOne(t, " \r\n\t{ \"field\" : \"x"+long+"\" }\n")
	require.Equal(t, `{ "field" : "x`+long+`" }`, event.Payload.GetUnrecognized().GetJson())
	require.Equal(t, "x"+long[:254], event.Payload.GetUnrecognized().GetField())

	require.Equal(t, "12.50", translateOne(t, `{"field":12.50}`).Payload.GetUnrecognized().GetField())
}

func TestTypedPayloadIsBounded(t *testing.T) {
	t.Parallel()
	name := func(size int) string {
		return value("phone_number_name_update", `"requested_verified_name":"%s"`, strings.Repeat("n", size))
	}
	require.NotNil(t, translateOne(t, name(translate.MaxTypedBytes-100)).Payload.GetPhoneNumberNameUpdate())
	require.NotNil(t, translateOne(t, name(translate.MaxTypedBytes)).Payload.GetUnrecognized())

	restrictions := value("account_update", `"restriction_info":[%s{}]`, strings.Repeat("{},", translate.MaxEntries))
	require.NotNil(t, translateOne(t, restrictions).Payload.GetUnrecognized())
	restrictions = value("account_update", `"restriction_info":[%s{}]`, strings.Repeat("{},", translate.MaxEntries-1))
	require.Len(t, translateOne(t, restrictions).Payload.GetAccountUpdate().GetRestrictionInfo(), translate.MaxEntries)
}

func TestTextsAreDecoded(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{
		`"plain"`:                          "plain",
		`"\"\\\/\b\f\n\r\t"`:               "\"\\/\b\f\n\r\t",
		`"\u0000\u001f"`:                   "\x00\x1f",
		`"\u00E9\u00e9é"`:                  "ééé",
		`"\ud83d\ude00"`:                   "😀",
		`"\uD83D\uDE00"`:                   "😀",
		`"\ud83d"`:                         "\uFFFD",
		`"\ude00\ud83d"`:                   "\uFFFD\uFFFD",
		`"\ud83d\ud83d\ude00"`:             "\uFFFD😀",
		`"\ud83dx\u0041"`:                  "\uFFFDxA",
		`"\ud83d\n"`:                       "\uFFFD\n",
		"\"\uFFFD\U0010FFFF\u007f\ud7ff\"": "\uFFFD\U0010FFFF\u007f\ud7ff",
		`-0.5e+3`:                          "-0.5e+3",
		`true`:                             "",
		`null`:                             "",
		`{"a":"b"}`:                        "",
		`["a"]`:                            "",
	} {
		event := translateOne(t, value("phone_number_name_update", `"requested_verified_name":%s`, sent))
		require.Equal(t, want, event.Payload.GetPhoneNumberNameUpdate().GetRequestedVerifiedName(), sent)
	}
}

// value is a callback with the members of its value.
func value(field, members string, args ...any) string {
	return fmt.Sprintf(`{"field":%q,"value":{`, field) + fmt.Sprintf(members, args...) + `}}`
}

// preferences is a user_preferences callback with these entries.
func preferences(entries ...string) string {
	return value("user_preferences", `"user_preferences":[%s]`, strings.Join(entries, ","))
}

func digits(n int) string { return strings.Repeat("7", n) }

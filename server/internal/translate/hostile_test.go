package translate_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/client/callbacks"
	"github.com/wabastream/wabastream/server/internal/translate"
)

func TestDepth(t *testing.T) {
	t.Parallel()
	body := func(depth int) string { // value and the body are two levels
		return value("account_update", `"event":"ACCOUNT_DELETED","wabaId":"1","time":5,"x":%s%s`,
			strings.Repeat("[", depth-2), strings.Repeat("]", depth-2))
	}
	require.NotNil(t, translateOne(t, body(translate.MaxDepth)).Payload.GetAccountUpdate())
	for _, depth := range []int{translate.MaxDepth + 1, 100_000, 1_000_000} {
		event := translateOne(t, body(depth))
		require.Equal(t, "account_update.account_deleted", event.Type)
		require.Equal(t, "1", event.WABAID)
		require.Equal(t, int64(5), event.OccurTime.Unix())
		kept := event.Payload.GetUnrecognized().GetJson() == body(depth)
		require.True(t, kept) // the texts are too long to be shown
	}
}

func TestDeepPreferencesStayWhole(t *testing.T) {
	t.Parallel()
	body := preferences("{}", strings.Repeat("[", translate.MaxDepth)+strings.Repeat("]", translate.MaxDepth))
	event := translateOne(t, body)
	require.Equal(t, "user_preferences", event.Type)
	require.Equal(t, body, event.Payload.GetUnrecognized().GetJson())
}

func TestDeepNestingThatNeverEnds(t *testing.T) {
	t.Parallel()
	for _, opening := range []string{"[", `{"a":`, `[{"":`, "[[],"} {
		_, err := translate.Callback(source, []byte(strings.Repeat(opening, (1<<20)/len(opening))))
		require.ErrorIs(t, err, translate.ErrNotJSON)
	}
}

// Shapes that would take minutes if anything were quadratic in them.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	const size = 1 << 19
	fill := func(s string) string { return strings.Repeat(s, size/len(s)) }
	numbered := func(format string, count int) string {
		var b strings.Builder
		for i := range count {
			fmt.Fprintf(&b, format, count-i)
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	for name, body := range map[string]string{
		"deep objects":        strings.Repeat(`{"a":`, size/6) + "1" + strings.Repeat("}", size/6),
		"wide array":          "[" + fill("1,") + "1]",
		"array of arrays":     "[" + fill("[],") + "[]]",
		"one name":            `{"field":"account_update","value":{` + fill(`"time":1,`) + `"time":1}}`,
		"names backwards":     `{"field":"account_update","value":{` + numbered(`"n%07d":1,`, size/13) + `}}`,
		"escaped names":       `{"field":"account_update","value":{` + fill(`"\u0061\u0062":1,`) + `"a":1}}`,
		"one text":            `{"field":"` + fill("x") + `"}`,
		"one escaped text":    value("phone_number_name_update", `"requested_verified_name":"%s"`, fill(`\ud800`)),
		"one number":          value("account_update", `"time":%s`, fill("9")),
		"restrictions":        value("account_update", `"restriction_info":[%s{}]`, fill("{},")),
		"empty entries":       preferences(strings.TrimSuffix(fill("{},"), ",")),
		"10,000 entries":      preferences(numbered(`{"wa_id":"%d"},`, 10_000)),
		"contacts of nobody":  value("user_preferences", `"contacts":[%s{}],"user_preferences":[{},{},{},{}]`, fill("{},")),
		"contacts of another": wideContacts(fill(`{"wa_id":"1"},`), 4095),
		"contacts of all":     wideContacts(numbered(`{"wa_id":"%d"},`, 4096)+",", 4095),
		"one person":          wideContacts(fill(`{"wa_id":"0"},`), 4095),
		"rest times entries":  value("user_preferences", `"x":"%s","user_preferences":[%s{}]`, fill("x"), strings.Repeat("{},", 4095)),
		"rest members":        value("user_preferences", `%s"user_preferences":[%s{}]`, fill(`"x":0,`), strings.Repeat("{},", 4095)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events := translateAll(t, []byte(body))
			requireSoundEvent(t, &events[0])
			requireSoundEvent(t, &events[len(events)-1])
		})
	}
}

// wideContacts has these contacts, one entry for person 1 and others for 0.
func wideContacts(contacts string, others int) string {
	return value("user_preferences", `"contacts":[%s{}],"user_preferences":[{"wa_id":"1"}%s]`,
		contacts, strings.Repeat(`,{"wa_id":"0"}`, others))
}

// Every member of every example in turn holds what it should not.
func TestWrongTypesEverywhere(t *testing.T) {
	t.Parallel()
	wrong := []string{
		`null`, `true`, `false`, `0`, `-1`, `1.5`, `1e400`, `9007199254740993`, `253402300800`, `""`, `" "`, `"x"`,
		`"\ud800"`, `"\u0000"`, `[]`, `{}`, `[null]`, `[[]]`, `[{}]`, `[1,"a",{"wa_id":5}]`, `{"wa_id":{}}`,
		`"` + digits(300) + `"`, digits(300),
	}
	for _, example := range callbacks.NXCloud() {
		t.Run(example.Name, func(t *testing.T) {
			t.Parallel()
			var body any
			require.NoError(t, json.Unmarshal(example.Body, &body))
			places := 0
			for _, replacement := range wrong {
				places = 0
				forEachPlace(&body, func() {
					places++
					hostile, err := json.Marshal(body)
					require.NoError(t, err)
					requireSound(t, hostile, translateAll(t, hostile))
				}, json.RawMessage(replacement))
			}
			require.GreaterOrEqual(t, places, 7)
		})
	}
}

// forEachPlace calls check with each value inside v, and v itself, replaced in
// turn.
func forEachPlace(v *any, check func(), replacement json.RawMessage) {
	original := *v
	*v = replacement
	check()
	*v = original
	switch container := original.(type) {
	case map[string]any:
		for name, child := range container {
			forEachPlace(&child, func() {
				container[name] = child
				check()
			}, replacement)
			container[name] = child
		}
	case []any:
		for i := range container {
			forEachPlace(&container[i], check, replacement)
		}
	}
}

// Names count exactly: a callback whose names are in another case is unknown.
func TestNamesInAnotherCase(t *testing.T) {
	t.Parallel()
	for _, example := range callbacks.NXCloud() {
		var body map[string]any
		require.NoError(t, json.Unmarshal(example.Body, &body))
		inValue, ok := body["value"].(map[string]any)
		require.True(t, ok)
		upper := map[string]any{}
		for name, child := range inValue {
			upper[strings.ToUpper(name)] = child
		}
		hostile, err := json.Marshal(map[string]any{"field": body["field"], "value": upper})
		require.NoError(t, err)
		event := translateOne(t, string(hostile))
		require.Equal(t, body["field"], event.Type, example.Name)
		require.Empty(t, event.WABAID)
		require.Empty(t, event.BusinessPhone)
		require.False(t, event.Timed)
	}
}

func TestTopLevelArrayIsOneEvent(t *testing.T) {
	t.Parallel()
	one := string(callbacks.NXCloud()[0].Body)
	event := translateOne(t, "["+one+","+one+"]")
	require.Equal(t, "unrecognized", event.Type)
	require.Empty(t, event.Payload.GetUnrecognized().GetField())
}

func TestErrorsQuoteNothing(t *testing.T) {
	t.Parallel()
	const secret = "16505551234"
	for cut := range 40 {
		body := `{"wa_id":"` + secret + `","n":` + secret + `,` + strconv.Itoa(cut)
		_, err := translate.Callback(source, []byte(body[:len(body)-min(cut, len(body))]))
		require.ErrorIs(t, err, translate.ErrNotJSON)
		require.NotContains(t, err.Error(), secret[:5])
	}
}

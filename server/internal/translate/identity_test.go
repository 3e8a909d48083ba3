package translate_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/client/callbacks"
	"github.com/wabastream/wabastream/server/internal/translate"
)

func idOf(t *testing.T, body string) [20]byte {
	t.Helper()
	return translateOne(t, body).ID
}

func TestSameID(t *testing.T) {
	t.Parallel()
	nested := strings.Repeat("[", translate.MaxDepth+1)
	closing := strings.Repeat("]", translate.MaxDepth+1)
	for _, tc := range []struct{ name, a, b string }{
		{"order of members", `{"a":1,"b":{"c":2,"d":3}}`, `{"b":{"d":3,"c":2},"a":1}`},
		{"white space", `{"a":[1,2],"b":"x"}`, "\n{ \"a\" :\t[ 1 , 2 ] ,\r\"b\" : \"x\" } "},
		{"escapes in texts", `"a/é😀\n"`, `"\u0061\/\u00E9\uD83D\ude00\u000a"`},
		{"escapes in names", `{"a":1,"\u0062":2}`, `{"b":2,"\u0061":1}`},
		{"case of a lone surrogate", `"\uD800"`, `"\ud800"`},
		{"names by their bytes, not their escapes", `{"!":1,"\"":2,"\u0000":3}`, `{"\"":2,"\u0000":3,"\u0021":1}`},
		{"white space when nested deep", nested + `"a b\" \\"` + closing, " " + nested + "\n \"a b\\\" \\\\\"" + closing},
		{"a preference within its callback", preferences(`{"wa_id":"1","a":2}`), preferences(`{ "a":2, "wa_id":"1" }`)},
	} {
		require.Equal(t, idOf(t, tc.a), idOf(t, tc.b), tc.name)
	}
}

func TestOtherID(t *testing.T) {
	t.Parallel()
	nested, closing := strings.Repeat("[", translate.MaxDepth+1), strings.Repeat("]", translate.MaxDepth+1)
	for _, tc := range []struct{ name, a, b string }{
		{"integers above 2^53", `{"a":9007199254740992}`, `{"a":9007199254740993}`},
		{"1 and 1.0", `[1]`, `[1.0]`},
		{"1 and 1e0", `[1]`, `[1e0]`},
		{"0 and -0", `0`, `-0`},
		{"number and string", `[1]`, `["1"]`},
		{"null and absent", `{"a":null}`, `{}`},
		{"null and its text", `null`, `"null"`},
		{"order of elements", `[1,2]`, `[2,1]`},
		{"array and element", `[1]`, `1`},
		{"empty array and object", `[]`, `{}`},
		{"where it nests", `[[1],2]`, `[[1,2]]`},
		{"one duplicate less", `{"a":1,"a":1}`, `{"a":1}`},
		{"order of duplicates", `{"a":1,"a":2}`, `{"a":2,"a":1}`},
		{"order of duplicates, one escaped", `{"a":1,"\u0061":2}`, `{"\u0061":2,"a":1}`},
		{"name and value", `{"a":"b"}`, `{"b":"a"}`},
		{"case of a name", `{"a":1}`, `{"A":1}`},
		{"case of a text", `"a"`, `"A"`},
		{"form of a character", `"é"`, `"e\u0301"`},
		{"lone surrogate and U+FFFD", `"\ud800"`, `"\ufffd"`},
		{"two lone surrogates", `"\ud800"`, `"\ud801"`},
		{"lone surrogate and its escape as text", `"\ud800"`, `"\\ud800"`},
		{"lone surrogates in names", `{"\ud800":1}`, `{"\udfff":1}`},
		{"escaped and plain backslash", `"\\n"`, `"\n"`},
		{"NUL and nothing", `"\u0000"`, `""`},
		{"order of members when nested deep", nested + `{"a":1,"b":2}` + closing, nested + `{"b":2,"a":1}` + closing},
		{"white space in texts when nested deep", nested + `"a b"` + closing, nested + `"ab"` + closing},
		{"an array of one preference and its hole", preferences(`{}`), preferences()},
	} {
		require.NotEqual(t, idOf(t, tc.a), idOf(t, tc.b), tc.name)
	}
}

func TestSourceIsPartOfTheID(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{}`, preferences(`{}`)} {
		seen := map[[20]byte]string{}
		for _, source := range []string{"", "a", "b", "ab"} {
			events, err := translate.Callback(source, []byte(body))
			require.NoError(t, err)
			require.NotContains(t, seen, events[0].ID)
			seen[events[0].ID] = source
		}
	}
}

// What is hashed, once more and by hand: other programs may have to.
func TestIDByHand(t *testing.T) {
	t.Parallel()
	size := func(n int) string { return string(binary.BigEndian.AppendUint64(nil, uint64(n))) }
	sum := func(parts ...string) string {
		s := sha256.Sum256([]byte(strings.Join(parts, "")))
		return string(s[:])
	}
	const tag = "wabastream event id 1\x00"
	rest := func(canonical string) string { return sum(tag, size(len(source)), source, sum(canonical)) }

	whole := translateOne(t, `{ "b":1.0, "\u0061":"\u002f\n\ud800\"é", "a":[ ] }`)
	want := sum(rest(`{"a":"/\u000a\ud800\"é","a":[],"b":1.0}`), size(0))
	require.Equal(t, want[:20], string(whole.ID[:]))

	entries := translateAll(t, []byte(value("user_preferences",
		`"user_preferences":[{"wa_id":"2"},{"wa_id":"1"},{"wa_id":"1"}],"contacts":[{"wa_id":"9"},{"wa_id":"1"},{"wa_id":"2"}]`)))
	common := rest(`{"field":"user_preferences","value":{"contacts":[{"wa_id":"9"}],"user_preferences":` + "\x00}}")
	one := sum(common, sum(`{"wa_id":"1"}`), size(1), sum(`{"wa_id":"1"}`))
	two := sum(common, sum(`{"wa_id":"2"}`), size(1), sum(`{"wa_id":"2"}`))
	for i, want := range []string{sum(two, size(0)), sum(one, size(0)), sum(one, size(1))} {
		require.Equal(t, want[:20], string(entries[i].ID[:]), i)
	}
}

func TestPreferenceHasOneIDAloneAndAmongOthers(t *testing.T) {
	t.Parallel()
	entry := func(i int) string { return fmt.Sprintf(`{"wa_id":"%d","value":"stop"}`, i) }
	contact := func(i int) string { return fmt.Sprintf(`{"wa_id":"%d","profile":{"name":"n%d"}}`, i, i) }
	callback := func(contacts, entries []string) []byte {
		return []byte(value("user_preferences", `"contacts":[%s],"user_preferences":[%s]`,
			strings.Join(contacts, ","), strings.Join(entries, ",")))
	}
	var contacts, entries []string
	for i := range 20 {
		contacts, entries = append(contacts, contact(i)), append(entries, entry(i))
	}
	seen := map[[20]byte]bool{}
	for i, event := range translateAll(t, callback(contacts, entries)) {
		alone := translateAll(t, callback(contacts[i:i+1], entries[i:i+1]))
		require.Equal(t, alone[0].ID, event.ID)
		require.False(t, seen[event.ID])
		seen[event.ID] = true
	}
}

func TestEqualPreferencesAreCounted(t *testing.T) {
	t.Parallel()
	const a, b = `{"wa_id":"1"}`, `{"wa_id":"2"}`
	events := translateAll(t, []byte(preferences(a, b, a, a)))
	require.Equal(t, idOf(t, preferences(a)), events[0].ID)
	require.Equal(t, idOf(t, preferences(b)), events[1].ID)
	ids := map[[20]byte]bool{}
	for i := range events {
		ids[events[i].ID] = true
	}
	require.Len(t, ids, 4)

	again := translateAll(t, []byte(preferences(b, a, a, a)))
	for i := range again {
		require.True(t, ids[again[i].ID], "the same choices in another order are the same events")
	}
}

// The place of an entry's own contact among those that every entry keeps is
// content too.
func TestOrderOfContactsIsPartOfTheID(t *testing.T) {
	t.Parallel()
	body := func(contacts string) string {
		return value("user_preferences", `"contacts":[%s],"user_preferences":[{"wa_id":"1"}]`, contacts)
	}
	const own, own2, other = `{"wa_id":"1"}`, `{"wa_id":"1","x":0}`, `{"wa_id":"9"}`
	seen := map[[20]byte]string{}
	for _, contacts := range []string{
		"", own, other, own + "," + other, other + "," + own, other + "," + other, own + "," + own,
		own + "," + own2, own2 + "," + own, own + "," + other + "," + own2,
	} {
		id := idOf(t, body(contacts))
		require.Empty(t, seen[id])
		seen[id] = "seen before: " + contacts
	}
	require.NotContains(t, seen, idOf(t, preferences(own)), "no contacts member at all")
}

func TestCallbacksOfThePageHaveDifferentIDs(t *testing.T) {
	t.Parallel()
	seen := map[[20]byte]string{}
	for _, example := range callbacks.NXCloud() {
		id := translateAll(t, example.Body)[0].ID
		require.Empty(t, seen[id], example.Name)
		seen[id] = example.Name
		spaced := bytes.ReplaceAll(example.Body, []byte(":"), []byte(" :\t"))
		require.Equal(t, id, idOf(t, string(spaced)), example.Name)
	}
}

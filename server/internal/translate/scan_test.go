package translate_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/translate"
)

func TestNotJSON(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"":                      "at byte 0, its end: expected a value",
		" \n":                   "at byte 2, its end: expected a value",
		"\ufeff{}":              "at byte 0: expected a value",
		"\x00":                  "at byte 0: expected a value",
		"{}\x00":                "at byte 2: expected nothing more",
		"{} {}":                 "at byte 3: expected nothing more",
		"\u00a0{}":              "at byte 0: expected a value",
		"{}\v":                  "at byte 2: expected nothing more",
		"// c":                  "at byte 0: expected a value",
		"'a'":                   "at byte 0: expected a value",
		"NaN":                   "at byte 0: expected a value",
		"a=b":                   "at byte 0: expected a value",
		"tru":                   "at byte 3, its end: expected true",
		"fals3":                 "at byte 4: expected false",
		"nul ":                  "at byte 3: expected null",
		"nulll":                 "at byte 4: expected nothing more",
		"[":                     "at byte 1, its end: expected a value",
		"[,]":                   "at byte 1: expected a value",
		"[1":                    "at byte 2, its end: expected ',' or ']'",
		"[1 2]":                 "at byte 3: expected ',' or ']'",
		"[1}":                   "at byte 2: expected ',' or ']'",
		"[1,]":                  "at byte 3: expected a value",
		"]":                     "at byte 0: expected a value",
		"{":                     "at byte 1, its end: expected a member name or '}'",
		"{a:1}":                 "at byte 1: expected a member name or '}'",
		`{"a"}`:                 "at byte 4: expected ':'",
		`{"a":}`:                "at byte 5: expected a value",
		`{"a":1`:                "at byte 6, its end: expected ',' or '}'",
		`{"a":1]`:               "at byte 6: expected ',' or '}'",
		`{"a":1,}`:              "at byte 7: expected a member name",
		`{"a":1,2}`:             "at byte 7: expected a member name",
		`{"a":{"b":[1}}`:        "at byte 12: expected ',' or ']'",
		`{1:2}`:                 "at byte 1: expected a member name or '}'",
		`"`:                     "at byte 1, its end: expected the end of the string",
		`"a\"`:                  "at byte 4, its end: expected the end of the string",
		"\"a\nb\"":              "at byte 2: expected an escape in place of a control character",
		"\"\x00\"":              "at byte 1: expected an escape in place of a control character",
		"\"\x1f\"":              "at byte 1: expected an escape in place of a control character",
		`"\`:                    "at byte 2, its end: expected an escape that JSON has",
		`"\x41"`:                "at byte 2: expected an escape that JSON has",
		`"\U0041"`:              "at byte 2: expected an escape that JSON has",
		`"\u00g0"`:              "at byte 5: expected a hexadecimal digit",
		`"\u00`:                 "at byte 5, its end: expected a hexadecimal digit",
		"\"\xff\"":              "at byte 1: expected valid UTF-8",
		"\"\xc3\"":              "at byte 1: expected valid UTF-8",
		"\"\xc0\x80\"":          "at byte 1: expected valid UTF-8", // overlong
		"\"\xed\xa0\x80\"":      "at byte 1: expected valid UTF-8", // a surrogate
		"\"\xf4\x90\x80\x80\"":  "at byte 1: expected valid UTF-8", // beyond U+10FFFF
		"{\"\x80\":1}":          "at byte 2: expected valid UTF-8",
		"-":                     "at byte 1, its end: expected a digit",
		"-a":                    "at byte 1: expected a digit",
		"+1":                    "at byte 0: expected a value",
		".5":                    "at byte 0: expected a value",
		"01":                    "at byte 1: expected nothing more",
		"-01":                   "at byte 2: expected nothing more",
		"[00]":                  "at byte 2: expected ',' or ']'",
		"1.":                    "at byte 2, its end: expected a digit",
		"1.e5":                  "at byte 2: expected a digit",
		"1e":                    "at byte 2, its end: expected a digit",
		"1e+":                   "at byte 3, its end: expected a digit",
		"0x10":                  "at byte 1: expected nothing more",
		"1_000":                 "at byte 1: expected nothing more",
		`{"wa_id":"16505551234`: "at byte 21, its end: expected the end of the string",
	} {
		events, err := translate.Callback(source, []byte(body))
		require.ErrorIs(t, err, translate.ErrNotJSON, "%q", body)
		require.EqualError(t, err, "body is not JSON: "+want, "%q", body)
		require.Empty(t, events)
	}
}

func TestEveryTruncationOfACallbackIsRefused(t *testing.T) {
	t.Parallel()
	body := value("account_update", `"a":[1,-2.5e-1,true,false,null,"\u00e9é"],"b":{"c":{}}`)
	for end := range len(body) {
		_, err := translate.Callback(source, []byte(body[:end]))
		require.ErrorIs(t, err, translate.ErrNotJSON)
	}
	translateOne(t, body)
}

func TestEveryJSONTextIsAnEvent(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		"null", "true", "false", "0", "-0", "-0.0", "1e9", "1E-9", "1.5e+300", `""`, `"\u0000"`, `"\ud800"`,
		"[]", "[ ]", "{}", "{\t}", "[[],{}]", `{"":""}`, `{"a":1,"a":2}`, "[null]", " \t\r\n[\n1\n,\n2\n]\n",
		strings.Repeat("9", 1000), "0." + strings.Repeat("9", 1000) + "e99999",
	} {
		event := translateOne(t, body)
		require.Equal(t, "unrecognized", event.Type, body)
		require.Equal(t, strings.Trim(body, " \t\r\n"), event.Payload.GetUnrecognized().GetJson())
		require.Empty(t, event.Payload.GetUnrecognized().GetField())
	}
}

package translate_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/wabastream/wabastream/client/callbacks"
)

// Callbacks of up to half of MaxTypedBytes become typed without a look at the
// payload's size: none may be twice as large as what it came from.
func TestPayloadIsNeverTwiceItsCallback(t *testing.T) {
	t.Parallel()
	bodies := densestBodies()
	for _, example := range callbacks.NXCloud() {
		bodies[example.Name] = example.Body
	}
	for name, body := range bodies {
		for _, event := range translateAll(t, body) {
			require.Nil(t, event.Payload.GetUnrecognized(), name)
			require.Less(t, proto.Size(event.Payload), 2*len(body), name)
		}
	}
}

// densestBodies have as little JSON around each field of a payload as can be.
func densestBodies() map[string][]byte {
	restrictions := func(element string) []byte {
		elements := strings.TrimSuffix(strings.Repeat(element+",", 1000), ",")
		return []byte(value("account_update", `"restriction_info":[%s]`, elements))
	}
	return map[string][]byte{
		"nothing":      []byte(value("account_update", "")),
		"no members":   restrictions(`{}`),
		"least time":   restrictions(`{"expiration":1}`),
		"longest time": restrictions(`{"expiration":253402300799}`),
		"type":         restrictions(`{"restriction_type":"RESTRICTED_ADD_PHONE_NUMBER_ACTION"}`),
		"date":         []byte(value("account_update", `"ban_info":{"waba_ban_date":"May 1, 2025"}`)),
		"limit":        []byte(value("phone_number_quality_update", `"old_limit":"TIER_50"`)),
		"preference":   []byte(preferences(`{"category":"marketing_messages","value":"stop","wa_id":1,"detail":2}`)),
		"surrogates":   []byte(value("phone_number_name_update", `"requested_verified_name":"%s"`, strings.Repeat(`\ud800`, 1000))),
		"one text":     []byte(value("phone_number_name_update", `"requested_verified_name":%s`, digits(30_000))),
	}
}

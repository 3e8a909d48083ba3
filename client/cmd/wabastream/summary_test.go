package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

func TestSummary(t *testing.T) {
	t.Parallel()
	until := localTime(timestamppb.New(time.Unix(1, 0)))
	const account, name, quality = `{"accountUpdate":{"event":"ACCOUNT_UPDATE_EVENT_`, `{"phoneNumberNameUpdate":{`, `{"phoneNumberQualityUpdate":{`
	for event, want := range map[string]string{
		`{}`: "",
		account + `DISABLED_UPDATE","banInfo":{"state":"BAN_STATE_DISABLE","stateText":"DISABLE","dateText":"October 22, 2025"}}}`: "banned (DISABLE) on October 22, 2025",
		account + `DISABLED_UPDATE","banInfo":{"state":"BAN_STATE_REINSTATE","stateText":"REINSTATE"}}}`:                           "reinstated (REINSTATE)",
		account + `DISABLED_UPDATE","banInfo":{"state":"BAN_STATE_SCHEDULE_FOR_DISABLE","stateText":"SCHEDULE_FOR_DISABLE"}}}`:     "to be banned (SCHEDULE_FOR_DISABLE)",
		account + `DISABLED_UPDATE","banInfo":{"stateText":"PARDONED"}}}`:                                                          "ban state (PARDONED)",
		account + `DISABLED_UPDATE"}}`:   "ban state",
		account + `ACCOUNT_VIOLATION"}}`: "policy violated",
		account + `ACCOUNT_VIOLATION","violationInfo":{"violationTypeText":"ADULT"}}}`: "policy violated: ADULT",
		account + `ACCOUNT_RESTRICTION"}}`:                                             "account restricted",
		account + `ACCOUNT_RESTRICTION","restrictionInfo":[{"restrictionTypeText":"R1","expireTime":"1970-01-01T00:00:01Z","expireTimeText":"1"},{"restrictionTypeText":"R2","expireTimeText":"soon"}]}}`: "account restricted: R1 until " + until + ", R2 until soon",
		account + `ACCOUNT_DELETED"}}`: "account deleted",
		account + `PARTNER_REMOVED","wabaInfo":{"ownerBusinessId":"17"},"disconnectionInfo":{"reasonText":"ACCOUNT_DISCONNECTED","initiatedByText":"USER"}}}`:                                           "partner removed, reason ACCOUNT_DISCONNECTED, by USER, owner business 17",
		account + `MM_LITE_TERMS_SIGNED","wabaInfo":{"ownerBusinessId":"17"}}}`:                                                                                                                         "terms of Marketing Messages Lite signed, owner business 17",
		account + `PHONE_NUMBER_ADDED","phoneNumber":"+1 555"}}`:                                                                                                                                        "phone number +1 555 added",
		account + `PHONE_NUMBER_REMOVED"}}`:                                                                                                                                                             "phone number removed",
		account + `UNSPECIFIED","eventText":"SOMETHING_NEW"}}`:                                                                                                                                          "SOMETHING_NEW",
		`{"accountReviewUpdate":{"decision":"REVIEW_DECISION_APPROVED","decisionText":"APPROVED"}}`:                                                                                                     "account review: APPROVED",
		name + `"decisionText":"REJECTED","requestedVerifiedName":"ok ok","rejectionReasonText":"BIZ_COMMERCE_VIOLATION_OTHER"}}`:                                                                       `name "ok ok" rejected: BIZ_COMMERCE_VIOLATION_OTHER`,
		name + `"decisionText":"APPROVED","requestedVerifiedName":"ok \"ok","rejectionReason":"NAME_REJECTION_REASON_NONE","rejectionReasonText":"NONE"}}`:                                              `name "ok \"ok" approved`,
		quality + `"event":"PHONE_NUMBER_QUALITY_EVENT_FLAGGED","eventText":"FLAGGED","currentLimitText":"TIER_1K"}}`:                                                                                   "limit TIER_1K, quality FLAGGED",
		quality + `"event":"PHONE_NUMBER_QUALITY_EVENT_UPGRADE","eventText":"UPGRADE","currentLimitText":"TIER_10K","oldLimitText":"TIER_1K","maxDailyConversationsPerBusinessText":"TIER_UNLIMITED"}}`: "limit TIER_10K, was TIER_1K, change UPGRADE, business limit TIER_UNLIMITED",
		`{"userPreference":{"waId":"4915112345678","profileName":"Jane","detail":"Jane chose","valueText":"stop","categoryText":"marketing_messages"}}`:                                                 "a user chose stop marketing_messages",
		`{"unrecognized":{"field":"messages","json":"{\"from\":\"4915112345678\"}"}}`:                                                                                                                   "24 bytes of JSON that have no message yet; --raw shows them",
		`{"accountReviewUpdate":{"decisionText":"` + strings.Repeat("é", 500) + `"}}`:                                                                                                                   "account review: " + strings.Repeat("é", 184) + "…",
	} {
		parsed := &wabastreamv1.Event{}
		require.NoError(t, protojson.Unmarshal([]byte(event), parsed), event)
		require.Equal(t, want, summary(parsed), event)
	}
}

package translate_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// Every value that the contract knows is reached by exactly one text, and that
// text in another case, like any unknown text, is kept beside "unspecified".
func TestVocabularies(t *testing.T) {
	t.Parallel()
	const lower = "sent in lower case"
	account := (*wabastreamv1.Event).GetAccountUpdate
	quality := (*wabastreamv1.Event).GetPhoneNumberQualityUpdate
	for _, vocabulary := range []struct {
		enum   protoreflect.Enum
		prefix string // of the enum's names, sent is it in texts
		sent   string
		body   func(text string) string
		enumOf func(*wabastreamv1.Event) (protoreflect.Enum, string)
	}{
		{wabastreamv1.AccountUpdateEvent(0), "ACCOUNT_UPDATE_EVENT_", "", in("account_update", `"event":%q`),
			func(e *wabastreamv1.Event) (protoreflect.Enum, string) {
				return account(e).GetEvent(), account(e).GetEventText()
			}},
		{wabastreamv1.BanState(0), "BAN_STATE_", "", in("account_update", `"ban_info":{"waba_ban_state":%q}`),
			func(e *wabastreamv1.Event) (protoreflect.Enum, string) {
				return account(e).GetBanInfo().GetState(), account(e).GetBanInfo().GetStateText()
			}},
		{wabastreamv1.RestrictionType(0), "RESTRICTION_TYPE_", "RESTRICTED_",
			in("account_update", `"restriction_info":[{"restriction_type":%q}]`),
			func(e *wabastreamv1.Event) (protoreflect.Enum, string) {
				info := account(e).GetRestrictionInfo()[0]
				return info.GetRestrictionType(), info.GetRestrictionTypeText()
			}},
		{wabastreamv1.ReviewDecision(0), "REVIEW_DECISION_", "", in("account_review_update", `"decision":%q`),
			func(e *wabastreamv1.Event) (protoreflect.Enum, string) {
				return e.GetAccountReviewUpdate().GetDecision(), e.GetAccountReviewUpdate().GetDecisionText()
			}},
		{wabastreamv1.ReviewDecision(0), "REVIEW_DECISION_", "", in("phone_number_name_update", `"decision":%q`),
			func(e *wabastreamv1.Event) (protoreflect.Enum, string) {
				return e.GetPhoneNumberNameUpdate().GetDecision(), e.GetPhoneNumberNameUpdate().GetDecisionText()
			}},
		{wabastreamv1.NameRejectionReason(0), "NAME_REJECTION_REASON_", "",
			in("phone_number_name_update", `"rejection_reason":%q`),
			func(e *wabastreamv1.Event) (protoreflect.Enum, string) {
				update := e.GetPhoneNumberNameUpdate()
				return update.GetRejectionReason(), update.GetRejectionReasonText()
			}},
		{wabastreamv1.PhoneNumberQualityEvent(0), "PHONE_NUMBER_QUALITY_EVENT_", "",
			in("phone_number_quality_update", `"event":%q`),
			func(e *wabastreamv1.Event) (protoreflect.Enum, string) {
				return quality(e).GetEvent(), quality(e).GetEventText()
			}},
		{wabastreamv1.MessagingLimit(0), "MESSAGING_LIMIT_", "", in("phone_number_quality_update", `"current_limit":%q`),
			func(e *wabastreamv1.Event) (protoreflect.Enum, string) {
				return quality(e).GetCurrentLimit(), quality(e).GetCurrentLimitText()
			}},
		{wabastreamv1.MessagingLimit(0), "MESSAGING_LIMIT_", "", in("phone_number_quality_update", `"old_limit":%q`),
			func(e *wabastreamv1.Event) (protoreflect.Enum, string) {
				return quality(e).GetOldLimit(), quality(e).GetOldLimitText()
			}},
		{wabastreamv1.MessagingLimit(0), "MESSAGING_LIMIT_", "",
			in("phone_number_quality_update", `"max_daily_conversations_per_business":%q`),
			func(e *wabastreamv1.Event) (protoreflect.Enum, string) {
				return quality(e).GetMaxDailyConversationsPerBusiness(),
					quality(e).GetMaxDailyConversationsPerBusinessText()
			}},
		{wabastreamv1.PreferenceCategory(0), "PREFERENCE_CATEGORY_", lower,
			in("user_preferences", `"user_preferences":[{"category":%q}]`),
			func(e *wabastreamv1.Event) (protoreflect.Enum, string) {
				return e.GetUserPreference().GetCategory(), e.GetUserPreference().GetCategoryText()
			}},
		{wabastreamv1.PreferenceValue(0), "PREFERENCE_VALUE_", lower,
			in("user_preferences", `"user_preferences":[{"value":%q}]`),
			func(e *wabastreamv1.Event) (protoreflect.Enum, string) {
				return e.GetUserPreference().GetValue(), e.GetUserPreference().GetValueText()
			}},
	} {
		check := func(text string, want protoreflect.EnumNumber) {
			got, gotText := vocabulary.enumOf(translateOne(t, vocabulary.body(text)).Payload)
			require.Equal(t, want, got.Number(), text)
			require.Equal(t, text, gotText)
		}
		values := vocabulary.enum.Descriptor().Values()
		require.Greater(t, values.Len(), 1)
		for i := range values.Len() {
			name := strings.TrimPrefix(string(values.Get(i).Name()), vocabulary.prefix)
			text, otherCase := vocabulary.sent+name, strings.ToLower(vocabulary.sent+name)
			if vocabulary.sent == lower { // the only vocabularies that are
				text, otherCase = strings.ToLower(name), name
			}
			check(text, values.Get(i).Number())
			check(otherCase, 0)
			check(text+" ", 0)
		}
		check("SOMETHING_NEW", 0)
	}
}

func in(field, members string) func(string) string {
	return func(text string) string { return value(field, members, text) }
}

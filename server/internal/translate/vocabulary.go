package translate

import wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"

// The provider's vocabularies as documented on NXCloud's phone webhook page and
// in Meta's webhook reference. All are open: values beyond them are normal and
// become "unspecified" beside their text. Case counts: a value in another case
// has not been documented either.

func accountUpdateEvent(text string) wabastreamv1.AccountUpdateEvent {
	switch text {
	case "DISABLED_UPDATE":
		return wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_DISABLED_UPDATE
	case "ACCOUNT_VIOLATION":
		return wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_ACCOUNT_VIOLATION
	case "ACCOUNT_RESTRICTION":
		return wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_ACCOUNT_RESTRICTION
	case "ACCOUNT_DELETED":
		return wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_ACCOUNT_DELETED
	case "PARTNER_REMOVED":
		return wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_PARTNER_REMOVED
	case "MM_LITE_TERMS_SIGNED":
		return wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_MM_LITE_TERMS_SIGNED
	case "PHONE_NUMBER_ADDED":
		return wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_PHONE_NUMBER_ADDED
	case "PHONE_NUMBER_REMOVED":
		return wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_PHONE_NUMBER_REMOVED
	}
	return wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_UNSPECIFIED
}

func banState(text string) wabastreamv1.BanState {
	switch text {
	case "DISABLE":
		return wabastreamv1.BanState_BAN_STATE_DISABLE
	case "REINSTATE":
		return wabastreamv1.BanState_BAN_STATE_REINSTATE
	case "SCHEDULE_FOR_DISABLE":
		return wabastreamv1.BanState_BAN_STATE_SCHEDULE_FOR_DISABLE
	}
	return wabastreamv1.BanState_BAN_STATE_UNSPECIFIED
}

func restrictionType(text string) wabastreamv1.RestrictionType {
	switch text {
	case "RESTRICTED_ADD_PHONE_NUMBER_ACTION":
		return wabastreamv1.RestrictionType_RESTRICTION_TYPE_ADD_PHONE_NUMBER_ACTION
	case "RESTRICTED_BIZ_INITIATED_MESSAGING":
		return wabastreamv1.RestrictionType_RESTRICTION_TYPE_BIZ_INITIATED_MESSAGING
	case "RESTRICTED_CUSTOMER_INITIATED_MESSAGING":
		return wabastreamv1.RestrictionType_RESTRICTION_TYPE_CUSTOMER_INITIATED_MESSAGING
	}
	return wabastreamv1.RestrictionType_RESTRICTION_TYPE_UNSPECIFIED
}

func reviewDecision(text string) wabastreamv1.ReviewDecision {
	switch text {
	case "APPROVED":
		return wabastreamv1.ReviewDecision_REVIEW_DECISION_APPROVED
	case "REJECTED":
		return wabastreamv1.ReviewDecision_REVIEW_DECISION_REJECTED
	case "PENDING":
		return wabastreamv1.ReviewDecision_REVIEW_DECISION_PENDING
	case "DEFERRED":
		return wabastreamv1.ReviewDecision_REVIEW_DECISION_DEFERRED
	}
	return wabastreamv1.ReviewDecision_REVIEW_DECISION_UNSPECIFIED
}

func nameRejectionReason(text string) wabastreamv1.NameRejectionReason {
	switch text {
	case "NONE":
		return wabastreamv1.NameRejectionReason_NAME_REJECTION_REASON_NONE
	case "BIZ_COMMERCE_VIOLATION_OTHER":
		return wabastreamv1.NameRejectionReason_NAME_REJECTION_REASON_BIZ_COMMERCE_VIOLATION_OTHER
	}
	return wabastreamv1.NameRejectionReason_NAME_REJECTION_REASON_UNSPECIFIED
}

func phoneNumberQualityEvent(text string) wabastreamv1.PhoneNumberQualityEvent {
	switch text {
	case "FLAGGED":
		return wabastreamv1.PhoneNumberQualityEvent_PHONE_NUMBER_QUALITY_EVENT_FLAGGED
	case "UNFLAGGED":
		return wabastreamv1.PhoneNumberQualityEvent_PHONE_NUMBER_QUALITY_EVENT_UNFLAGGED
	case "UPGRADE":
		return wabastreamv1.PhoneNumberQualityEvent_PHONE_NUMBER_QUALITY_EVENT_UPGRADE
	case "DOWNGRADE":
		return wabastreamv1.PhoneNumberQualityEvent_PHONE_NUMBER_QUALITY_EVENT_DOWNGRADE
	case "ONBOARDING":
		return wabastreamv1.PhoneNumberQualityEvent_PHONE_NUMBER_QUALITY_EVENT_ONBOARDING
	case "THROUGHPUT_UPGRADE":
		return wabastreamv1.PhoneNumberQualityEvent_PHONE_NUMBER_QUALITY_EVENT_THROUGHPUT_UPGRADE
	}
	return wabastreamv1.PhoneNumberQualityEvent_PHONE_NUMBER_QUALITY_EVENT_UNSPECIFIED
}

func messagingLimit(text string) wabastreamv1.MessagingLimit {
	switch text {
	case "TIER_NOT_SET":
		return wabastreamv1.MessagingLimit_MESSAGING_LIMIT_TIER_NOT_SET
	case "TIER_50":
		return wabastreamv1.MessagingLimit_MESSAGING_LIMIT_TIER_50
	case "TIER_250":
		return wabastreamv1.MessagingLimit_MESSAGING_LIMIT_TIER_250
	case "TIER_1K":
		return wabastreamv1.MessagingLimit_MESSAGING_LIMIT_TIER_1K
	case "TIER_2K":
		return wabastreamv1.MessagingLimit_MESSAGING_LIMIT_TIER_2K
	case "TIER_10K":
		return wabastreamv1.MessagingLimit_MESSAGING_LIMIT_TIER_10K
	case "TIER_100K":
		return wabastreamv1.MessagingLimit_MESSAGING_LIMIT_TIER_100K
	case "TIER_UNLIMITED":
		return wabastreamv1.MessagingLimit_MESSAGING_LIMIT_TIER_UNLIMITED
	}
	return wabastreamv1.MessagingLimit_MESSAGING_LIMIT_UNSPECIFIED
}

func preferenceCategory(text string) wabastreamv1.PreferenceCategory {
	if text == "marketing_messages" {
		return wabastreamv1.PreferenceCategory_PREFERENCE_CATEGORY_MARKETING_MESSAGES
	}
	return wabastreamv1.PreferenceCategory_PREFERENCE_CATEGORY_UNSPECIFIED
}

func preferenceValue(text string) wabastreamv1.PreferenceValue {
	switch text {
	case "stop":
		return wabastreamv1.PreferenceValue_PREFERENCE_VALUE_STOP
	case "resume":
		return wabastreamv1.PreferenceValue_PREFERENCE_VALUE_RESUME
	}
	return wabastreamv1.PreferenceValue_PREFERENCE_VALUE_UNSPECIFIED
}

package main

import (
	"fmt"
	"strings"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// summaryLimit keeps a long text of the provider from filling the screen.
const summaryLimit = 200

// summary says in a few words what happened, without personal data. It uses the
// provider's words wherever the contract knows no better.
func summary(event *wabastreamv1.Event) string {
	return shorten(describe(event), summaryLimit)
}

func describe(event *wabastreamv1.Event) string {
	switch p := event.GetPayload().(type) {
	case *wabastreamv1.Event_AccountUpdate:
		return describeAccount(p.AccountUpdate)
	case *wabastreamv1.Event_AccountReviewUpdate:
		return "account review: " + p.AccountReviewUpdate.GetDecisionText()
	case *wabastreamv1.Event_PhoneNumberNameUpdate:
		return describeName(p.PhoneNumberNameUpdate)
	case *wabastreamv1.Event_PhoneNumberQualityUpdate:
		return describeQuality(p.PhoneNumberQualityUpdate)
	case *wabastreamv1.Event_UserPreference:
		return "a user chose " + joined(" ", p.UserPreference.GetValueText(), p.UserPreference.GetCategoryText())
	case *wabastreamv1.Event_Unrecognized:
		return fmt.Sprintf("%d bytes of JSON that have no message yet; --raw shows them", len(p.Unrecognized.GetJson()))
	default:
		return ""
	}
}

func describeAccount(u *wabastreamv1.AccountUpdate) string {
	owner := labelled("owner business ", u.GetWabaInfo().GetOwnerBusinessId())
	switch u.GetEvent() {
	case wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_DISABLED_UPDATE:
		return describeBan(u.GetBanInfo())
	case wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_ACCOUNT_VIOLATION:
		return joined(": ", "policy violated", u.GetViolationInfo().GetViolationTypeText())
	case wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_ACCOUNT_RESTRICTION:
		return joined(": ", "account restricted", describeRestrictions(u.GetRestrictionInfo()))
	case wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_ACCOUNT_DELETED:
		return "account deleted"
	case wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_PARTNER_REMOVED:
		d := u.GetDisconnectionInfo()
		return joined(", ", "partner removed", labelled("reason ", d.GetReasonText()), labelled("by ", d.GetInitiatedByText()), owner)
	case wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_MM_LITE_TERMS_SIGNED:
		return joined(", ", "terms of Marketing Messages Lite signed", owner)
	case wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_PHONE_NUMBER_ADDED:
		return joined(" ", "phone number", u.GetPhoneNumber(), "added")
	case wabastreamv1.AccountUpdateEvent_ACCOUNT_UPDATE_EVENT_PHONE_NUMBER_REMOVED:
		return joined(" ", "phone number", u.GetPhoneNumber(), "removed")
	default:
		return u.GetEventText()
	}
}

func describeBan(ban *wabastreamv1.BanInfo) string {
	state := "ban state"
	switch ban.GetState() {
	case wabastreamv1.BanState_BAN_STATE_DISABLE:
		state = "banned"
	case wabastreamv1.BanState_BAN_STATE_REINSTATE:
		state = "reinstated"
	case wabastreamv1.BanState_BAN_STATE_SCHEDULE_FOR_DISABLE:
		state = "to be banned"
	}
	return joined(" ", state, bracketed(ban.GetStateText()), labelled("on ", ban.GetDateText()))
}

func describeRestrictions(restrictions []*wabastreamv1.RestrictionInfo) string {
	texts := make([]string, len(restrictions))
	for i, r := range restrictions {
		until := r.GetExpireTimeText()
		if r.GetExpireTime() != nil {
			until = localTime(r.GetExpireTime())
		}
		texts[i] = joined(" ", r.GetRestrictionTypeText(), labelled("until ", until))
	}
	return joined(", ", texts...)
}

func describeName(u *wabastreamv1.PhoneNumberNameUpdate) string {
	reason := u.GetRejectionReasonText()
	if u.GetRejectionReason() == wabastreamv1.NameRejectionReason_NAME_REJECTION_REASON_NONE {
		reason = ""
	}
	outcome := fmt.Sprintf("name %q %s", u.GetRequestedVerifiedName(), strings.ToLower(u.GetDecisionText()))
	return joined(": ", outcome, reason)
}

func describeQuality(u *wabastreamv1.PhoneNumberQualityUpdate) string {
	change := "change " + u.GetEventText()
	switch u.GetEvent() {
	case wabastreamv1.PhoneNumberQualityEvent_PHONE_NUMBER_QUALITY_EVENT_FLAGGED,
		wabastreamv1.PhoneNumberQualityEvent_PHONE_NUMBER_QUALITY_EVENT_UNFLAGGED:
		change = "quality " + u.GetEventText()
	}
	return joined(", ",
		labelled("limit ", u.GetCurrentLimitText()),
		labelled("was ", u.GetOldLimitText()),
		change,
		labelled("business limit ", u.GetMaxDailyConversationsPerBusinessText()))
}

// joined joins what is not empty.
func joined(separator string, texts ...string) string {
	var present []string
	for _, text := range texts {
		if text != "" {
			present = append(present, text)
		}
	}
	return strings.Join(present, separator)
}

// labelled puts a label before a text, if there is a text.
func labelled(label, text string) string {
	if text == "" {
		return ""
	}
	return label + text
}

func bracketed(text string) string {
	if text == "" {
		return ""
	}
	return "(" + text + ")"
}

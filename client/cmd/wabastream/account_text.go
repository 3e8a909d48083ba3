package main

import (
	"fmt"
	"strings"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// word is the end of an enum's name as people write it; nothing for what is not set.
func word(enum fmt.Stringer, prefix string) string {
	text := strings.TrimPrefix(enum.String(), prefix)
	if text == "UNSPECIFIED" {
		return ""
	}
	return strings.ToLower(strings.ReplaceAll(text, "_", " "))
}

// sendingText says whether something stands in the way of sending, and what.
func sendingText(blocks []*wabastreamv1.SendingBlock) string {
	if len(blocks) == 0 {
		return "ok"
	}
	reasons := make([]string, len(blocks))
	for i, b := range blocks {
		reasons[i] = word(b.GetReason(), "SENDING_BLOCK_REASON_")
		if end := b.GetExpireTime(); end != nil {
			reasons[i] += " until " + localTime(end)
		}
	}
	return "BLOCKED: " + strings.Join(reasons, ", ")
}

// accountPart is one value of an account in a few words.
type accountPart struct {
	name, text string
	origin     *wabastreamv1.Provenance
}

func accountParts(a *wabastreamv1.Account) []accountPart {
	var parts []accountPart
	add := func(name, text string, origin *wabastreamv1.Provenance) {
		if origin != nil {
			parts = append(parts, accountPart{name, text, origin})
		}
	}
	if a.GetExistence().GetState() == wabastreamv1.AccountState_ACCOUNT_STATE_DELETED {
		add("existence", "deleted", a.GetExistence().GetOrigin())
	}
	add("ban", describeBan(a.GetBan().GetInfo()), a.GetBan().GetOrigin())
	add("review", a.GetReview().GetDecisionText(), a.GetReview().GetOrigin())
	for _, r := range a.GetRestrictions() {
		state := "over: "
		if r.GetActive() {
			state = ""
		}
		add("restriction", state+describeRestrictions([]*wabastreamv1.RestrictionInfo{r.GetInfo()}), r.GetOrigin())
	}
	add("violation", a.GetViolation().GetInfo().GetViolationTypeText(), a.GetViolation().GetOrigin())
	add("partner", word(a.GetPartner().GetState(), "PARTNER_STATE_"), a.GetPartner().GetOrigin())
	if a.GetMmLiteTerms().GetSigned() {
		add("MM Lite", "terms signed", a.GetMmLiteTerms().GetOrigin())
	}
	return parts
}

// valueText is a value of a change in a few words.
func valueText(v *wabastreamv1.AccountValue) string {
	switch v := v.GetValue().(type) {
	case *wabastreamv1.AccountValue_Existence:
		return word(v.Existence.GetState(), "ACCOUNT_STATE_")
	case *wabastreamv1.AccountValue_Ban:
		return describeBan(v.Ban.GetInfo())
	case *wabastreamv1.AccountValue_Violation:
		return joined(" ", "violation", v.Violation.GetInfo().GetViolationTypeText())
	case *wabastreamv1.AccountValue_Restriction:
		return joined(" ", "restriction", describeRestrictions([]*wabastreamv1.RestrictionInfo{v.Restriction.GetInfo()}))
	case *wabastreamv1.AccountValue_Review:
		return "review " + v.Review.GetDecisionText()
	case *wabastreamv1.AccountValue_Partner:
		return "partner " + word(v.Partner.GetState(), "PARTNER_STATE_")
	case *wabastreamv1.AccountValue_MmLiteTerms:
		return "terms of Marketing Messages Lite signed"
	case *wabastreamv1.AccountValue_Presence:
		return "number " + word(v.Presence.GetState(), "PHONE_NUMBER_STATE_")
	case *wabastreamv1.AccountValue_VerifiedName:
		return "name " + v.VerifiedName.GetName()
	case *wabastreamv1.AccountValue_NameReview:
		return joined(" ", "name", v.NameReview.GetRequestedVerifiedName(), v.NameReview.GetDecisionText(), v.NameReview.GetRejectionReasonText())
	case *wabastreamv1.AccountValue_Quality:
		return "quality " + v.Quality.GetEventText()
	case *wabastreamv1.AccountValue_Limit:
		return "limit " + v.Limit.GetLimitText()
	}
	return ""
}

// changeText is what changed, from what to what.
func changeText(c *wabastreamv1.AccountChange) string {
	text := word(c.GetDirection(), "CHANGE_DIRECTION_")
	if text == "" {
		text = "changed"
	}
	text += ": " + valueText(c.GetCurrent())
	if c.GetPrevious() != nil {
		text += ", before: " + valueText(c.GetPrevious())
	}
	if c.GetStale() {
		text += " (came too late: it stays as before)"
	}
	return text
}

// accountFields are an account's, in the templates of account get and account list.
type accountFields struct {
	WABA    string         `is:"the account"`
	Blocked bool           `is:"something stands in the way of sending"`
	Sending string         `is:"ok, or what that is, in a few words"`
	Changed moment         `is:"when the server stored the last event that changed something"`
	JSON    string         `is:"the account as --output json prints it"`
	Account map[string]any `is:"the same taken apart, such as {{.Account.ban.info.state}}"`
}

func newAccountFields(a *wabastreamv1.Account) accountFields {
	text, fields := taken(a)
	return accountFields{
		WABA: clean(a.GetWabaId()), Blocked: a.GetSendingBlocked(), Sending: clean(sendingText(a.GetSendingBlocks())),
		Changed: momentOf(a.GetLastChange().GetReceiveTime()), JSON: text, Account: fields,
	}
}

// changeFields are a change's, in the templates of account watch.
type changeFields struct {
	WABA      string         `is:"the account; empty for a number whose account is not known"`
	Phone     string         `is:"the number, if something of it changed"`
	Direction string         `is:"what it means, such as banned, reinstated, upgraded; empty for another value"`
	Stale     bool           `is:"the event came too late: nothing changed"`
	Summary   string         `is:"what changed in a few words"`
	Event     string         `is:"the id of the event"`
	Cursor    string         `is:"where it stands, for --after"`
	Received  moment         `is:"when the server stored it"`
	JSON      string         `is:"the change as --output json prints it"`
	Change    map[string]any `is:"the same taken apart, such as {{.Change.current.ban.info.state}}"`
}

func newChangeFields(c *wabastreamv1.AccountChange) changeFields {
	text, fields := taken(c)
	return changeFields{
		WABA: clean(c.GetWabaId()), Phone: clean(c.GetBusinessPhone()), Direction: word(c.GetDirection(), "CHANGE_DIRECTION_"),
		Stale: c.GetStale(), Summary: clean(changeText(c)), Event: clean(c.GetOrigin().GetEventId()), Cursor: clean(c.GetOrigin().GetCursor()),
		Received: momentOf(c.GetOrigin().GetReceiveTime()), JSON: text, Change: fields,
	}
}

// optOutFields are a person's, in the templates of opt-outs.
type optOutFields struct {
	Person   string `is:"the person's WhatsApp id, a pseudonym, or nothing, as far as you may see it"`
	Phone    string `is:"the business's number"`
	WABA     string `is:"the account of the event"`
	Happened moment `is:"when the person chose"`
	Received moment `is:"when the server stored it"`
	JSON     string `is:"the choice as --output json prints it"`
}

func newOptOutFields(p *wabastreamv1.MarketingPreference) optOutFields {
	text, _ := taken(p)
	return optOutFields{
		Person: clean(p.GetWaId()), Phone: clean(p.GetBusinessPhone()), WABA: clean(p.GetWabaId()),
		Happened: momentOf(p.GetOrigin().GetOccurTime()), Received: momentOf(p.GetOrigin().GetReceiveTime()), JSON: text,
	}
}

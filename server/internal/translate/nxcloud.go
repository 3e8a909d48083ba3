package translate

import (
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// The shapes of NXCloud's callbacks, from NXCloud's phone webhook page (GitHub
// wiki nxtele/http-api-document) and, where that is silent, from Meta's webhook
// reference, whose values NXCloud passes on.
const (
	fieldAccountUpdate   = "account_update"
	fieldAccountReview   = "account_review_update"
	fieldNumberName      = "phone_number_name_update"
	fieldNumberQuality   = "phone_number_quality_update"
	fieldUserPreferences = "user_preferences"
)

// findSubject reads the ids. With a field they are in value, in message traffic
// they are at the top: the other place is looked into second.
func (c *callback) findSubject() subject {
	first, second := c.value, c.root
	if c.field == "" {
		first, second = c.root, c.value
	}
	var s subject
	s.wabaID = s.fitting(firstText(
		first.member("wabaId"), first.member("waba_info").member("waba_id"),
		second.member("wabaId"), second.member("waba_info").member("waba_id")))
	s.phoneNumberID = s.fitting(firstText(
		first.member("metadata").member("phone_number_id"),
		second.member("metadata").member("phone_number_id")))
	s.phone = s.fitting(firstText(
		c.preferencePhone(), first.member("business_phone"), second.member("business_phone"),
		first.member("display_phone_number")))
	return s
}

// preferencePhone is the number of a user_preferences callback, which has no
// business_phone.
func (c *callback) preferencePhone() value {
	if c.field != fieldUserPreferences {
		return value{}
	}
	return c.value.member("metadata").member("display_phone_number")
}

// fitting returns the text, or nothing when it is too long for an event. It is a
// copy, as it outlives the callback.
func (s *subject) fitting(text string) string {
	if len(text) > MaxTextBytes {
		s.oversize = true
		return ""
	}
	return strings.Clone(text)
}

// typeSuffix is what the payload of a whole callback adds to its type.
func (c *callback) typeSuffix() value {
	if c.field == fieldAccountUpdate && c.value.member("event").text() == "DISABLED_UPDATE" {
		return c.value.member("ban_info").member("waba_ban_state")
	}
	return value{}
}

// fillPayload sets the payload arm if the contract has a message for the whole
// callback. A user_preferences callback has none: only its entries have.
func (c *callback) fillPayload(event *wabastreamv1.Event) {
	if c.value.kind() != kindObject {
		return
	}
	switch c.field {
	case fieldAccountUpdate:
		fillAccountUpdate(event, c.value)
	case fieldAccountReview:
		fillAccountReview(event, c.value)
	case fieldNumberName:
		fillNumberName(event, c.value)
	case fieldNumberQuality:
		fillNumberQuality(event, c.value)
	}
}

func fillAccountUpdate(event *wabastreamv1.Event, v value) {
	restrictions, ok := restrictionsOf(v.member("restriction_info"))
	if !ok {
		return
	}
	text := v.member("event").text()
	event.Payload = &wabastreamv1.Event_AccountUpdate{AccountUpdate: &wabastreamv1.AccountUpdate{
		Event:             accountUpdateEvent(text),
		EventText:         text,
		BanInfo:           banInfoOf(v.member("ban_info")),
		ViolationInfo:     violationInfoOf(v.member("violation_info")),
		RestrictionInfo:   restrictions,
		WabaInfo:          wabaInfoOf(v.member("waba_info")),
		DisconnectionInfo: disconnectionInfoOf(v.member("disconnection_info")),
		PhoneNumber:       v.member("phone_number").text(),
	}}
}

func banInfoOf(v value) *wabastreamv1.BanInfo {
	if v.kind() != kindObject {
		return nil
	}
	state, date := v.member("waba_ban_state").text(), v.member("waba_ban_date").text()
	return &wabastreamv1.BanInfo{
		State:     banState(state),
		StateText: state,
		Date:      parseDate(date),
		DateText:  date,
	}
}

func violationInfoOf(v value) *wabastreamv1.ViolationInfo {
	if v.kind() != kindObject {
		return nil
	}
	return &wabastreamv1.ViolationInfo{ViolationTypeText: v.member("violation_type").text()}
}

// restrictionsOf reads an array of restrictions, or a single one without an
// array around it. It reports false when there are too many.
func restrictionsOf(v value) (restrictions []*wabastreamv1.RestrictionInfo, ok bool) {
	if v.kind() == kindObject {
		return []*wabastreamv1.RestrictionInfo{restrictionOf(v)}, true
	}
	for element := range v.elements() {
		if len(restrictions) == MaxEntries {
			return nil, false
		}
		if element.kind() == kindObject {
			restrictions = append(restrictions, restrictionOf(element))
		}
	}
	return restrictions, true
}

func restrictionOf(v value) *wabastreamv1.RestrictionInfo {
	kind, expiration := v.member("restriction_type").text(), momentOf(v.member("expiration"))
	info := &wabastreamv1.RestrictionInfo{
		RestrictionType:     restrictionType(kind),
		RestrictionTypeText: kind,
		ExpireTimeText:      expiration.text,
		Remediation:         v.member("remediation").text(),
	}
	if !expiration.at.IsZero() {
		info.ExpireTime = timestamppb.New(expiration.at)
	}
	return info
}

func wabaInfoOf(v value) *wabastreamv1.WabaInfo {
	if v.kind() != kindObject {
		return nil
	}
	return &wabastreamv1.WabaInfo{
		WabaId:          v.member("waba_id").text(),
		OwnerBusinessId: v.member("owner_business_id").text(),
	}
}

func disconnectionInfoOf(v value) *wabastreamv1.DisconnectionInfo {
	if v.kind() != kindObject {
		return nil
	}
	return &wabastreamv1.DisconnectionInfo{
		ReasonText:      v.member("reason").text(),
		InitiatedByText: v.member("initiated_by").text(),
	}
}

func fillAccountReview(event *wabastreamv1.Event, v value) {
	text := v.member("decision").text()
	event.Payload = &wabastreamv1.Event_AccountReviewUpdate{
		AccountReviewUpdate: &wabastreamv1.AccountReviewUpdate{
			Decision:     reviewDecision(text),
			DecisionText: text,
		},
	}
}

func fillNumberName(event *wabastreamv1.Event, v value) {
	decision, reason := v.member("decision").text(), v.member("rejection_reason").text()
	event.Payload = &wabastreamv1.Event_PhoneNumberNameUpdate{
		PhoneNumberNameUpdate: &wabastreamv1.PhoneNumberNameUpdate{
			Decision:              reviewDecision(decision),
			DecisionText:          decision,
			DisplayPhoneNumber:    v.member("display_phone_number").text(),
			RequestedVerifiedName: v.member("requested_verified_name").text(),
			RejectionReason:       nameRejectionReason(reason),
			RejectionReasonText:   reason,
		},
	}
}

func fillNumberQuality(event *wabastreamv1.Event, v value) {
	text := v.member("event").text()
	current, old := v.member("current_limit").text(), v.member("old_limit").text()
	daily := v.member("max_daily_conversations_per_business").text()
	event.Payload = &wabastreamv1.Event_PhoneNumberQualityUpdate{
		PhoneNumberQualityUpdate: &wabastreamv1.PhoneNumberQualityUpdate{
			Event:              phoneNumberQualityEvent(text),
			EventText:          text,
			DisplayPhoneNumber: v.member("display_phone_number").text(),
			CurrentLimit:       messagingLimit(current),
			CurrentLimitText:   current,
			OldLimit:           messagingLimit(old),
			OldLimitText:       old,

			MaxDailyConversationsPerBusiness:     messagingLimit(daily),
			MaxDailyConversationsPerBusinessText: daily,
		},
	}
}

// fillPreference sets the payload arm for one entry of a callback's array. name
// is the person's, from the callback's contacts.
func fillPreference(event *wabastreamv1.Event, callback, entry value, name string) {
	category, choice := entry.member("category").text(), entry.member("value").text()
	event.Payload = &wabastreamv1.Event_UserPreference{UserPreference: &wabastreamv1.UserPreference{
		WaId:               entry.member("wa_id").text(),
		ProfileName:        name,
		Category:           preferenceCategory(category),
		CategoryText:       category,
		Value:              preferenceValue(choice),
		ValueText:          choice,
		Detail:             entry.member("detail").text(),
		DisplayPhoneNumber: callback.member("metadata").member("display_phone_number").text(),
		MessagingProduct:   callback.member("messaging_product").text(),
	}}
}

package stream

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Who does not see all personal data receives events in which everything that may
// name or quote a person is left out, or in the case of its WhatsApp id replaced. It
// is left out of the wire form, field by field. A field without a rule is left out
// too, and so is what cannot be parsed: a message that is added to the contract stays
// hidden until somebody has decided about it.

// treatment is what becomes of a field.
type treatment int

const (
	undecided treatment = iota // left out, and a test fails
	hidden
	kept
	person    // a WhatsApp id: replaced by its pseudonym, if there is one
	known     // a text as sent: kept if the enum beside it knows its value
	eventType // cut where it may quote what is hidden
	parts     // a message that is gone through
)

// rule is what becomes of a field; beside is the enum's field, within are the rules of
// the message.
type rule struct {
	treatment treatment
	beside    protowire.Number
	within    rules
}

// rules are those of a message's fields, by number.
type rules map[protowire.Number]rule

// redactor makes the views of callers that do not see all personal data.
type redactor struct {
	pseudonym func(string) string
	event     rules
}

func newRedactor(pseudonym func(string) string) *redactor {
	if pseudonym == nil {
		pseudonym = func(string) string { return "" }
	}
	return &redactor{pseudonym: pseudonym, event: eventRules()}
}

// keeping are rules that keep fields.
func keeping(fields ...protowire.Number) rules {
	of := make(rules, len(fields))
	for _, field := range fields {
		of[field] = rule{treatment: kept}
	}
	return of
}

func (of rules) with(field protowire.Number, r rule) rules {
	of[field] = r
	return of
}

func (of rules) hiding(fields ...protowire.Number) rules {
	for _, field := range fields {
		of[field] = rule{treatment: hidden}
	}
	return of
}

// eventRules are the rules of wabastream.v1.Event, by the numbers of its files. What
// is said of accounts and of their phone numbers is no person's, also as free text.
func eventRules() rules {
	return keeping(fieldID, fieldCursor, fieldSequence, fieldSeverity, fieldProvider, fieldSource, fieldWABAID, fieldWABAIDSource,
		fieldPhone, fieldPhoneNumberID, fieldOccurTime, fieldReceiveTime).
		hiding(fieldOccurTimeText, fieldRawJSON, fieldRedacted).
		with(fieldType, rule{treatment: eventType}).
		with(fieldAccountUpdate, rule{treatment: parts, within: accountUpdateRules()}).
		with(fieldAccountReviewUpdate, rule{treatment: parts, within: keeping(1, 2)}).
		with(fieldPhoneNumberNameUpdate, rule{treatment: parts, within: keeping(1, 2, 3, 4, 5, 6)}).
		with(fieldPhoneNumberQualityUpdate, rule{treatment: parts, within: keeping(1, 2, 3, 4, 5, 6, 7, 8, 9)}).
		with(fieldUserPreference, rule{treatment: parts, within: userPreferenceRules()}).
		with(fieldUnrecognized, rule{treatment: parts, within: rules{}.hiding(1, 2)})
}

func accountUpdateRules() rules {
	date := keeping(1, 2, 3)
	return keeping(1, 2, 8).
		with(3, rule{treatment: parts, within: keeping(1, 2, 4).with(3, rule{treatment: parts, within: date})}).
		with(4, rule{treatment: parts, within: keeping(1)}).
		with(5, rule{treatment: parts, within: keeping(1, 2, 3, 4, 5)}).
		with(6, rule{treatment: parts, within: keeping(1, 2)}).
		with(7, rule{treatment: parts, within: keeping(1, 2)})
}

// Fields of UserPreference.
const (
	fieldPreferenceWaID         = 1
	fieldPreferenceCategory     = 3
	fieldPreferenceCategoryText = 4
	fieldPreferenceValue        = 5
	fieldPreferenceValueText    = 6
)

func userPreferenceRules() rules {
	return keeping(fieldPreferenceCategory, fieldPreferenceValue, 8, 9).
		hiding(2, 7).
		with(fieldPreferenceWaID, rule{treatment: person}).
		with(fieldPreferenceCategoryText, rule{treatment: known, beside: fieldPreferenceCategory}).
		with(fieldPreferenceValueText, rule{treatment: known, beside: fieldPreferenceValue})
}

// appendEvent appends an event in wire form as it is in a view that shows less of people
// than there is.
func (r *redactor) appendEvent(b, event []byte, view viewKind) []byte {
	b = r.appendFields(b, event, r.event, view)
	return appendNumber(b, fieldRedacted, 1)
}

func (r *redactor) appendFields(b, message []byte, of rules, view viewKind) []byte {
	for rest := message; len(rest) > 0; {
		field, kind, tag := protowire.ConsumeTag(rest)
		if tag < 0 {
			return b
		}
		size := protowire.ConsumeFieldValue(field, kind, rest[tag:])
		if size < 0 {
			return b
		}
		rule, whole, value := of[field], rest[:tag+size], rest[tag:tag+size]
		rest = rest[tag+size:]
		if rule.treatment == kept {
			b = append(b, whole...)
			continue
		}
		if kind != protowire.BytesType {
			continue
		}
		content, _ := protowire.ConsumeBytes(value)
		b = r.appendField(b, field, content, rule, message, view)
	}
	return b
}

// appendField appends what is left of a field of a message.
func (r *redactor) appendField(b []byte, field protowire.Number, content []byte, rule rule, message []byte, view viewKind) []byte {
	switch rule.treatment {
	case person:
		if view == viewHashed && len(content) > 0 {
			return appendText(b, field, r.pseudonym(string(content)))
		}
	case known:
		if numberIn(message, rule.beside) != 0 {
			return appendText(b, field, string(content))
		}
	case eventType:
		return appendText(b, field, shownType(string(content), message))
	case parts:
		b = protowire.AppendTag(b, field, protowire.BytesType)
		return protowire.AppendBytes(b, r.appendFields(nil, content, rule.within, view))
	}
	return b
}

// numberIn is a numeric field of a message; zero if it is not there.
func numberIn(message []byte, field protowire.Number) (number uint64) {
	fieldsOf(message, func(f protowire.Number, kind protowire.Type, value []byte) {
		if f == field && kind == protowire.VarintType {
			number, _ = protowire.ConsumeVarint(value)
		}
	})
	return number
}

// bytesIn is a text or message field of a message; nil if it is not there.
func bytesIn(message []byte, field protowire.Number) (content []byte) {
	fieldsOf(message, func(f protowire.Number, kind protowire.Type, value []byte) {
		if f == field && kind == protowire.BytesType {
			content, _ = protowire.ConsumeBytes(value)
		}
	})
	return content
}

func fieldsOf(message []byte, visit func(field protowire.Number, kind protowire.Type, value []byte)) {
	for len(message) > 0 {
		field, kind, tag := protowire.ConsumeTag(message)
		if tag < 0 {
			return
		}
		size := protowire.ConsumeFieldValue(field, kind, message[tag:])
		if size < 0 {
			return
		}
		visit(field, kind, message[tag:tag+size])
		message = message[tag+size:]
	}
}

const (
	typePreferences  = "user_preferences"
	typeUnrecognized = "unrecognized"
	// tellingDigits is how many digits in a row may be a person's number.
	tellingDigits = 7
)

// shownType is the part of an event's type that tells of no person. A type is made of
// words of the callback: of a preference those are shown that the contract knows, of
// others those that hold no number as long as a person's.
func shownType(path string, event []byte) string {
	if path == typePreferences || strings.HasPrefix(path, typePreferences+".") {
		return shownPreference(path, bytesIn(event, fieldUserPreference))
	}
	for at, digits := 0, 0; at < len(path); at++ {
		if digits++; path[at] < '0' || path[at] > '9' {
			digits = 0
		}
		if digits == tellingDigits {
			if end := strings.LastIndexByte(path[:at], '.'); end > 0 {
				return path[:end]
			}
			return typeUnrecognized
		}
	}
	return path
}

func shownPreference(path string, preference []byte) string {
	category, value := bytesIn(preference, fieldPreferenceCategoryText), bytesIn(preference, fieldPreferenceValueText)
	allKnown := numberIn(preference, fieldPreferenceCategory) != 0 && numberIn(preference, fieldPreferenceValue) != 0
	if allKnown && path == typePreferences+"."+string(category)+"."+string(value) {
		return path
	}
	return typePreferences
}

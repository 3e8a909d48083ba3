package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// line is what is printed for an event.
func line(event *wabastreamv1.Event) string {
	waba := event.GetWabaId()
	if waba == "" {
		waba = "-"
	}
	fields := []string{
		strconv.FormatUint(event.GetSequence(), 10), event.GetId(),
		// A value that was added after this client was generated is a number.
		strings.TrimPrefix(event.GetSeverity().String(), "SEVERITY_"),
		event.GetType(), waba, describe(event),
	}
	for i := range fields {
		fields[i] = strings.Map(withoutControl, fields[i])
	}
	return strings.Join(fields, "\t")
}

// withoutControl keeps what providers send from breaking lines, or driving the
// terminal.
func withoutControl(r rune) rune {
	if unicode.IsControl(r) {
		return ' '
	}
	return r
}

// describe says what happened, in the provider's words: they are there also where an
// enum does not know the value yet.
func describe(event *wabastreamv1.Event) string {
	switch p := event.GetPayload().(type) {
	case *wabastreamv1.Event_AccountUpdate:
		return p.AccountUpdate.GetEventText()
	case *wabastreamv1.Event_AccountReviewUpdate:
		return p.AccountReviewUpdate.GetDecisionText()
	case *wabastreamv1.Event_PhoneNumberNameUpdate:
		return p.PhoneNumberNameUpdate.GetDecisionText()
	case *wabastreamv1.Event_PhoneNumberQualityUpdate:
		return p.PhoneNumberQualityUpdate.GetEventText()
	case *wabastreamv1.Event_UserPreference:
		return p.UserPreference.GetValueText()
	case *wabastreamv1.Event_Unrecognized:
		return fmt.Sprintf("%d bytes of JSON", len(p.Unrecognized.GetJson()))
	default: // a payload that was added after this client was generated
		return "unknown to this client"
	}
}

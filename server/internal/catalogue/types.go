package main

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/wabastream/wabastream/client/callbacks"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// source is the name of the source that the examples came to: the one a server has
// without any configuration.
const source = "nxcloud"

// slot is a place in a callback where a word of a vocabulary stands.
type slot struct {
	// arm is the payload that such a callback becomes.
	arm protoreflect.Name
	// place is where the word, %s, stands, for people.
	place string
	words protoreflect.EnumDescriptor
	// partial says that what the word means is clear only beside what the payload means.
	partial bool
	// callback is one of which only the word, %s, is missing.
	callback string
}

// slots are where types come from: the contract's rule makes a type of the words
// that stand there. That each word of a vocabulary is one that the provider uses, and
// that it makes a type of its own, is checked when the list is made.
func slots() []slot {
	return []slot{
		{
			"account_update", "whose `value.event` is `%s`", wabastreamv1.AccountUpdateEvent(0).Descriptor(), false,
			`{"field":"account_update","value":{"business_phone":"15557902885","event":"%s","time":1761200607,"wabaId":"1618074075500491"}}`,
		},
		{
			"account_update", "whose `value.event` is `DISABLED_UPDATE` with the ban state `%s`", wabastreamv1.BanState(0).Descriptor(), false,
			`{"field":"account_update","value":{"ban_info":{"waba_ban_date":"October 22, 2025","waba_ban_state":"%s"},"business_phone":"15557902885","event":"DISABLED_UPDATE","time":1761200607,"wabaId":"1618074075500491"}}`,
		},
		{
			"account_review_update", "whose `value.decision` is `%s`", wabastreamv1.ReviewDecision(0).Descriptor(), true,
			`{"field":"account_review_update","value":{"business_phone":"15557902885","decision":"%s","time":1739321024,"wabaId":"1618074075500491"}}`,
		},
		{
			"phone_number_name_update", "whose `value.decision` is `%s`", wabastreamv1.ReviewDecision(0).Descriptor(), true,
			`{"field":"phone_number_name_update","value":{"business_phone":"15557902885","decision":"%s","display_phone_number":"15557902885","rejection_reason":"NONE","requested_verified_name":"ok ok","time":1761202562,"wabaId":"1618074075500491"}}`,
		},
		{
			"phone_number_quality_update", "whose `value.event` is `%s`", wabastreamv1.PhoneNumberQualityEvent(0).Descriptor(), true,
			`{"field":"phone_number_quality_update","value":{"business_phone":"15557902885","current_limit":"TIER_1K","display_phone_number":"15557902885","event":"%s","time":1761103022,"wabaId":"1618074075500491"}}`,
		},
		{
			"user_preference", "with an entry of the category `marketing_messages` and the value `%s`", wabastreamv1.PreferenceValue(0).Descriptor(), true,
			`{"field":"user_preferences","value":{"metadata":{"display_phone_number":"15557902885","phone_number_id":"106540352242922"},"user_preferences":[{"category":"marketing_messages","value":"%s","timestamp":1753407219,"wa_id":"16505551234"}]}}`,
		},
	}
}

// others are types of callbacks that the contract has no message for, each with one.
func others() []entry {
	return []entry{
		{kind: "messages", callback: `{"messages":[{"from":"16505551234","id":"wamid.A","text":{"body":"hi"},"timestamp":"1731705721","type":"text"}],"business_phone":"15557902885","wabaId":"1618074075500491"}`,
			meaning: "A message that somebody sent to the business.", when: "a callback without `field` that has `messages`."},
		{kind: "statuses", callback: `{"statuses":[{"id":"wamid.A","status":"read","timestamp":"1731705721"}],"business_phone":"15557902885","wabaId":"1618074075500491"}`,
			meaning: "A message of the business was sent, delivered, read, or failed.", when: "a callback without `field` that has `statuses`."},
		{kind: "calls", callback: `{"calls":[{"event":"connect","id":"wacid.A"}],"business_phone":"15557902885","wabaId":"1618074075500491"}`,
			meaning: "Something about a call.", when: "a callback without `field` that has `calls`."},
		{kind: "message_template_status_update.approved", callback: `{"field":"message_template_status_update","value":{"business_phone":"15557902885","event":"APPROVED","message_template_id":"594425479261596","time":1761103022,"wabaId":"1618074075500491"}}`,
			meaning: "One of any number of types that the rule makes: of a `field` without a message.", when: "a callback of the `field` `message_template_status_update` whose `value.event` is `APPROVED`."},
		{kind: "unrecognized", callback: `{"hello":"world"}`,
			meaning: "JSON in which the rule finds nothing.", when: "any other callback."},
	}
}

// entry is one type.
type entry struct {
	kind     string
	meaning  string
	when     string
	callback string
	// documented says that the callback is the provider's own example.
	documented bool
	event      *wabastreamv1.Event
}

// list returns the types of every slot, in the contract's order, and fails where the
// contract and package translate do not agree about a word.
func list(c comments) (map[protoreflect.Name][]entry, error) {
	examples, err := examplesByType()
	if err != nil {
		return nil, err
	}
	entries := map[protoreflect.Name][]entry{}
	for _, s := range slots() {
		for i := range s.words.Values().Len() {
			value := s.words.Values().Get(i)
			if value.Number() == 0 {
				continue
			}
			e, err := s.entry(value, examples)
			if err != nil {
				return nil, err
			}
			e.meaning = c.value(value)
			if s.partial {
				e.meaning = c.field(armOf(s.arm)) + " " + e.meaning
			}
			entries[s.arm] = append(entries[s.arm], e)
		}
	}
	for _, of := range entries {
		arrange(of)
	}
	return entries, nil
}

// arrange sorts types by name, so that those below another follow it, and tells of
// the other when it is sent.
func arrange(entries []entry) {
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.kind, b.kind) })
	for i := range entries[:len(entries)-1] {
		if strings.HasPrefix(entries[i+1].kind, entries[i].kind+".") {
			entries[i].when += " Such a callback usually says more, and has a type below this one."
		}
	}
}

// examplesByType are the provider's examples.
func examplesByType() (map[string]string, error) {
	examples := map[string]string{}
	for _, example := range callbacks.NXCloud() {
		event, err := translated(string(example.Body))
		if err != nil {
			return nil, err
		}
		examples[event.GetType()] = string(example.Body)
	}
	return examples, nil
}

func (s *slot) entry(value protoreflect.EnumValueDescriptor, examples map[string]string) (entry, error) {
	word := providerWord(value)
	callback := fmt.Sprintf(s.callback, word)
	event, err := translated(callback)
	if err != nil {
		return entry{}, err
	}
	if !knows(event.ProtoReflect(), value) {
		return entry{}, fmt.Errorf("%s: package translate does not make it of the word %s", value.FullName(), word)
	}
	e := entry{kind: event.GetType(), callback: callback, event: event}
	if !strings.HasSuffix(e.kind, "."+strings.ToLower(word)) {
		return entry{}, fmt.Errorf("%s: its word %s makes no type of its own: %s", value.FullName(), word, e.kind)
	}
	e.when = fmt.Sprintf("a callback of the `field` `%s` "+s.place+".", fieldOf(e.kind), word)
	if example, ok := examples[e.kind]; ok {
		e.callback, e.documented = example, true
		e.event, err = translated(example)
	}
	return e, err
}

// providerWord is what the provider sends where the contract has the value: its name
// without what all names have in common; in lower case in preferences.
func providerWord(value protoreflect.EnumValueDescriptor) string {
	enum, _ := value.Parent().(protoreflect.EnumDescriptor)
	common := strings.TrimSuffix(string(enum.Values().ByNumber(0).Name()), "UNSPECIFIED")
	word := strings.TrimPrefix(string(value.Name()), common)
	if strings.HasPrefix(common, "PREFERENCE_") {
		return strings.ToLower(word)
	}
	return word
}

// knows reports whether a message has the value somewhere.
func knows(m protoreflect.Message, value protoreflect.EnumValueDescriptor) bool {
	found := false
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsList() || f.IsMap():
		case f.Enum() != nil:
			found = found || f.Enum() == value.Parent() && v.Enum() == value.Number()
		case f.Message() != nil:
			found = found || knows(v.Message(), value)
		}
		return !found
	})
	return found
}

func fieldOf(kind string) string {
	field, _, _ := strings.Cut(kind, ".")
	return field
}

package main

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// knownTypes are the types, sorted, that the contract's vocabularies make, with
// the paths above them: a filter takes those too. The vocabularies are open, so a
// server can have events of other types.
func knownTypes() []string {
	types := []string{"calls", "messages", "statuses", "unrecognized"}
	for path, words := range map[string]protoreflect.Enum{
		"account_update":                      wabastreamv1.AccountUpdateEvent(0),
		"account_update.disabled_update":      wabastreamv1.BanState(0),
		"account_review_update":               wabastreamv1.ReviewDecision(0),
		"phone_number_name_update":            wabastreamv1.ReviewDecision(0),
		"phone_number_quality_update":         wabastreamv1.PhoneNumberQualityEvent(0),
		"user_preferences":                    wabastreamv1.PreferenceCategory(0),
		"user_preferences.marketing_messages": wabastreamv1.PreferenceValue(0),
	} {
		types = append(types, path)
		for _, word := range vocabulary(words.Descriptor()) {
			types = append(types, path+"."+word)
		}
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// vocabulary is the words that an enum stands for, in lower case: the names of
// its values without what they have in common.
func vocabulary(enum protoreflect.EnumDescriptor) []string {
	values := enum.Values()
	common := strings.TrimSuffix(string(values.ByNumber(0).Name()), "UNSPECIFIED")
	var words []string
	for i := range values.Len() {
		if value := values.Get(i); value.Number() != 0 {
			words = append(words, strings.ToLower(strings.TrimPrefix(string(value.Name()), common)))
		}
	}
	return words
}
